"""From the names and axes of a weight file to the package's own.

The package's parameters are called ``<layer>.kernel`` and ``<layer>.bias``: convolution kernels
``(height, width, channels, filters)``, dense kernels ``(inputs, outputs)``, maps flattened in
(h, w, c) order. Every family of files names and orders them in its own way, which
:mod:`~sklearn_decaf.networks.weights.layouts` describes as data;
:mod:`~sklearn_decaf.networks.weights.recognition` finds the one that a file follows.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Architecture, Preprocessing
from ..formats import Contents
from ..formats._arrays import fold_batch_norm
from .layouts import Entry
from .matching import Match
from .recognition import recognise


def convert(
    contents: Contents, architecture: str | None = None, *, keep_views: bool = False
) -> tuple[Match, dict[str, np.ndarray]]:
    """Recognise the network that arrays belong to, and give them the package's names and axes.

    Parameters
    ----------
    contents : Contents
        As a reader of :mod:`sklearn_decaf.networks.formats` returns them. Layers may be missing.
    architecture : str or None
        Name of the network, needed only where names and shapes fit more than one.
    keep_views : bool
        Whether arrays that need no change may be views of those of `contents`.

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
    match = recognise(contents, architecture)
    net = match.architecture
    parameters = {}
    for entry in match.layout.entries(net):
        if entry.kernel not in match.arrays:
            continue
        for name in entry.names:
            _check_numbers(name, match.arrays[name])
        kernel, bias = _to_own_axes(entry, match)
        parameters[f"{entry.layer}.kernel"] = _finish(kernel, entry.kernel, keep_views)
        parameters[f"{entry.layer}.bias"] = _finish(bias, entry.bias or entry.kernel, keep_views)
    return match, {name: parameters[name] for name in net.parameter_shapes() if name in parameters}


def _to_own_axes(entry: Entry, match: Match) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of one layer in the package's order of axes."""
    layout, net, arrays = match.layout, match.architecture, match.arrays
    kernel = arrays[entry.kernel]
    if kernel.ndim == 4:
        kernel = kernel.transpose([layout.axes.index(axis) for axis in "hwio"])
    elif layout.axes != "hwio":
        kernel = kernel.T if layout.axes.startswith("o") else kernel
        kernel = _flatten_channels_last(kernel, net, entry.layer)
    if entry.batch_norm is not None:
        weight, bias, mean, var = (arrays[name] for name in entry.vectors)
        epsilon = match.epsilons.get(entry.batch_norm, layout.batch_norm_epsilon)
        kernel, bias = fold_batch_norm(kernel, weight, bias, mean, var, epsilon)
    else:
        (bias,) = (arrays[name] for name in entry.vectors)
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
