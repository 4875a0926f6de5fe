"""Convolutions by Winograd's algorithm: tiles of the map are transformed, multiplied, transformed
back.

F(m, r) makes n x n numbers of each tile, n = m + r - 1, and as many matrix products, each of all
tiles (t, c) with one matrix (c, filters). The last tiles of a row or column end with the map, so
they overlap those before, and no map is padded to whole tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .... import _kernels
from ...._kernels.calls import Call, Phase, Task
from ...._kernels.places import UNBOUNDED, Place, Rows, TileRows
from ..workspace import split_evenly
from .operands import ConvAlgorithm, ConvOperands


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a map of h x w outputs."""

    m: int
    r: int
    h: int
    w: int

    @property
    def n_products(self) -> int:
        """Numbers of a transformed tile: the matrix products there are."""
        return (self.m + self.r - 1) ** 2

    @property
    def across(self) -> int:
        """Tiles in a row."""
        return math.ceil(self.w / self.m)

    @property
    def down(self) -> int:
        """Rows of tiles."""
        return math.ceil(self.h / self.m)

    # The last row of tiles ends with the map, and writes over rows of the one before it. Only rows
    # that nothing writes over later are complete.

    def n_rows(self, n: int) -> int:
        """The rows of tiles that it takes to complete the first n rows of the map."""
        rows = math.ceil(n / self.m)
        return rows if rows < self.down and min(rows * self.m, self.h - self.m) >= n else self.down

    def align(self, n: int) -> int:
        """The rows that are complete then."""
        rows = self.n_rows(n)
        return self.h if rows == self.down else min(rows * self.m, self.h - self.m)

    def reach(self, n: int) -> int:
        """The rows that are written to then."""
        return min(self.n_rows(n) * self.m, self.h)

    def tile_rows(self, first: int, n_rows: int, start: int = 0) -> TileRows:
        """Some rows of tiles, whose first tile is number `start` of an array of tiles."""
        return TileRows(self.m, self.r, (self.h, self.w), first, n_rows, start)


class _WinogradCalls(ConvAlgorithm):
    """The three kinds of calls of which Winograd's algorithm consists."""

    def __init__(self, operands: ConvOperands):
        super().__init__(operands)
        algorithm, (h, w, self._filters) = operands.packed.algorithm, operands.out.shape
        self._grid = TileGrid(algorithm.m, algorithm.r, h, w)
        groups = operands.packed.bias
        self._bias = groups[0] if len(groups) == 1 else np.concatenate(groups)

    def _written_parts(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Cut rows of tiles into parts that may be written at the same time."""
        grid = self._grid
        parts = list(split_evenly(start, stop, self.operands.workspace.n_parts))
        overlap = stop == grid.down and grid.h % grid.m
        if overlap and len(parts) > 1 and parts[-1][0] == grid.down - 1:
            # the last two rows of tiles overlap: the last must be written last
            parts[-2:] = [(parts[-2][0], grid.down)]
        return parts

    def _transform(self, i: int, tiles: np.ndarray, rows: TileRows) -> Call:
        """From the map of image i to tiles (n * n, t, c)."""
        x = self.operands.x.storage
        return _kernels.kernels.bind_winograd_input(rows, x.array[i], x.base, tiles)

    def _multiply(self, tiles: np.ndarray, products: np.ndarray, first: int, end: int) -> Task:
        """Some of the products of all tiles: (n * n, t, c) -> (n * n, t, filters)."""
        packed, groups = self.operands.packed, self.operands.conv.groups
        _, t, c = tiles.shape
        depth = c // groups
        task: Task = []
        for g in range(groups):
            panels = [(column, stack[first:end]) for column, stack in packed.kernels[g]]
            rows = Rows(tiles[first:end], g * depth, t * c, c, (1, t))
            place = Place(products[first:end], (0, 0, g * packed.filters))
            task += _kernels.kernels.bind_matmul(rows, panels, place)
        return task

    def _transform_back(self, i: int, products: np.ndarray, rows: TileRows) -> Call:
        """From products to the map of image i, with the bias."""
        out = self.operands.out
        place = Place(out.storage.array[i], (out.row(0), out.left, out.channel))
        # what a residual is added to has no bounds yet
        bounds = self.operands.bounds if self.operands.residual is None else UNBOUNDED
        return _kernels.kernels.bind_winograd_output(rows, products, self._bias, place, bounds)

    def _add_residual(self, first: int, end: int) -> list[Phase]:
        out, residual = self.operands.out, self.operands.residual
        if residual is None:
            return []
        add, bounds = _kernels.kernels.bind_add_and_clip, self.operands.bounds
        both = zip(out.rows(first, end), residual.rows(first, end))
        return [[[add(values, other, *bounds, values)] for values, other in both]]


class Winograd(_WinogradCalls):
    """A few rows of tiles of an image at a time, while they are in the cache."""

    def __init__(self, operands: ConvOperands):
        super().__init__(operands)
        grid, c = self._grid, operands.x.channels
        row_bytes = 4 * grid.n_products * grid.across * (c + self._filters)
        self._n_rows = max(1, min(grid.down, operands.limits.tile_bytes // row_bytes))
        tiles = grid.n_products, self._n_rows * grid.across
        self._scratch = operands.workspace.take_for_parts(
            ((*tiles, c), np.float32), ((*tiles, self._filters), np.float32)
        )

    def align(self, n: int) -> int:
        return self._grid.align(n)

    def reach(self, n: int) -> int:
        return self._grid.reach(n)

    def compute(self, first: int, end: int) -> list[Phase]:
        grid = self._grid
        start, stop = grid.n_rows(first) if first else 0, grid.n_rows(end)
        parts = self._written_parts(start, stop)
        phases = [
            [self._part(i, a, b, *scratch) for (a, b), scratch in zip(parts, self._scratch())]
            for i in range(self.operands.x.n)
        ]
        return [*phases, *self._add_residual(first, end)]

    def _part(self, i: int, a: int, b: int, tiles: np.ndarray, products: np.ndarray) -> Task:
        """Rows of tiles of image i, a few after another."""
        grid = self._grid
        task: Task = []
        for row in range(a, b, self._n_rows):
            n = min(self._n_rows, b - row)
            own, made = (_first_tiles(array, n * grid.across) for array in (tiles, products))
            rows = grid.tile_rows(row, n)
            task.append(self._transform(i, own, rows))
            task += self._multiply(own, made, 0, grid.n_products)
            task.append(self._transform_back(i, made, rows))
        return task


class WholeMapWinograd(_WinogradCalls):
    """All tiles of all images at a time, so that the weights are read once for all."""

    def align(self, n: int) -> int:
        return self._grid.h

    def reach(self, n: int) -> int:
        return self._grid.h

    def compute(self, first: int, end: int) -> list[Phase]:
        given, grid = self.operands, self._grid
        n, t = given.x.n, grid.across * grid.down  # images, tiles of each
        tiles = given.workspace.take((grid.n_products, n * t, given.x.channels))
        products = given.workspace.take((grid.n_products, n * t, self._filters))
        n_parts = given.workspace.n_parts

        def rows(i: int, a: int, b: int) -> TileRows:
            return grid.tile_rows(a, b - a, i * t + a * grid.across)

        return [
            [
                [self._transform(i, tiles, rows(i, a, b))]
                for i in range(n)
                for a, b in split_evenly(0, grid.down, n_parts)
            ],
            [
                self._multiply(tiles, products, a, b)
                for a, b in split_evenly(0, grid.n_products, n_parts)
            ],
            [
                [self._transform_back(i, products, rows(i, a, b))]
                for i in range(n)
                for a, b in self._written_parts(0, grid.down)
            ],
            *self._add_residual(first, end),
        ]


def _first_tiles(array: np.ndarray, t: int) -> np.ndarray:
    """Room for t tiles at the beginning of an array (n * n, more tiles, c), contiguous."""
    n_products, whole, c = array.shape
    if t == whole:
        return array
    return array.reshape(-1)[: n_products * t * c].reshape(n_products, t, c)
