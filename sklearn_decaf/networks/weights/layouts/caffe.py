"""Caffe's files, by the names of its layers, and the 2013 pickles of cuda-convnet's DeCAF."""

from __future__ import annotations

from ...architecture import Preprocessing
from ...architectures import squeezenet, vgg
from .base import Layout, renamed
from .own import own_entries

# The mean pixel that VGG's authors subtract, the same for all their networks.
_VGG_INPUT = Preprocessing(channel_order="bgr", mean=(103.939, 116.779, 123.68))

_SQUEEZENET = {
    "conv1": "conv1",
    "conv10": "conv10",
    **{
        f"fire{i}.{ours}": f"fire{i}/{theirs}"
        for i in range(2, 10)
        for ours, theirs in (
            ("squeeze", "squeeze1x1"),
            ("expand1x1", "expand1x1"),
            ("expand3x3", "expand3x3"),
        )
    },
}

LAYOUTS = (
    Layout(
        "SqueezeNet by Caffe's layer names",
        squeezenet.NAMES,
        renamed(_SQUEEZENET, ".kernel", ".bias"),
        suffix=".kernel",
    ),
    Layout(
        "Caffe's AlexNet",
        ("caffenet", "bvlc_alexnet"),
        own_entries(".weight", ".bias"),
        axes="oihw",
    ),
    Layout(
        "Caffe's SqueezeNet",
        squeezenet.NAMES,
        renamed(_SQUEEZENET, ".weight", ".bias"),
        axes="oihw",
    ),
    Layout(
        "Caffe's VGG",
        tuple(name for name in vgg.NAMES if not name.endswith("_bn")),
        own_entries(".weight", ".bias"),
        axes="oihw",
        preprocessing=_VGG_INPUT,
    ),
    Layout(
        "cuda-convnet's DeCAF",
        ("decaf",),
        own_entries(".weights", ".biases"),
        axes="ihwo",
        suffix=".weights",
    ),
)
