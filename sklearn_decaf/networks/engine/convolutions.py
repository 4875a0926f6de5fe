"""Convolutions as calls on fixed buffers: one method an algorithm (see `algorithms`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ... import _kernels
from ..._kernels.calls import Call, Phase, Unit
from ..layers import Conv, Shape
from .algorithms import PackedConv
from .memory import NO_PADS, Arena, Maps

# Rows of one product over copied patches, which are multiplied while they are in the cache.
PRODUCT_ROWS = 1024
# Transformed tiles and their products that are worked on at a time: about half a level 2 cache.
TILE_BYTES = 512 * 1024
# Weights smaller than this stay in the cache from image to image.
MANY_WEIGHTS = 512 * 1024
# What reading weights costs, in multiples of reading as many numbers of maps.
WEIGHT_COST = 1

Compute = Callable[[int, int], list[Phase]]
Align = Callable[[int], int]


def images_for_weights(conv: Conv, packed: PackedConv, in_shape: Shape, out_shape: Shape) -> int:
    """How many images a convolution's weights are best read for.

    Large weights come from memory, or from a slow cache, each time. That is worth it for as many
    images as have maps, or transformed tiles, of the weights' size; those have to come as well.
    """
    h, w, filters = out_shape
    if packed.algorithm.kind == "winograd":
        m, r = packed.algorithm.m, packed.algorithm.r
        tiles = math.ceil(h / m) * math.ceil(w / m) * (m + r - 1) ** 2
        channels = in_shape[-1] * packed.algorithm.block**2
        nbytes = 4 * tiles * (channels + filters)
    else:
        nbytes = 4 * (math.prod(in_shape) + math.prod(out_shape))
    if packed.nbytes < MANY_WEIGHTS:
        return 1
    return max(1, WEIGHT_COST * packed.nbytes // nbytes)


def split_evenly(first: int, end: int, n_parts: int) -> Iterator[tuple[int, int]]:
    """Cut a range into at most `n_parts` that are not empty."""
    n = end - first
    n_parts = max(1, min(n_parts, n))
    for part in range(n_parts):
        yield first + n * part // n_parts, first + n * (part + 1) // n_parts


class ConvolutionCompiler:
    """Turns convolutions into phases of calls.

    Scratch memory comes from `arena` and is kept until :meth:`release_scratch`, as calls made
    from one convolution may run between those of another.
    """

    def __init__(self, arena: Arena, n_parts: int):
        self._arena = arena
        self._n_parts = n_parts
        self._scratch: list[np.ndarray] = []

    def add_scratch(self, array: np.ndarray) -> None:
        """Keep an array from the arena as long as other scratch memory."""
        self._scratch.append(array)

    def release_scratch(self) -> None:
        """Give all scratch memory back: the calls that use it are complete."""
        for array in self._scratch:
            self._arena.give_back(array)
        self._scratch.clear()

    def _take(self, shape, dtype=np.float32) -> np.ndarray:
        array = self._arena.take(shape, dtype)
        self._scratch.append(array)
        return array

    def _scratch_for_parts(self, *wanted: tuple) -> Callable[[], list[list[np.ndarray]]]:
        """Scratch memory for each thread, taken when it is first asked for."""
        taken: list[list[np.ndarray]] = []

        def scratch() -> list[list[np.ndarray]]:
            if not taken:
                taken.extend(
                    [self._take(shape, dtype) for shape, dtype in wanted]
                    for _ in range(self._n_parts)
                )
            return taken

        return scratch

    def compile(
        self,
        conv: Conv,
        packed: PackedConv,
        x: Maps,
        out: Maps,
        limits: tuple[float, float],
        residual: Maps | None,
    ) -> tuple[Compute, Align, Align]:
        """Prepare a convolution of `x`, with its border, into `out`, both to be allocated later.

        Returns
        -------
        compute : callable
            Takes the first row and the end; returns phases that compute these rows.
        align : callable
            How many of the first rows are complete when so many are wanted.
        reach : callable
            How many of the first rows are touched when so many, aligned, are computed.
        """
        make = getattr(self, f"_{packed.algorithm.kind}")
        return make(conv, packed, x, out, limits, residual)

    # Products ----------------------------------------------------------------------------------

    def _product(
        self, x, start, row_step, column_step, packed, group, target, at, shape, limits, other
    ) -> Unit:
        """Calls of the product whose rows are written into `target`; see `Kernels.bind_matmul`.

        Columns that are there for the sake of a wider tile are computed aside, and left there.
        """
        kernels = _kernels.kernels
        panels, bias, filters = packed.kernels[group], packed.bias[group], packed.filters
        top, left, offset = at
        if len(bias) == filters:
            return kernels.bind_matmul(
                x, start, row_step, column_step, panels, bias, *limits, target, at, shape, other
            )
        aside = self._take((*shape, len(bias)))
        calls = kernels.bind_matmul(
            x, start, row_step, column_step, panels, bias, -np.inf, np.inf, aside, (0, 0, 0), shape
        )
        rows, columns = shape
        place = np.s_[top : top + rows, left : left + columns, offset : offset + filters]
        values = aside[..., :filters]
        if other is None:
            return [*calls, kernels.bind_clip(values, *limits, target[place])]
        return [*calls, kernels.bind_add_and_clip(values, other[place], *limits, target[place])]

    def _matrix(self, conv, packed, x, out, limits, residual):
        oh, ow, _ = out.shape
        (pad_top, _), (pad_left, _) = conv.pads(x.shape)
        s, c, wp = conv.stride, x.channels, x.width
        depth = c // conv.groups
        # without borders, all rows of the maps are one long row of the matrix product
        joined = s == 1 and wp == ow == out.width

        def product(x_array, start, steps, target, at, shape, other) -> Unit:
            calls = []
            top, left, channel = at
            for g in range(conv.groups):
                place = top, left, channel + g * packed.filters
                calls += self._product(
                    x_array, start + g * depth, *steps, packed, g, target, place, shape, limits,
                    other,
                )  # fmt: skip
            return calls

        def as_one_row(maps: Maps | None) -> np.ndarray | None:
            return None if maps is None else maps.storage.array.reshape(1, -1, maps.channels)

        def compute(first: int, end: int) -> list[Phase]:
            if joined and (first, end) == (0, oh) and x.height == out.height == oh:
                # the pixels of all images
                target, other = as_one_row(out), as_one_row(residual)
                parts = split_evenly(0, x.n * oh * ow, self._n_parts)
                return [
                    [
                        product(
                            x.storage.array, a * c, (0, c), target, (0, a, out.channel), (1, b - a),
                            other,
                        )
                        for a, b in parts
                    ]
                ]  # fmt: skip
            phase = []
            for i in range(x.n):
                for a, b in split_evenly(first, end, self._n_parts):
                    start = (x.row(a * s - pad_top) * wp + x.left - pad_left) * c
                    target = out.image(i, a, b)
                    other = None if residual is None else residual.image(i, a, b)
                    at, shape = (0, out.left, out.channel), (b - a, ow)
                    if joined:
                        target = target.reshape(1, -1, out.channels)
                        other = None if other is None else other.reshape(target.shape)
                        shape = 1, (b - a) * ow
                    steps = s * wp * c, s * c
                    array = x.storage.array[i]
                    phase.append(product(array, start, steps, target, at, shape, other))
            return [phase]

        return compute, _any, _any

    def _patches(self, conv, packed, x, out, limits, residual, dtype=np.float32):
        oh, ow, _ = out.shape
        k, s, c = conv.kernel_size, conv.stride, x.channels
        (pad_top, _), _ = conv.pads(x.shape) if x.pads != NO_PADS else NO_PADS
        depth = c // conv.groups
        size = k * k * depth
        n_rows = min(oh, max(1, PRODUCT_ROWS // ow))
        scratch = self._scratch_for_parts(((n_rows, ow, k, k * depth), dtype))

        def block(i: int, a: int, b: int, patches: np.ndarray) -> Unit:
            calls = []
            for g in range(conv.groups):
                image = x.image(i, a * s - pad_top)
                copy = _kernels.kernels.bind_patches
                calls.append(copy(image, k, s, 0, b - a, g * depth, depth, patches))
                target = out.image(i, a, b)
                other = None if residual is None else residual.image(i, a, b)
                shape = b - a, ow
                at = 0, out.left, out.channel + g * packed.filters
                if out.width == ow:
                    target = target.reshape(1, -1, out.channels)
                    other = None if other is None else other.reshape(target.shape)
                    shape = 1, (b - a) * ow
                calls += self._product(
                    patches, 0, ow * size, size, packed, g, target, at, shape, limits, other
                )
            return calls

        def compute(first: int, end: int) -> list[Phase]:
            phases = []
            for i in range(x.n):
                parts = split_evenly(first, end, self._n_parts)
                phase = []
                for (a, b), (patches,) in zip(parts, scratch()):
                    calls = []
                    for y in range(a, b, n_rows):
                        calls += block(i, y, min(y + n_rows, b), patches)
                    phase.append(calls)
                phases.append(phase)
            return phases

        return compute, _any, _any

    def _double(self, conv, packed, x, out, limits, residual):
        """As `_patches`, but the patches are float64, and so are the sums."""
        return self._patches(conv, packed, x, out, limits, residual, np.float64)

    def _depthwise(self, conv, packed, x, out, limits, residual):
        k, s = conv.kernel_size, conv.stride
        (pad_top, _), _ = conv.pads(x.shape)
        kernels = _kernels.kernels
        double = packed.algorithm.double
        bind = kernels.bind_depthwise_double if double else kernels.bind_depthwise

        def compute(first: int, end: int) -> list[Phase]:
            phase = []
            for i in range(x.n):
                for a, b in split_evenly(first, end, self._n_parts):
                    image = x.image(i, a * s - pad_top, (b - 1) * s - pad_top + k)
                    target = out.image(i, a, b)
                    own = packed.kernels[0], packed.bias[0]
                    phase.append([bind(image, *own, s, *limits, target)])
            return [phase]

        return compute, _any, _any

    # Winograd ----------------------------------------------------------------------------------

    def _winograd(self, conv, packed, x, out, limits, residual):
        m, r = packed.algorithm.m, packed.algorithm.r
        h, w, filters = out.shape
        n, c = x.n, x.channels
        size = (m + r - 1) ** 2
        across, down = math.ceil(w / m), math.ceil(h / m)
        kernels = _kernels.kernels

        # The last row of tiles ends with the map, and writes over rows of the one before it. Only
        # rows that nothing writes over later are complete.
        def tile_rows(end: int) -> int:
            rows = math.ceil(end / m)
            return rows if rows < down and min(rows * m, h - m) >= end else down

        def align(end: int) -> int:
            rows = tile_rows(end)
            return h if rows == down else min(rows * m, h - m)

        def reach(end: int) -> int:
            return min(tile_rows(end) * m, h)

        def products(tiles, result, group_range=None) -> Unit:
            """Multiply all tiles (size, t, c) -> (size, t, filters)."""
            a, b = group_range or (0, size)
            t, depth = tiles.shape[1], c // conv.groups
            calls = []
            for g in range(conv.groups):
                panels = [(first, array[a:b]) for first, array in packed.kernels[g]]
                calls += kernels.bind_matmul(
                    tiles[a:b],
                    g * depth,
                    t * c,
                    c,
                    panels,
                    None,
                    0,
                    0,
                    result[a:b],
                    (0, 0, g * packed.filters),
                    (1, t),
                )
            return calls

        def inputs(i, tiles, first, rows, start) -> Call:
            image, base = x.storage.array[i], x.storage.base
            return kernels.bind_winograd_input(m, r, image, (h, w), base, first, rows, start, tiles)

        low, high = limits if residual is None else (-np.inf, np.inf)
        bias = packed.bias[0] if conv.groups == 1 else np.concatenate(packed.bias)

        def outputs(i, result, first, rows, start) -> Call:
            at = out.row(0), out.left, out.channel
            image = out.storage.array[i]
            return kernels.bind_winograd_output(
                m, r, result, first, rows, start, (h, w), bias, low, high, image, at
            )

        def add_residual(first: int, end: int) -> Phase:
            both = zip(out.rows(first, end), residual.rows(first, end))
            add = kernels.bind_add_and_clip
            return [[add(values, other, *limits, values) for values, other in both]]

        if n > 1 or images_for_weights(conv, packed, x.shape, out.shape) > 1:
            t = across * down

            def compute(first: int, end: int) -> list[Phase]:
                tiles, result = self._take((size, n * t, c)), self._take((size, n * t, filters))
                phases = [
                    [[inputs(i, tiles, 0, down, i * t)] for i in range(n)],
                    [
                        products(tiles, result, part)
                        for part in split_evenly(0, size, self._n_parts)
                    ],
                    [[outputs(i, result, 0, down, i * t)] for i in range(n)],
                ]
                return phases + ([] if residual is None else [add_residual(first, end)])

            return compute, lambda end: h, lambda end: h

        tile_bytes = 4 * size * across * (c + filters)
        n_rows = max(1, min(down, TILE_BYTES // tile_bytes))
        scratch = self._scratch_for_parts(
            ((size, n_rows * across, c), np.float32),
            ((size, n_rows * across, filters), np.float32),
        )

        def compute(first: int, end: int) -> list[Phase]:
            start, stop = tile_rows(first) if first else 0, tile_rows(end)
            parts = list(split_evenly(start, stop, self._n_parts))
            if stop == down and h % m and len(parts) > 1 and parts[-1][0] == down - 1:
                # the last two rows of tiles overlap: the last must be written last
                parts[-2:] = [(parts[-2][0], down)]
            phase = []
            for (a, b), (tiles, result) in zip(parts, scratch()):
                calls = []
                for row in range(a, b, n_rows):
                    rows = min(n_rows, b - row)
                    own, made = tiles[:, : rows * across], result[:, : rows * across]
                    if rows < n_rows:  # the arrays have to be contiguous
                        own, made = (
                            array.reshape(-1)[: size * rows * across * array.shape[2]].reshape(
                                size, rows * across, -1
                            )
                            for array in (tiles, result)
                        )
                    calls.append(inputs(0, own, row, rows, 0))
                    calls += products(own, made)
                    calls.append(outputs(0, made, row, rows, 0))
                phase.append(calls)
            return [phase] + ([] if residual is None else [add_residual(first, end)])

        return compute, align, reach


def _any(end: int) -> int:
    """Rows can be computed one by one."""
    return end
