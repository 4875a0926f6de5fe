"""GoogLeNet (Szegedy et al. 2015), as torchvision has it and as Caffe's authors trained it."""

from __future__ import annotations

from ..architecture import Architecture, Preprocessing
from ..layers import LRN, Concat, MaxPool
from ._builder import SYMMETRIC, Builder

NAMES = ("googlenet", "bvlc_googlenet")
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
    """Build one of the two by name."""
    return _caffe() if name == "bvlc_googlenet" else _torchvision()


def _torchvision() -> Architecture:
    """With batch normalisation; the branch of 5x5 kernels has 3x3 ones, as in torchvision."""
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
    return net.architecture("googlenet", SYMMETRIC)


def _caffe() -> Architecture:
    """As in the paper, with local response normalisation; layers have Caffe's names."""
    net = Builder()

    def conv(
        prefix: str, part: str, filters: int, size: int = 1, stride: int = 1, source: str = ""
    ):
        return net.conv(
            f"{prefix}/{part}",
            filters,
            size,
            stride,
            source=source,
            activation_name=f"{prefix}/relu_{part.removesuffix('_s2')}",
        )

    conv("conv1", "7x7_s2", 64, 7, 2)
    net.add(MaxPool, "pool1/3x3_s2")
    net.add(LRN, "pool1/norm1")
    conv("conv2", "3x3_reduce", 64)
    conv("conv2", "3x3", 192, 3)
    net.add(LRN, "conv2/norm2")
    net.add(MaxPool, "pool2/3x3_s2")
    for module, (one, reduce3, three, reduce5, five, pooled) in _MODULES.items():
        at, source = f"inception_{module.removeprefix('inception')}", net.last
        first = conv(at, "1x1", one, source=source)
        conv(at, "3x3_reduce", reduce3, source=source)
        second = conv(at, "3x3", three, 3)
        conv(at, "5x5_reduce", reduce5, source=source)
        third = conv(at, "5x5", five, 5)
        net.add(MaxPool, f"{at}/pool", source, size=3, stride=1, padding=1)
        fourth = conv(at, "pool_proj", pooled)
        net.add(Concat, f"{at}/output", first, second, third, fourth)
        net.block(at)
        if module in _POOLS:
            net.add(MaxPool, f"pool{_POOLS[module][0][-1]}/3x3_s2")
    net.classifier("loss3/classifier", pool="pool5/7x7_s1")
    preprocessing = Preprocessing(channel_order="bgr", mean=(104.0, 117.0, 123.0))
    return net.architecture("bvlc_googlenet", preprocessing, scores="loss3/classifier")
