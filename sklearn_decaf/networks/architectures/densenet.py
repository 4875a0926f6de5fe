"""DenseNet (Huang et al. 2017)."""

from __future__ import annotations

from ..architecture import Architecture
from ..layers import AveragePool, BatchNorm, Concat, Conv, MaxPool, ReLU
from ._builder import Builder

# layers of each dense block
_COUNTS = {
    "densenet121": (6, 12, 24, 16),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
}
NAMES = tuple(_COUNTS)
_GROWTH = 32


def build(name: str) -> Architecture:
    """Build a DenseNet by name: each layer of a block reads all before it, side by side."""
    net = Builder()
    net.conv("features.conv0", 64, 7, 2, norm="features.norm0", activation_name="features.relu0")
    net.add(MaxPool, "features.pool0", size=3, stride=2, padding=1, ceil_mode=False)
    channels = 64
    for number, count in enumerate(_COUNTS[name], start=1):
        block = f"features.denseblock{number}"
        for i in range(1, count + 1):
            before, layer = net.last, f"{block}.denselayer{i}"
            net.add(BatchNorm, f"{layer}.norm1")
            net.add(ReLU, f"{layer}.relu1")
            net.conv(
                f"{layer}.conv1",
                4 * _GROWTH,
                norm=f"{layer}.norm2",
                activation_name=f"{layer}.relu2",
            )
            new = net.add(Conv, f"{layer}.conv2", filters=_GROWTH, kernel_size=3, padding=1)
            net.add(Concat, layer, before, new)
            channels += _GROWTH
            net.block()
        net.aliases[block] = net.last
        if number < len(_COUNTS[name]):
            channels //= 2
            transition = f"features.transition{number}"
            net.add(BatchNorm, f"{transition}.norm")
            net.add(ReLU, f"{transition}.relu")
            net.add(Conv, f"{transition}.conv", filters=channels)
            net.add(AveragePool, f"{transition}.pool", size=2, stride=2, ceil_mode=False)
    net.add(BatchNorm, "features.norm5")
    net.add(ReLU, "features.relu5")
    net.blocks[-1] = net.last  # the last block, normalised
    net.classifier("classifier")
    return net.architecture(name, scores="classifier")
