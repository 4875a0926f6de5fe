"""Fully connected layers: weights in blocks, and one product a block for the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ... import _kernels
from ..._kernels.calls import CallList, Task, run_shared
from ..._kernels.places import Place, Rows
from ..architecture import Architecture
from ..layers import Dense
from .packed_weights import storable
from .workspace import split_evenly

CACHE_LINE = 16  # float32 numbers


@storable
@dataclass(eq=False)
class PackedDense:
    """The weights of a fully connected layer as products read them.

    `blocks` holds, for each `depth` inputs, what :meth:`Kernels.pack_matrix` returns; the bias is
    filled up with zeros to the width of the packed matrices.
    """

    blocks: list
    bias: np.ndarray
    depth: int
    units: int


def pack_dense(
    _: Architecture, parameters: Mapping[str, np.ndarray], layer: Dense, *, depth: int
) -> PackedDense:
    """Arrange the weights of a fully connected layer, in blocks of so many inputs."""
    kernel = np.asarray(parameters[f"{layer.name}.kernel"], np.float32)  # (inputs, units)
    bias = np.asarray(parameters[f"{layer.name}.bias"], np.float32)
    pack = _kernels.kernels.pack_matrix
    blocks = [pack(kernel[np.newaxis, k : k + depth]) for k in range(0, len(kernel), depth)]
    return PackedDense(blocks, _kernels.kernels.pad_columns(bias, blocks[0]), depth, layer.units)


def compute_dense(packed: PackedDense, x: np.ndarray, n_threads: int) -> np.ndarray:
    """Compute a fully connected layer: each thread some of the units, for all images.

    Parameters
    ----------
    packed : PackedDense
    x : ndarray of shape (n, ...)
    n_threads : int

    Returns
    -------
    ndarray of shape (n, units)
    """
    n, blocks = len(x), packed.blocks
    x = x.reshape(n, -1)
    inputs = x.shape[1]
    # rows a multiple of 4096 bytes apart would all want the same few lines of the cache
    spaced = np.zeros((n, inputs + CACHE_LINE), np.float32)
    spaced[:, :inputs] = x
    # the sums of one block are added to those of the blocks before, from one array to the other
    sums = [np.empty((1, n, len(packed.bias)), np.float32) for _ in blocks[:2]]
    phase = []
    for k, (_, panels) in enumerate(blocks[0]):
        for a, b in split_evenly(0, panels.shape[1], n_threads):
            task: Task = []
            for i, block in enumerate(blocks):
                first, panels = block[k]
                width = panels.shape[3] * panels.shape[4]
                begin, end = first + a * width, first + b * width
                bias = packed.bias[begin:end]
                task += _kernels.kernels.bind_matmul(
                    Rows(spaced, i * packed.depth, 0, spaced.shape[1], (1, n)),
                    [(0, panels[:, a:b])],
                    Place(sums[i % 2], (0, 0, begin), sums[i % 2 - 1] if i else None),
                    np.zeros_like(bias) if i else bias,
                )
            phase.append(task)
    run_shared(CallList([phase]), n_threads)
    return np.ascontiguousarray(sums[(len(blocks) - 1) % 2][0, :, : packed.units])
