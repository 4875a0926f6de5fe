"""VGG (Simonyan and Zisserman 2015), with and without batch normalisation."""

from __future__ import annotations

from ..architecture import Architecture
from ..layers import Dense, MaxPool, ReLU, Softmax
from ._builder import Builder

# convolutions of each of the five blocks
_COUNTS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
NAMES = tuple(name + suffix for name in _COUNTS for suffix in ("", "_bn"))


def build(name: str) -> Architecture:
    """Build a VGG by name; layers are called as in the authors' Caffe files, ``conv5_3``."""
    normalised = name.endswith("_bn")
    net, position = Builder(), 0
    for block, count in enumerate(_COUNTS[name.removesuffix("_bn")], start=1):
        for i in range(1, count + 1):
            at = f"{block}_{i}"
            net.aliases[f"features.{position}"] = f"conv{at}"
            if normalised:
                net.aliases[f"features.{position + 1}"] = f"bn{at}"
            net.conv(
                f"conv{at}",
                min(64 * 2 ** (block - 1), 512),
                3,
                norm=f"bn{at}" if normalised else "",
                activation_name=f"relu{at}",
            )
            position += 3 if normalised else 2
        net.add(MaxPool, f"pool{block}", size=2, stride=2, ceil_mode=False)
        position += 1
    net.block()
    for number, module, units in ((6, 0, 4096), (7, 3, 4096), (8, 6, 1000)):
        net.aliases[f"classifier.{module}"] = f"fc{number}"
        net.add(Dense, f"fc{number}", units=units)
        if number < 8:
            net.add(ReLU, f"relu{number}")
            net.block()
    net.add(Softmax, "prob")
    return net.architecture(
        name,
        scores="fc8",
        pooling=None,
        layer_pooling={},
        dropout_layers=frozenset({"fc6", "relu6", "fc7", "relu7"}),
    )
