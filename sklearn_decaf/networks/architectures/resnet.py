"""Residual networks (He et al. 2016), ResNeXt (Xie et al. 2017) and wide ones."""

from __future__ import annotations

from ..architecture import Architecture, Preprocessing
from ..layers import Add, MaxPool, ReLU
from ._builder import Builder

# blocks of each stage
_COUNTS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
    "resnext50_32x4d": (3, 4, 6, 3),
    "wide_resnet50_2": (3, 4, 6, 3),
}
_BASIC = ("resnet18", "resnet34")
_GROUPS_AND_WIDTH = {"resnext50_32x4d": (32, 4), "wide_resnet50_2": (1, 128)}
NAMES = (*_COUNTS, "caffe_resnet50")


def build(name: str) -> Architecture:
    """Build a residual network by name, as torchvision has it: the stride is in the 3x3 layer."""
    if name == "caffe_resnet50":
        return _caffe_resnet50()
    groups, base_width = _GROUPS_AND_WIDTH.get(name, (1, 64))
    net = Builder()
    net.conv("conv1", 64, 7, 2, norm="bn1", activation_name="relu")
    net.add(MaxPool, "maxpool", size=3, stride=2, padding=1, ceil_mode=False)
    channels = 64
    for stage, count in enumerate(_COUNTS[name], start=1):
        planes = 32 * 2**stage
        for i in range(count):
            block, source = f"layer{stage}.{i}", net.last
            stride = 2 if stage > 1 and i == 0 else 1
            if name in _BASIC:
                out = planes
                net.conv(f"{block}.conv1", out, 3, stride, norm=f"{block}.bn1")
                net.conv(f"{block}.conv2", out, 3, norm=f"{block}.bn2", activation=None)
            else:
                width, out = planes * base_width // 64 * groups, 4 * planes
                net.conv(f"{block}.conv1", width, norm=f"{block}.bn1")
                net.conv(f"{block}.conv2", width, 3, stride, norm=f"{block}.bn2", groups=groups)
                net.conv(f"{block}.conv3", out, norm=f"{block}.bn3", activation=None)
            branch = net.last
            if stride != 1 or channels != out:  # a projection
                source = net.conv(
                    f"{block}.downsample.0",
                    out,
                    1,
                    stride,
                    source=source,
                    norm=f"{block}.downsample.1",
                    activation=None,
                )
            net.add(Add, f"{block}.add", branch, source)
            net.add(ReLU, block)
            net.block()
            channels = out
        net.aliases[f"layer{stage}"] = net.last
    net.classifier()
    return net.architecture(name)


def _caffe_resnet50() -> Architecture:
    """Build ResNet-50 as its authors published it: the stride is in the first 1x1 layer."""
    net = Builder()
    net.conv("conv1", 64, 7, 2, norm="bn_conv1", activation_name="conv1_relu")
    net.add(MaxPool, "pool1", size=3, stride=2)
    for stage, count in enumerate(_COUNTS["resnet50"], start=2):
        width = 16 * 2**stage
        for i in range(count):
            block, source = f"{stage}{'abcdef'[i]}", net.last
            stride = 2 if stage > 2 and i == 0 else 1

            def conv(part, filters, size=1, stride=1, *, source="", activates=True, block=block):
                return net.conv(
                    f"res{block}_{part}",
                    filters,
                    size,
                    stride,
                    source=source,
                    norm=f"bn{block}_{part}",
                    activation=ReLU if activates else None,
                    activation_name=f"res{block}_{part}_relu",
                )

            shortcut = source
            if i == 0:
                shortcut = conv("branch1", 4 * width, 1, stride, source=source, activates=False)
            conv("branch2a", width, 1, stride, source=source)
            conv("branch2b", width, 3)
            conv("branch2c", 4 * width, activates=False)
            net.add(Add, f"res{block}", shortcut, net.last)
            net.add(ReLU, f"res{block}_relu")
            net.block()
        net.aliases[f"stage{stage - 1}"] = net.last
    net.classifier("fc1000", pool="pool5")
    # the mean pixel of the authors' mean image
    preprocessing = Preprocessing(channel_order="bgr", mean=(103.0626, 115.9029, 123.1516))
    return net.architecture("caffe_resnet50", preprocessing, scores="fc1000")
