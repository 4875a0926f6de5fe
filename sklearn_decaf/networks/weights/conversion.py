"""From the names and axes of a weight file to the package's own.

The package's parameters are called ``<layer>.kernel``, ``<layer>.bias`` and so on, as the kinds of
layers say: convolution kernels ``(height, width, channels, filters)``, dense kernels ``(inputs,
outputs)``, maps flattened in (h, w, c) order. Every family of files names and orders them in its
own way, which :mod:`~sklearn_decaf.networks.weights.layouts` describes as data;
:mod:`~sklearn_decaf.networks.weights.recognition` finds the one that a file follows.
"""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Architecture
from ..formats import Contents
from ..formats._arrays import fold_batch_norm, zeros
from ..formats._messages import describe
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
    return match, matched_parameters(match, keep_views=keep_views)


def matched_parameters(match: Match, *, keep_views: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a match with the package's names and axes, as :func:`convert` gives them."""
    parameters = {}
    for entry in match.candidate.entries:
        if entry.kernel not in match.arrays:
            continue
        for name in entry.names:
            if name in match.arrays:
                check_numbers(name, match.arrays[name])
        for key, array in _to_own_axes(entry, match).items():
            name = entry.parameters.get(key, entry.kernel)
            parameters[f"{entry.layer}.{key}"] = _finish(array, name, keep_views)
    names = match.architecture.parameter_shapes()
    return {name: parameters[name] for name in names if name in parameters}


def _to_own_axes(entry: Entry, match: Match) -> dict[str, np.ndarray]:
    """The parameters of one layer in the package's order of axes."""
    arrays, axes = match.arrays, match.candidate.layout.axes
    own = {key: arrays[name] for key, name in entry.parameters.items() if name in arrays}
    kernel = own.get("kernel")
    if kernel is not None:
        if kernel.ndim == 4:
            kernel = kernel.transpose([axes.index(axis) for axis in "hwio"])
        elif axes != "hwio":
            kernel = kernel.T if axes.startswith("o") else kernel
            kernel = _flatten_channels_last(kernel, match.architecture, entry.layer)
        own["kernel"] = kernel
        if entry.optional:
            own.setdefault("bias", zeros(kernel.shape[-1]))
    if entry.batch_norm is not None:
        weight, bias, mean, var = (arrays[name] for name in entry.norm_names)
        epsilon = match.epsilons.get(entry.batch_norm, match.candidate.layout.batch_norm_epsilon)
        own["kernel"], own["bias"] = fold_batch_norm(kernel, weight, bias, mean, var, epsilon)
    if entry.divisor is not None:
        own |= _divided(own, arrays[entry.divisor])
    if "variance" in own and not np.all(own["variance"] >= 0):
        raise WeightsError(f"{describe(entry.parameters['variance'])} is negative somewhere")
    return own


def _divided(own: dict[str, np.ndarray], divisor: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and variance from their sums over so many batches; zeros where there was none."""
    factor = 1 / divisor.item() if divisor.item() else 0.0
    return {key: own[key] * own[key].dtype.type(factor) for key in ("mean", "variance")}


def _flatten_channels_last(kernel: np.ndarray, net: Architecture, layer: str) -> np.ndarray:
    """Reorder the rows of a dense kernel from (c, h, w) to (h, w, c), if its input is a map."""
    shape = net.shapes()[net.inputs(layer)[0]]
    if len(shape) == 1 or shape[:2] == (1, 1):
        return kernel
    h, w, c = shape
    rows = np.arange(h * w * c).reshape(c, h, w).transpose(1, 2, 0).ravel()
    return kernel[rows]


def as_parameter(name: str, array: np.ndarray, *, keep_view: bool = False) -> np.ndarray:
    """An array that has the package's axes, checked, as parameters are."""
    check_numbers(name, array)
    return _finish(array, name, keep_view)


def check_numbers(name: str, array: np.ndarray) -> None:
    """Raise a WeightsError unless an array holds finite floating point numbers."""
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
