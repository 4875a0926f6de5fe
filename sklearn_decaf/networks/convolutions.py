"""Convolutions as calls on fixed buffers: one method an algorithm (see `algorithms`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import _kernels
from .algorithms import PackedConv
from .layers import Conv
from .memory import Arena, Maps
from .schedule import Call, Phase

# Rows of one product over copied patches, which are multiplied while they are in the cache.
PRODUCT_ROWS = 1024
# Transformed tiles and their products that are worked on at a time: about half a level 2 cache.
TILE_BYTES = 512 * 1024
# Weights larger than the cache: all images are then multiplied with each part of them in turn.
LARGE_WEIGHTS = 4 * 2**20

Compute = Callable[[int, int], list[Phase]]
Align = Callable[[int], int]


def is_large(packed: PackedConv) -> bool:
    """Whether a convolution's weights should be read once for many images."""
    return packed.algorithm.kind == "winograd" and packed.nbytes > LARGE_WEIGHTS


def split_evenly(first: int, end: int, n_parts: int) -> Iterator[tuple[int, int]]:
    """Cut a range into at most `n_parts` that are not empty."""
    n = end - first
    n_parts = max(1, min(n_parts, n))
    for part in range(n_parts):
        yield first + n * part // n_parts, first + n * (part + 1) // n_parts


def in_turn(calls: list[Call]) -> Call:
    """One call that makes several, one after another."""
    if len(calls) == 1:
        return calls[0]

    def run() -> None:
        for call in calls:
            call()

    return run


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

    def compile(
        self,
        conv: Conv,
        packed: PackedConv,
        x: Maps,
        out: Maps,
        limits: tuple[float, float],
        residual: np.ndarray | None,
    ) -> tuple[Compute, Align, Align]:
        """Prepare a convolution of `x`, with its border, into `out`.

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

    def _product(self, x, start, row_step, column_step, packed, group, out, at, shape, limits,
                 residual) -> list[Call]:
        """Calls of one product with what follows; see `Kernels.bind_matmul`."""
        kernels = _kernels.kernels
        panels, bias = packed.kernels[group], packed.bias[group]
        filters = packed.filters
        if len(bias) == filters:
            return kernels.bind_matmul(
                x, start, row_step, column_step, panels, bias, *limits, out, at, shape, residual
            )
        # columns that are no multiple of 8 are computed aside, and copied without the filling
        top, left, offset = at
        rows, columns = shape
        aside = self._take((rows, columns, len(bias)))
        calls = kernels.bind_matmul(
            x, start, row_step, column_step, panels, bias, -np.inf, np.inf, aside, (0, 0, 0), shape
        )
        place = np.s_[top : top + rows, left : left + columns, offset : offset + filters]
        values = aside[..., :filters]
        if residual is not None:
            calls.append(partial(np.add, values, residual[place], out=values))
        calls.append(partial(np.clip, values, *map(np.float32, limits), out=out[place]))
        return calls

    def _matrix(self, conv, packed, x, out, limits, residual):
        n, _, wp, c = x.array.shape
        oh, ow, m = out.shape
        (pad_top, _), (pad_left, _) = conv.pads(x.shape)
        s, depth, filters = conv.stride, c // conv.groups, m // conv.groups
        # without borders, all rows of the map are one long row of the matrix product
        joined = s == 1 and wp == ow and out.array.shape[2] == ow

        def compute(first: int, end: int) -> list[Phase]:
            phase = []
            for i in range(n):
                for a, b in split_evenly(first, end, self._n_parts):
                    calls = []
                    for g in range(conv.groups):
                        start = ((x.top - pad_top + a * s) * wp + x.left - pad_left) * c + g * depth
                        target, own = out.array[i], None if residual is None else residual[i]
                        at = out.top + a, out.left, out.channel + g * filters
                        shape = b - a, ow
                        if joined:
                            target = target.reshape(1, -1, target.shape[2])
                            own = None if own is None else own.reshape(target.shape)
                            at, shape = (0, at[0] * ow, at[2]), (1, (b - a) * ow)
                        calls += self._product(
                            x.array[i], start, s * wp * c, s * c, packed, g, target, at, shape,
                            limits, own,
                        )
                    phase.append(in_turn(calls))
            return [phase]

        return compute, _any, _any

    def _patches(self, conv, packed, x, out, limits, residual):
        n, _, _, c = x.array.shape
        oh, ow, m = out.shape
        k, s = conv.kernel_size, conv.stride
        depth, filters = c // conv.groups, m // conv.groups
        n_rows = min(oh, max(1, PRODUCT_ROWS // ow))
        scratch = [self._take((n_rows, ow, k, k * depth)) for _ in range(self._n_parts)]

        def block(i: int, a: int, b: int, patches: np.ndarray) -> list[Call]:
            calls = []
            own = None if residual is None else residual[i]
            for g in range(conv.groups):
                copy = _kernels.kernels.patches
                calls.append(
                    partial(copy, x.array[i], k, s, a, b - a, g * depth, depth, patches)
                )
                at = out.top + a, out.left, out.channel + g * filters
                size = k * k * depth
                calls += self._product(
                    patches, 0, ow * size, size, packed, g, out.array[i], at, (b - a, ow), limits,
                    own,
                )
            return calls

        def compute(first: int, end: int) -> list[Phase]:
            phases = []
            for i in range(n):
                parts = split_evenly(first, end, self._n_parts)
                phase = []
                for (a, b), patches in zip(parts, scratch):
                    calls = []
                    for y in range(a, b, n_rows):
                        calls += block(i, y, min(y + n_rows, b), patches)
                    phase.append(in_turn(calls))
                phases.append(phase)
            return phases

        return compute, _any, _any

    def _double(self, conv, packed, x, out, limits, residual):
        """Products in float64 by BLAS, always of the same blocks of rows: it may add up in an
        order that depends on the size."""
        n, _, _, c = x.array.shape
        oh, ow, m = out.shape
        k, s = conv.kernel_size, conv.stride
        depth, filters = c // conv.groups, m // conv.groups
        (pad_top, _), (pad_left, _) = conv.pads(x.shape)
        n_rows = min(oh, max(1, PRODUCT_ROWS // ow))
        scratch = [
            (self._take((n_rows * ow, k * k * depth), np.float64),
             self._take((n_rows * ow, filters), np.float64))
            for _ in range(self._n_parts)
        ]  # fmt: skip
        lowest, highest = (np.float64(limit) for limit in limits)

        def block(i: int, y: int, patches: np.ndarray, products: np.ndarray) -> list[Call]:
            rows = min(n_rows, oh - y)
            patches, products = patches[: rows * ow], products[: rows * ow]
            image = x.array[i, x.top - pad_top :, x.left - pad_left :]
            values = products.reshape(rows, ow, filters)
            calls = []
            for g in range(conv.groups):
                part = image[y * s :, :, g * depth : (g + 1) * depth]
                dy, dx, dc = part.strides
                windows = as_strided(
                    part, (rows, ow, k, k, depth), (dy * s, dx * s, dy, dx, dc), writeable=False
                )
                calls.append(partial(np.copyto, patches.reshape(windows.shape), windows))
                calls.append(partial(np.matmul, patches, packed.kernels[g], out=products))
                calls.append(partial(np.add, values, packed.bias[g], out=values))
                place = np.s_[
                    out.top + y : out.top + y + rows,
                    out.left : out.left + ow,
                    out.channel + g * filters : out.channel + (g + 1) * filters,
                ]
                if residual is not None:
                    calls.append(partial(np.add, values, residual[i][place], out=values))
                target = out.array[i][place]
                calls.append(
                    partial(np.clip, values, lowest, highest, out=target, casting="same_kind")
                )
            return calls

        def align(end: int) -> int:
            return min(oh, math.ceil(end / n_rows) * n_rows)

        def compute(first: int, end: int) -> list[Phase]:
            phases = []
            blocks = list(range(first, end, n_rows))
            for i in range(n):
                parts = split_evenly(0, len(blocks), self._n_parts)
                phases.append([
                    in_turn([call for y in blocks[a:b] for call in block(i, y, *own)])
                    for (a, b), own in zip(parts, scratch)
                ])  # fmt: skip
            return phases

        return compute, align, _any

    def _depthwise(self, conv, packed, x, out, limits, residual):
        n = x.array.shape[0]
        k, s = conv.kernel_size, conv.stride
        kernels = _kernels.kernels
        bind = kernels.bind_depthwise_double if conv.double_precision else kernels.bind_depthwise

        def compute(first: int, end: int) -> list[Phase]:
            phase = [
                bind(
                    x.array[i, a * s : (b - 1) * s + k],
                    packed.kernels[0],
                    packed.bias[0],
                    s,
                    *limits,
                    out.array[i, out.top + a : out.top + b],
                )
                for i in range(n)
                for a, b in split_evenly(first, end, self._n_parts)
            ]
            return [phase]

        return compute, _any, _any

    # Winograd ----------------------------------------------------------------------------------

    def _winograd(self, conv, packed, x, out, limits, residual):
        m, r = packed.algorithm.m, packed.algorithm.r
        h, w, filters = out.shape
        n, _, _, c = x.array.shape
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

        def products(tiles, result, group_range=None) -> list[Call]:
            """Multiply all tiles (size, t, c) -> (size, t, filters)."""
            a, b = group_range or (0, size)
            t, depth = tiles.shape[1], c // conv.groups
            calls = []
            for g in range(conv.groups):
                panels = [(first, array[a:b]) for first, array in packed.kernels[g]]
                calls += kernels.bind_matmul(
                    tiles[a:b], g * depth, t * c, c, panels, None, 0, 0, result[a:b],
                    (0, 0, g * packed.filters), (1, t),
                )
            return calls

        def inputs(i, tiles, first, rows, start) -> Call:
            return partial(kernels.winograd_input, m, r, x.array[i], first, rows, start, tiles)

        low, high = limits if residual is None else (-np.inf, np.inf)
        bias = packed.bias[0] if conv.groups == 1 else np.concatenate(packed.bias)

        def outputs(i, result, first, rows, start) -> Call:
            return partial(
                kernels.winograd_output, m, r, result, first, rows, start, (h, w), bias, low, high,
                out.array[i], (out.top, out.left, out.channel),
            )

        def add_residual(first: int, end: int) -> Phase:
            values = out.view[:, first:end]
            other = residual[:, first:end]
            return [
                in_turn([
                    partial(np.add, values, other, out=values),
                    partial(np.clip, values, *map(np.float32, limits), out=values),
                ])
            ]  # fmt: skip

        if n > 1 or is_large(packed):
            t = across * down
            tiles, result = self._take((size, n * t, c)), self._take((size, n * t, filters))

            def compute(first: int, end: int) -> list[Phase]:
                phases = [
                    [inputs(i, tiles, 0, down, i * t) for i in range(n)],
                    [
                        in_turn(products(tiles, result, part))
                        for part in split_evenly(0, size, self._n_parts)
                    ],
                    [outputs(i, result, 0, down, i * t) for i in range(n)],
                ]
                return phases + ([] if residual is None else [add_residual(first, end)])

            return compute, lambda end: h, lambda end: h

        tile_bytes = 4 * size * across * (c + filters)
        n_rows = max(1, min(down, TILE_BYTES // tile_bytes))
        scratch = [
            (self._take((size, n_rows * across, c)), self._take((size, n_rows * across, filters)))
            for _ in range(self._n_parts)
        ]

        def compute(first: int, end: int) -> list[Phase]:
            start, stop = tile_rows(first) if first else 0, tile_rows(end)
            parts = list(split_evenly(start, stop, self._n_parts))
            if stop == down and h % m and len(parts) > 1 and parts[-1][0] == down - 1:
                # the last two rows of tiles overlap: the last must be written last
                parts[-2:] = [(parts[-2][0], down)]
            phase = []
            for (a, b), (tiles, result) in zip(parts, scratch):
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
                phase.append(in_turn(calls))
            return [phase] + ([] if residual is None else [add_residual(first, end)])

        return compute, align, reach


def _any(end: int) -> int:
    """Rows can be computed one by one."""
    return end
