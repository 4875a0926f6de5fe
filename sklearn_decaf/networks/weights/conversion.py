"""From the names and axes of a weight file to the package's own.

The package's parameters are called ``<layer>.kernel`` and ``<layer>.bias``: convolution kernels
``(height, width, channels, filters)``, dense kernels ``(inputs, outputs)``, maps flattened in
(h, w, c) order. Every family of files names and orders them in its own way, which
:mod:`~sklearn_decaf.networks.weights.layouts` describes as data; here one routine compares a file
with all of them and one converts it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Architecture, Preprocessing
from ..architectures import ARCHITECTURES, get_architecture
from ..formats._messages import describe
from .layouts import LAYOUTS, Entry, Layout


@dataclass(frozen=True)
class Match:
    """How a file compares with one layout of one architecture."""

    layout: Layout
    architecture: Architecture
    known: int  # arrays whose name is right
    found: int  # and whose shape is right too
    problems: tuple[str, ...]
    certainty: str = ""
    evidence: str = ""


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
        for name in (entry.kernel, *entry.vectors):
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
    every = [
        _compare(tensors, layout, get_architecture(name))
        for layout in LAYOUTS
        for name in layout.architectures
    ]
    matches = [match for match in every if match.architecture.name in names]
    hits = [match for match in matches if match.found and not match.problems]
    if not hits:
        raise WeightsError(_explain(tensors, matches, wanted))
    fitting = list(dict.fromkeys(match.architecture.name for match in hits))
    if len(fitting) > 1:
        raise WeightsError(
            f"names and shapes fit {' and '.join(fitting)}, which differ in ways that weights do "
            f"not show: say which it is, such as architecture={fitting[0]!r}"
        )
    doubt = hits[0].layout.doubt
    if doubt and wanted is None:
        raise WeightsError(f"{doubt}. If it is the first, say architecture={fitting[0]!r}")
    others = {match.architecture.name for match in every if match.found and not match.problems}
    return _judge(hits[0], metadata, sorted(others - {fitting[0]}))


def _judge(match: Match, metadata: Mapping[str, str], others: list[str]) -> Match:
    """Say how sure it is, and why; `others` are architectures that fit as well."""
    net, total = match.architecture, len(match.layout.shapes(match.architecture))
    some = f"all {total}" if match.found == total else f"{match.found} of {total}"
    evidence = f"{some} arrays have names and shapes of {net.name} ({match.layout.name})"
    if metadata.get("architecture"):
        return replace(
            match, certainty="certain", evidence=f"{evidence}, which the file names itself"
        )
    certainty = "certain" if match.found == total else "likely"
    if match.layout.doubt:
        certainty, evidence = "told", f"{evidence}; {match.layout.doubt}: the caller chose"
    elif others:
        fit = f"{' and '.join(others)} would fit as well"
        if not _caffe_architecture(metadata):
            certainty, reason = "told", "the caller chose"
        elif _has_order(metadata):
            reason = "the order of the layers decides"
        else:  # which is what somebody called it
            certainty, reason = "likely", "the name of the network decides"
        evidence = f"{evidence}; {fit}, {reason}"
    return replace(match, certainty=certainty, evidence=evidence)


def _caffe_architecture(metadata: Mapping[str, str]) -> str | None:
    """Which of Caffe's two AlexNets a caffemodel is: they have the same parameters.

    The order of its layers tells them apart, or else its name.
    """
    if _has_order(metadata):
        layers = metadata["layers"].split()
        pool_first = layers.index("pool1") < layers.index("norm1")
        return "caffenet" if pool_first else "bvlc_alexnet"
    return {"CaffeNet": "caffenet", "AlexNet": "bvlc_alexnet"}.get(metadata.get("network", ""))


def _has_order(metadata: Mapping[str, str]) -> bool:
    return {"pool1", "norm1"} <= set(metadata.get("layers", "").split())


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
        names = (entry.kernel, *entry.vectors)
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
        weight, bias, mean, var = (tensors[name] for name in entry.vectors)
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
