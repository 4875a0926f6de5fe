"""Caffe's files, by the names of its layers, and the 2013 pickles of cuda-convnet's DeCAF."""

from __future__ import annotations

from ...architecture import Architecture, Preprocessing
from ...architectures import squeezenet, vgg
from ...layers import BatchNorm
from .base import Entry, Layout, renamed
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


def _resnet(net: Architecture) -> list[Entry]:
    """Entries of ResNet: Caffe's batch normalisation has statistics alone, a scale follows it.

    The statistics are sums, and the third array of a layer is what they have to be divided by.
    """
    entries = []
    for layer in net.parameters_by_layer:
        if isinstance(net[layer], BatchNorm):
            scale = layer.replace("bn", "scale", 1)
            parameters = {
                "scale": f"{scale}.weight",
                "shift": f"{scale}.bias",
                "mean": f"{layer}.weight",
                "variance": f"{layer}.bias",
            }
            entries.append(Entry(layer, parameters, divisor=f"{layer}.2"))
        else:
            names = {"kernel": f"{layer}.weight", "bias": f"{layer}.bias"}
            biased = layer in ("conv1", "fc1000")  # the others lack it
            optional = frozenset() if biased else frozenset([names["bias"]])
            entries.append(Entry(layer, names, optional))
    return entries


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
        "Caffe's GoogLeNet",
        ("bvlc_googlenet",),
        own_entries(".weight", ".bias"),
        axes="oihw",
        ignored=r"loss[12]/.*",  # the auxiliary classifiers
    ),
    Layout("Caffe's ResNet", ("caffe_resnet50",), _resnet, axes="oihw"),
    Layout(
        "cuda-convnet's DeCAF",
        ("decaf",),
        own_entries(".weights", ".biases"),
        axes="ihwo",
        suffix=".weights",
    ),
)
