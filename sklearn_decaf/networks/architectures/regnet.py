"""RegNet (Radosavovic et al. 2020)."""

from __future__ import annotations

from ..architecture import Architecture
from ..layers import Add, ReLU, Sigmoid
from ._builder import Builder
from .mobilenet import squeeze_and_excite

NAMES = ("regnet_y_400mf",)
_GROUP_WIDTH = 8
_STAGES = ((48, 1), (104, 3), (208, 6), (440, 6))  # channels, blocks


def build(name: str) -> Architecture:
    """Build RegNetY of 400 million multiply-adds."""
    net = Builder()
    net.conv("stem.0", 32, 3, 2, norm="stem.1", activation_name="stem.2")
    channels = 32
    for stage, (filters, count) in enumerate(_STAGES, start=1):
        for i in range(count):
            block = f"trunk_output.block{stage}.block{stage}-{i}"
            source, stride = net.last, 2 if i == 0 else 1
            shortcut = source
            if stride != 1 or channels != filters:
                shortcut = net.conv(
                    f"{block}.proj.0",
                    filters,
                    1,
                    stride,
                    source=source,
                    norm=f"{block}.proj.1",
                    activation=None,
                )
            a, b, c = (f"{block}.f.{part}" for part in "abc")
            net.conv(f"{a}.0", filters, source=source, norm=f"{a}.1", activation_name=f"{a}.2")
            net.conv(
                f"{b}.0",
                filters,
                3,
                stride,
                groups=filters // _GROUP_WIDTH,
                norm=f"{b}.1",
                activation_name=f"{b}.2",
            )
            squeeze_and_excite(net, f"{block}.f.se", filters, round(channels / 4), ReLU, Sigmoid)
            net.conv(f"{c}.0", filters, norm=f"{c}.1", activation=None)
            net.add(Add, f"{block}.add", shortcut, net.last)
            net.add(ReLU, block)
            net.block()
            channels = filters
        net.aliases[f"trunk_output.block{stage}"] = net.last
    net.classifier()
    return net.architecture(name)
