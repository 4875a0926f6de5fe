"""GoogLeNet (Szegedy et al. 2015), with batch normalisation as torchvision has it."""

from __future__ import annotations

from ..architecture import Architecture
from ..layers import Concat, MaxPool
from ._builder import SYMMETRIC, Builder

NAMES = ("googlenet",)
# filters: 1x1, (reduction, 3x3), (reduction, second 3x3), pooled 1x1
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
_POOLS = {"inception3b": ("maxpool3", 3), "inception4e": ("maxpool4", 2)}


def build(name: str) -> Architecture:
    """Build GoogLeNet; the second branch of 5x5 kernels has 3x3 ones, as in torchvision."""
    net = Builder()

    def conv(prefix: str, filters: int, kernel_size: int = 1, stride: int = 1, source: str = ""):
        return net.conv(
            f"{prefix}.conv",
            filters,
            kernel_size,
            stride,
            source=source,
            epsilon=1e-3,
            norm=f"{prefix}.bn",
            activation_name=prefix,
        )

    conv("conv1", 64, 7, 2)
    net.add(MaxPool, "maxpool1", size=3, stride=2)
    conv("conv2", 64)
    conv("conv3", 192, 3)
    net.add(MaxPool, "maxpool2", size=3, stride=2)
    for module, (one, reduce3, three, reduce5, five, pooled) in _MODULES.items():
        source = net.last
        first = conv(f"{module}.branch1", one, source=source)
        conv(f"{module}.branch2.0", reduce3, source=source)
        second = conv(f"{module}.branch2.1", three, 3)
        conv(f"{module}.branch3.0", reduce5, source=source)
        third = conv(f"{module}.branch3.1", five, 3)
        net.add(MaxPool, f"{module}.branch4.0", source, size=3, stride=1, padding=1)
        fourth = conv(f"{module}.branch4.1", pooled)
        net.add(Concat, module, first, second, third, fourth)
        net.block()
        if module in _POOLS:
            pool, size = _POOLS[module]
            net.add(MaxPool, pool, size=size, stride=2)
    net.classifier()
    return net.architecture(name, SYMMETRIC)
