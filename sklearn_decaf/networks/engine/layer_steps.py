"""The steps of layers that stand alone, one function a kind: ``step(layer, builder) -> Step``.

They use the builder (:class:`.builder.ProgramBuilder`) and the kernels, nothing else of the engine.
A convolution, and what is fused into it, has its step in `convolution_step`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ... import _kernels
from ..._kernels.calls import Phase
from ..layers import LRN, Add, Concat, GlobalAveragePool, GlobalMaxPool, Layer, MaxPool, ReLU, Shape

if TYPE_CHECKING:
    from .builder import ProgramBuilder
    from .steps import Step


def max_pool(layer: MaxPool, builder: ProgramBuilder) -> Step:
    """Largest value of each window."""
    x, out = builder.plain_input(layer), builder.new_maps(layer.name)
    size, s = layer.size, layer.stride
    height, place = x.shape[0], (out.left, out.shape[1])

    def rows_needed(n: int) -> int:
        return min(height, (n - 1) * s + size)

    def compute(first: int, end: int) -> list[Phase]:
        pool = _kernels.kernels.bind_max_pool
        phase = [
            [pool(x.image(i, a * s, rows_needed(b)), size, s, out.image(i, a, b), *place)]
            for i in range(builder.n_images)
            for a, b in builder.split(first, end)
        ]
        return [phase]

    return builder.step(layer, out, compute, stride=s, rows_needed=rows_needed)


def local_response_normalisation(layer: LRN, builder: ProgramBuilder) -> Step:
    """Division by a power of the mean square over the nearest channels."""
    x, out = builder.plain_input(layer), builder.new_maps(layer.name)
    constants = layer.size, layer.alpha, layer.beta, layer.k

    def compute(first: int, end: int) -> list[Phase]:
        normalise = _kernels.kernels.bind_lrn
        phase = [
            [normalise(x.image(i, a, b), *constants, out.image(i, a, b), out.left)]
            for i in range(builder.n_images)
            for a, b in builder.split(first, end)
        ]
        return [phase]

    return builder.step(layer, out, compute)


def relu(layer: ReLU, builder: ProgramBuilder) -> Step:
    """Bounds for all values."""
    x, out = builder.input(layer), builder.new_maps(layer.name)

    def compute(first: int, end: int) -> list[Phase]:
        clip = _kernels.kernels.bind_clip
        both = zip(x.rows(first, end), out.rows(first, end))
        return [[[clip(source, 0, layer.max_value, target)] for source, target in both]]

    return builder.step(layer, out, compute)


def add(layer: Add, builder: ProgramBuilder) -> Step:
    """Sum of two maps."""
    a, b = builder.inputs(layer)
    out = builder.new_maps(layer.name)

    def compute(first: int, end: int) -> list[Phase]:
        bind = _kernels.kernels.bind_add_and_clip
        rows = zip(*(maps.rows(first, end) for maps in (a, b, out)))
        return [[[bind(x, y, -np.inf, np.inf, target)] for x, y, target in rows]]

    return builder.step(layer, out, compute)


def concat(layer: Concat, builder: ProgramBuilder) -> Step:
    """Copies of the inputs that are not written in place."""
    out = builder.concatenation(layer.name)
    copies = [
        (builder.maps[name], channel)
        for name, channel in builder.first_channels(layer.name)
        if builder.maps[name].parent is not out
    ]

    def compute(first: int, end: int) -> list[Phase]:
        target = out.rows(first, end)
        return [
            builder.copies(x.rows(first, end), target[..., c : c + x.shape[-1]]) for x, c in copies
        ]

    return builder.step(layer, out, compute)


def global_average_pool(layer: GlobalAveragePool, builder: ProgramBuilder) -> Step:
    """Mean of each channel."""
    return _pool_globally(layer, builder, _kernels.kernels.bind_average)


def global_max_pool(layer: GlobalMaxPool, builder: ProgramBuilder) -> Step:
    """Largest value of each channel."""
    return _pool_globally(layer, builder, _kernels.kernels.bind_maximum)


def _pool_globally(layer: Layer, builder: ProgramBuilder, bind: Callable) -> Step:
    x, out = builder.input(layer), builder.new_maps(layer.name)

    def compute(first: int, end: int) -> list[Phase]:
        maps, vectors = x.rows(0, x.shape[0]), out.rows(0, 1)[:, 0, 0]
        return [[[bind(map_, vector)] for map_, vector in zip(maps, vectors)]]

    return builder.step(layer, out, compute, by_rows=False)


def check_lrn(layer: LRN, shape: Shape) -> None:
    """Raise an error for a window that has no centre: the kernel knows none."""
    if layer.size % 2 == 0:
        raise ValueError(
            f"layer {layer.name!r}: the engine computes LRN over an odd number of channels, "
            f"not size={layer.size}"
        )


# The kinds of layers that can stand in a program; convolutions, which are fused, aside.
STEPS: dict[type[Layer], Callable[[Layer, ProgramBuilder], Step]] = {
    MaxPool: max_pool,
    LRN: local_response_normalisation,
    ReLU: relu,
    Add: add,
    Concat: concat,
    GlobalAveragePool: global_average_pool,
    GlobalMaxPool: global_max_pool,
}
# What a kind's step cannot do, by functions of a layer and the shapes it reads that raise an error
# when a plan is made.
CHECKS: dict[type[Layer], Callable[..., None]] = {LRN: check_lrn}
