"""ShuffleNet v2 (Ma et al. 2018)."""

from __future__ import annotations

from ..architecture import Architecture
from ..layers import ChannelShuffle, ChannelSlice, Concat, MaxPool
from ._builder import Builder

NAMES = ("shufflenet_v2_x1_0",)
_STAGES = ((2, 116, 4), (3, 232, 8), (4, 464, 4))  # number, channels, blocks


def build(name: str) -> Architecture:
    """Build ShuffleNet v2 at full width."""
    net = Builder()
    net.conv("conv1.0", 24, 3, 2, norm="conv1.1", activation_name="conv1.2")
    net.add(MaxPool, "maxpool", size=3, stride=2, padding=1, ceil_mode=False)
    channels = 24
    for stage, filters, count in _STAGES:
        half = filters // 2
        for i in range(count):
            block, source = f"stage{stage}.{i}", net.last
            stride = 2 if i == 0 else 1
            if stride == 2:
                one = f"{block}.branch1"
                net.conv(
                    f"{one}.0", channels, 3, 2, groups=channels, norm=f"{one}.1", activation=None
                )
                first = net.conv(f"{one}.2", half, norm=f"{one}.3", activation_name=f"{one}.4")
                second = source
            else:
                first = net.add(ChannelSlice, f"{block}.keep", source, start=0, stop=half)
                second = net.add(ChannelSlice, f"{block}.change", source, start=half, stop=filters)
            two = f"{block}.branch2"
            net.conv(f"{two}.0", half, source=second, norm=f"{two}.1", activation_name=f"{two}.2")
            net.conv(f"{two}.3", half, 3, stride, groups=half, norm=f"{two}.4", activation=None)
            net.conv(f"{two}.5", half, norm=f"{two}.6", activation_name=f"{two}.7")
            net.add(Concat, f"{block}.concat", first, net.last)
            net.add(ChannelShuffle, block, groups=2)
            net.block()
            channels = filters
        net.aliases[f"stage{stage}"] = net.last
    net.conv("conv5.0", 1024, norm="conv5.1", activation_name="conv5.2")
    net.block()
    net.classifier()
    return net.architecture(name)
