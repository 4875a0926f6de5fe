"""The weights of convolutions, arranged as their algorithms read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from .... import _kernels
from ...._kernels.cook_toom import cook_toom
from ...architecture import INPUT, Architecture
from ...layers import Conv, Layer
from ...layers._windows import pair
from ..limits import Limits
from ..packed_weights import pack_layers, storable
from .algorithm_choice import Algorithm, choose_algorithm


@storable
@dataclass(eq=False)
class PackedConv:
    """The weights of a convolution as its algorithm reads them.

    `kernels` holds, for each group, what :meth:`Kernels.pack_matrix` returns; for ``depthwise``
    one array (kh, kw, c). `bias` is filled up with zeros to the width of the packed matrices, and
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
    exact: bool,
    limits: Limits,
) -> dict[str, PackedConv]:
    """Choose an algorithm for each convolution among `layers` and arrange its weights."""
    convolutions = [layer for layer in layers if isinstance(layer, Conv)]
    settings = {"exact": exact, "limits": limits}
    return pack_layers(architecture, parameters, convolutions, pack_convolution, **settings)


def pack_convolution(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    layer: Conv,
    *,
    exact: bool,
    limits: Limits,
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
    maps = shapes[source], shapes[layer.name]
    algorithm = choose_algorithm(
        layer, *maps, reads_image=source == INPUT, exact=exact, limits=limits
    )
    return pack_kernel(layer, algorithm, kernel, bias)


def kernel_swaps_channels(architecture: Architecture, first: Conv) -> bool:
    """Tell whether the first kernel turns RGB to BGR; one in groups does not hold all channels."""
    return architecture.preprocessing.channel_order == "bgr" and first.groups == 1


def pack_kernel(
    layer: Conv, algorithm: Algorithm, kernel: np.ndarray, bias: np.ndarray
) -> PackedConv:
    """Arrange a kernel (kh, kw, c / groups, filters) and a bias for an algorithm."""
    if algorithm.kind == "depthwise":
        own = _dilated(kernel[:, :, 0], layer)
        return PackedConv(algorithm, [own], [np.array(bias)], 1, own.nbytes)
    biases = np.split(bias, layer.groups)
    dtype = np.float64 if algorithm.kind == "double" else np.float32
    pack = partial(_kernels.kernels.pack_matrix, fill=algorithm.kind != "winograd")
    stacks = _matrices(layer, algorithm, kernel, _winograd_matrices)
    kernels = [pack(stack.astype(dtype, copy=False)) for stack in stacks]
    nbytes = sum(panels.nbytes for group in kernels for _, panels in group)
    padded = [_kernels.kernels.pad_columns(b, k).astype(dtype) for b, k in zip(biases, kernels)]
    return PackedConv(algorithm, kernels, padded, len(biases[0]), nbytes)


def rewrite_kernel(packed: PackedConv, layer: Conv, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Take over other numbers, in the same arrays.

    Winograd's transform is done in single precision here: it is many times faster, for weights that
    change with each step.
    """
    if packed.algorithm.kind == "depthwise":
        packed.kernels[0][...] = _dilated(kernel[:, :, 0], layer)
        packed.bias[0][...] = bias
        return
    stacks = _matrices(layer, packed.algorithm, kernel, _fast_winograd_matrices)
    for stack, own, target, values in zip(
        stacks, packed.kernels, packed.bias, np.split(bias, layer.groups)
    ):
        _kernels.kernels.write_matrix(stack, own)
        target[: len(values)] = values


def _matrices(
    layer: Conv, algorithm: Algorithm, kernel: np.ndarray, transform: Callable
) -> list[np.ndarray]:
    """The right matrices of a convolution's products, (products, depth, filters), by groups."""
    parts = np.split(kernel, layer.groups, axis=-1)  # (k, k, c / groups, filters / groups) each
    if algorithm.kind == "winograd":
        return [transform(algorithm, part) for part in parts]
    return [_as_matrix(part)[np.newaxis] for part in parts]


def _dilated(kernel: np.ndarray, layer: Conv) -> np.ndarray:
    """Put zeros between the numbers of a depthwise kernel (kh, kw, c) where it is dilated."""
    dy, dx = pair(layer.dilation)
    wide = np.zeros((*layer.spans, kernel.shape[-1]), np.float32)
    wide[::dy, ::dx] = kernel
    return wide


def _as_matrix(kernel: np.ndarray) -> np.ndarray:
    """(k, k, c, m) -> (k * k * c, m)"""
    return np.ascontiguousarray(kernel).reshape(-1, kernel.shape[-1])


def _winograd_matrices(algorithm: Algorithm, kernel: np.ndarray) -> np.ndarray:
    """One matrix (channels, filters) for each of the (m + r - 1)^2 products of a tile."""
    kernel = _in_blocks(algorithm, kernel)
    _, filter_transform, _ = cook_toom(algorithm.m, algorithm.r)
    g = np.array([[float(value) for value in row] for row in filter_transform])
    # (r, r, c, filters) -> (n, r, c, filters) -> (n, n, c, filters); not by BLAS, whose last bit
    # depends on the CPU
    both = _along(g, _along(g, kernel.astype(np.float64)).swapaxes(0, 1)).swapaxes(0, 1)
    return both.astype(np.float32).reshape(len(g) ** 2, *kernel.shape[2:])


def _fast_winograd_matrices(algorithm: Algorithm, kernel: np.ndarray) -> np.ndarray:
    """The same in single precision, by a kernel."""
    m, r = algorithm.m, algorithm.r
    kernel = np.ascontiguousarray(_in_blocks(algorithm, kernel))
    matrices = np.empty(((m + r - 1) ** 2, *kernel.shape[2:]), np.float32)
    _kernels.kernels.bind_winograd_kernel(kernel, m, r, matrices)()
    return matrices


def _in_blocks(algorithm: Algorithm, kernel: np.ndarray) -> np.ndarray:
    """Let rows and columns of blocks become channels: (k, k, c, filters) -> (r, r, .., filters)."""
    block, r = algorithm.block, algorithm.r
    if block == 1:
        return kernel
    k, _, c, filters = kernel.shape
    whole = np.zeros((r * block, r * block, c, filters), np.float32)
    whole[:k, :k] = kernel
    blocks = whole.reshape(r, block, r, block, c, filters)
    return blocks.transpose(0, 2, 1, 3, 4, 5).reshape(r, r, block * block * c, filters)


def _along(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The matrix times every column along the first axis: (n, r), (r, ...) -> (n, ...)"""
    return np.stack([sum(weight * part for weight, part in zip(row, x)) for row in matrix])
