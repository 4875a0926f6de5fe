"""State dicts of torchvision's networks, which most programs that train one write too.

The layers of most families are called as torchvision's modules are; the others have a table.
"""

from __future__ import annotations

import re

from ...architecture import Architecture
from ...architectures import (
    convnext,
    densenet,
    googlenet,
    inception,
    mobilenet,
    regnet,
    resnet,
    shufflenet,
    squeezenet,
    vgg,
)
from ...architectures._builder import IMAGENET
from .base import NUMBER_OF_BATCHES, Entry, Layout, torch_entries

_FAMILIES = (resnet, vgg, googlenet, inception, densenet, mobilenet, shufflenet, regnet, convnext)
_CAFFE = ("bvlc_googlenet", "caffe_resnet50")
# The classifiers that help to train GoogLeNet and Inception v3.
_AUXILIARY = r"(aux\d|AuxLogits)\..*"

_ALEXNET = {f"conv{i}": f"features.{place}" for i, place in enumerate((0, 3, 6, 8, 10), start=1)}
_ALEXNET |= {f"fc{i}": f"classifier.{place}" for i, place in ((6, 1), (7, 4), (8, 6))}
# Places of fire2 to fire9 among the layers and poolings.
_FIRES = {
    "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12),
    "squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12),
}


def _squeezenet(net: Architecture) -> dict[str, str]:
    modules = {"conv1": "features.0", "conv10": "classifier.1"}
    for i, place in enumerate(_FIRES[net.name], start=2):
        for part in ("squeeze", "expand1x1", "expand3x3"):
            modules[f"fire{i}.{part}"] = f"features.{place}.{part}"
    return modules


def torchvision_module_names(net: Architecture) -> dict[str, str]:
    """By layers: the modules of torchvision that are not called like them."""
    if net.name == "alexnet":
        return _ALEXNET
    if net.name in squeezenet.NAMES:
        return _squeezenet(net)
    if net.name in vgg.NAMES:
        return {layer: module for module, layer in net.aliases.items()}
    return {}


def _entries(net: Architecture) -> list[Entry]:
    modules = torchvision_module_names(net)
    return torch_entries(net, lambda layer: modules.get(layer, layer))


def _older_densenet(net: Architecture) -> list[Entry]:
    """Names in the published files: ``denselayer1.norm.1`` for ``denselayer1.norm1``."""
    return torch_entries(
        net, lambda layer: re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)$", r"\1.\2", layer)
    )


LAYOUTS = (
    Layout("torchvision's AlexNet", ("alexnet",), _entries, axes="oihw"),
    Layout(
        "torchvision's SqueezeNet",
        squeezenet.NAMES,
        _entries,
        axes="oihw",
        preprocessing=IMAGENET,
    ),
    Layout(
        "torchvision's names",
        tuple(name for family in _FAMILIES for name in family.NAMES if name not in _CAFFE),
        _entries,
        axes="oihw",
        ignored=f"{NUMBER_OF_BATCHES}|{_AUXILIARY}",
    ),
    Layout(
        "torchvision's DenseNet as published",
        densenet.NAMES,
        _older_densenet,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
    ),
)
