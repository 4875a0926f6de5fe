"""How each convolution is computed: the choice, in one place, and the weights it wants.

Five ways, the first that fits:

- ``depthwise``: each channel has a filter of its own; a direct kernel, nothing to gain elsewhere.
- ``double``: sums in float64, for the few layers whose rounding errors would grow (see
  `Conv.double_precision`).
- ``matrix``: a 1x1 convolution is a matrix product of the map as it lies.
- ``winograd``: F(m, r) computes m x m outputs of an r x r filter with (m + r - 1)^2
  multiplications instead of (m r)^2, for filters that move by one pixel. m depends on
  how the tiles fill the map. A first layer with a stride is turned into such a one: blocks of
  stride x stride pixels become channels (space to depth).
- ``patches``: the windows are copied to rows, then multiplied (im2col).

Winograd's transforms round more than plain sums: at DeCAF6 2e-6 of the largest value instead of
1e-6. ``exact=True`` does without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from ... import _kernels
from ..._kernels._functions import WINOGRAD_SIZES
from ..._kernels.cook_toom import cook_toom
from ..architecture import INPUT, Architecture
from ..layers import Conv, Layer, Shape
from .packed_weights import pack_layers, storable

# Channels below which the transforms cost more than the products they save.
WINOGRAD_MIN_CHANNELS = 8
# How many times the fewest multiplications a smaller tile may take.
SMALLER_TILE_COST = 1.25


@storable
@dataclass(frozen=True)
class Algorithm:
    """How one convolution is computed."""

    kind: str
    m: int = 0  # winograd: outputs of a tile along each axis
    r: int = 0  # winograd: the size of the filter, after space to depth
    block: int = 1  # winograd: the side of the blocks that become channels
    double: bool = False  # depthwise: whether sums are float64


def choose_algorithm(conv: Conv, in_shape: Shape, out_shape: Shape, *, exact: bool) -> Algorithm:
    """The way a convolution is computed; see the module's documentation."""
    if conv.is_depthwise(in_shape[-1]):
        return Algorithm("depthwise", double=conv.double_precision)
    if conv.double_precision:
        return Algorithm("double")
    if conv.kernel_size == 1:
        return Algorithm("matrix")
    algorithm = None if exact else _winograd(conv, in_shape, out_shape)
    return algorithm or Algorithm("patches")


def _winograd(conv: Conv, in_shape: Shape, out_shape: Shape) -> Algorithm | None:
    """Winograd's algorithm for a convolution, if it fits and saves products."""
    block = conv.stride
    r = -(-conv.kernel_size // block)
    m = _tile_size(r, out_shape)
    first_layer = in_shape[-1] == 3 and conv.groups == 1
    channels = in_shape[-1] * block * block // conv.groups
    fits = (
        m > 0
        and (block == 1 or first_layer)
        and channels >= WINOGRAD_MIN_CHANNELS
        and conv.filters // conv.groups % 8 == 0  # as the packed matrices want it
    )
    saves = (conv.kernel_size * m) ** 2 > ((m + r - 1) * block) ** 2  # products of a tile
    return Algorithm("winograd", m, r, block) if fits and saves else None


def _tile_size(r: int, out_shape: Shape) -> int:
    """The m of a compiled F(m, r); 0 if none fits.

    That with the fewest multiplications, which depends on how the tiles fill the map; but a smaller
    one, which rounds less, where it takes few more.
    """
    h, w, _ = out_shape
    sizes = [m for m, taps in WINOGRAD_SIZES if taps == r and m <= min(h, w)]
    costs = {m: math.ceil(h / m) * math.ceil(w / m) * (m + r - 1) ** 2 for m in sizes}
    least = min(costs.values(), default=0)
    return min((m for m in sizes if costs[m] <= SMALLER_TILE_COST * least), default=0)


@storable
@dataclass(eq=False)
class PackedConv:
    """The weights of a convolution as its algorithm reads them.

    `kernels` holds, for each group, what :meth:`Kernels.pack_matrix` returns; for ``depthwise``
    one array (k, k, c). `bias` is filled up with zeros to the width of the packed matrices, and
    there is one a group.
    """

    algorithm: Algorithm
    kernels: list
    bias: list[np.ndarray]
    filters: int  # of one group
    nbytes: int  # of the kernels


def pack_convolutions(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    layers: Iterable[Layer],
    *,
    exact: bool = False,
) -> dict[str, PackedConv]:
    """Choose an algorithm for each convolution among `layers` and arrange its weights."""
    convolutions = [layer for layer in layers if isinstance(layer, Conv)]
    return pack_layers(architecture, parameters, convolutions, _pack_convolution, exact=exact)


def _pack_convolution(
    architecture: Architecture, parameters: Mapping[str, np.ndarray], layer: Conv, *, exact: bool
) -> PackedConv:
    """Choose an algorithm for one convolution and arrange its weights.

    Where a network reads BGR, the channels of its first kernel are swapped instead of those of
    every image, unless groups keep them apart.
    """
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    (source,) = architecture.inputs(layer.name)
    kernel = np.asarray(parameters[f"{layer.name}.kernel"], np.float32)  # (k, k, c, filters)
    bias = np.asarray(parameters[f"{layer.name}.bias"], np.float32)
    if source == INPUT and kernel_swaps_channels(architecture, layer):
        kernel = kernel[:, :, ::-1]
    algorithm = choose_algorithm(layer, shapes[source], shapes[layer.name], exact=exact)
    return _pack(layer, algorithm, kernel, bias)


def kernel_swaps_channels(architecture: Architecture, first: Conv) -> bool:
    """Whether the first kernel turns RGB to BGR; one in groups does not hold all channels."""
    return architecture.preprocessing.channel_order == "bgr" and first.groups == 1


def _pack(layer: Conv, algorithm: Algorithm, kernel: np.ndarray, bias: np.ndarray) -> PackedConv:
    if algorithm.kind == "depthwise":
        own = np.ascontiguousarray(kernel[:, :, 0])
        return PackedConv(algorithm, [own], [np.ascontiguousarray(bias)], 1, own.nbytes)
    parts = np.split(kernel, layer.groups, axis=-1)  # (k, k, c / groups, filters / groups) each
    biases = np.split(bias, layer.groups)
    winograd = algorithm.kind == "winograd"
    if winograd:
        stacks = [_winograd_matrices(algorithm, part) for part in parts]
    else:
        stacks = [_as_matrix(part)[np.newaxis] for part in parts]
    dtype = np.float64 if algorithm.kind == "double" else np.float32
    pack = partial(_kernels.kernels.pack_matrix, fill=not winograd)
    kernels = [pack(stack.astype(dtype, copy=False)) for stack in stacks]
    nbytes = sum(panels.nbytes for group in kernels for _, panels in group)
    padded = [pad_columns(b, k).astype(dtype) for b, k in zip(biases, kernels)]
    return PackedConv(algorithm, kernels, padded, len(biases[0]), nbytes)


def pad_columns(bias: np.ndarray, packed: list) -> np.ndarray:
    """Fill up with zeros to the columns of a packed matrix."""
    padded = np.zeros(_kernels.kernels.packed_width(packed), np.float32)
    padded[: len(bias)] = bias
    return padded


def _as_matrix(kernel: np.ndarray) -> np.ndarray:
    """(k, k, c, m) -> (k * k * c, m)"""
    return np.ascontiguousarray(kernel).reshape(-1, kernel.shape[-1])


def _winograd_matrices(algorithm: Algorithm, kernel: np.ndarray) -> np.ndarray:
    """One matrix (channels, filters) for each of the (m + r - 1)^2 products of a tile."""
    block, r = algorithm.block, algorithm.r
    if block > 1:
        k, _, c, filters = kernel.shape
        whole = np.zeros((r * block, r * block, c, filters), np.float32)
        whole[:k, :k] = kernel
        blocks = whole.reshape(r, block, r, block, c, filters)
        kernel = blocks.transpose(0, 2, 1, 3, 4, 5).reshape(r, r, block * block * c, filters)
    _, filter_transform, _ = cook_toom(algorithm.m, r)
    g = np.array([[float(value) for value in row] for row in filter_transform])
    # (r, r, c, filters) -> (n, r, c, filters) -> (n, n, c, filters); not by BLAS, whose last bit
    # depends on the CPU
    both = _along(g, _along(g, kernel.astype(np.float64)).swapaxes(0, 1)).swapaxes(0, 1)
    return both.astype(np.float32).reshape(len(g) ** 2, *kernel.shape[2:])


def _along(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The matrix times every column along the first axis: (n, r), (r, ...) -> (n, ...)"""
    return np.stack([sum(weight * part for weight, part in zip(row, x)) for row in matrix])
