"""Matrix products of one compiled set: the right matrix packed once, the left one anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module

import numpy as np

from ._arrays import aligned_zeros, require
from .calls import Call
from .tiles import TILES, Tile

# One width of a packed matrix: (first column, array (groups, panels, depth, vectors, lanes))
Panels = tuple[int, np.ndarray]


class MatrixProducts:
    """The products of one compiled set; see :class:`._functions.Kernels`."""

    def __init__(self, kernel_set: str):
        # {type of the numbers: {width: [(tile, function), ...]}}, the widest first
        self._matmuls: dict = {np.dtype(np.float32): {}, np.dtype(np.float64): {}}
        for tile in TILES[kernel_set]:
            module = import_module(f"{__package__}.{kernel_set}.{tile.module}")
            by_width = self._matmuls[np.dtype(tile.dtype)]
            by_width.setdefault(tile.width, []).append((tile, getattr(module, tile.module)))

    def pack_matrix(self, matrix: np.ndarray, *, fill: bool = False) -> list[Panels]:
        """Arrange the right matrix of products as :meth:`bind_matmul` reads it.

        Parameters
        ----------
        matrix : ndarray of shape (groups, depth, columns), float32 or float64
            The columns are filled up with zeros to a multiple of 8.
        fill : bool, default=False
            Whether to fill them up further where the next wider tile is faster than two narrow
            ones: narrow tiles spend their time on loading the left matrix.

        Returns
        -------
        list of (first column, ndarray of shape (groups, panels, depth, vectors, lanes))
            Panels of the widest tile for most columns, of narrower ones for the rest.
        """
        groups, depth, columns = matrix.shape
        by_width = self._matmuls[matrix.dtype]
        packed, first = [], 0
        for width, tiles in by_width.items():
            narrower = [other for other in by_width if other < width]
            rest = columns - first
            count = rest // width
            # what is left after whole panels: to a panel of this width, or to narrower ones
            if rest % width > (max(narrower, default=0) if fill or not narrower else width - 1):
                count += 1
            if count <= 0:
                continue
            tile = tiles[0][0]
            shape = groups, count, depth, tile.vectors, tile.lanes
            panels = aligned_zeros(shape, matrix.dtype)
            flat = panels.reshape(groups, count, depth, width)
            for panel in range(count):
                part = matrix[:, :, first + panel * width : first + (panel + 1) * width]
                flat[:, panel, :, : part.shape[2]] = part
            packed.append((first, panels))
            first += count * width
        return packed

    @staticmethod
    def packed_width(packed: list[Panels]) -> int:
        """The columns of a packed matrix, zeros included."""
        first, panels = packed[-1]
        return first + panels.shape[1] * panels.shape[3] * panels.shape[4]

    def bind_matmul(
        self,
        x,
        start,
        row_step,
        column_step,
        packed,
        bias,
        low,
        high,
        out,
        at,
        shape,
        residual=None,
    ) -> list[Call]:
        """Prepare a product of matrices whose rows lie anywhere in `x`; calls that compute it.

        Row (g, y, u) of the left matrix is the numbers of `x` from ``start + (g * rows + y) *
        row_step + u * column_step`` on, times the matrix of group g. Sums run over the depth in
        order, so a row has the same bits wherever it stands and whatever stands beside it.

        Parameters
        ----------
        x : ndarray, of any shape, of the type of the packed numbers
            With float64, sums are rounded once, when they are written.
        start, row_step, column_step : int
        packed : list
            From :meth:`pack_matrix`.
        bias : ndarray of shape (columns,), or None
            None: the products are written as they are.
        low, high : float
            Bounds of the activation, with a bias only.
        out : ndarray of shape (h, w, c)
        at : (int, int, int)
            Where in `out` row (0, 0, 0), column 0 is written.
        shape : (int, int)
            The rows y of one group, and the columns u.
        residual : ndarray of the shape of `out`, optional
            Added, with the bias, to what is written.
        """
        rows, columns = shape
        top, left, offset = at
        groups, _, depth, _, _ = packed[0][1].shape
        width = self.packed_width(packed)
        require(
            min(start, row_step, column_step, *at) >= 0
            and min(rows, columns, depth) >= 1
            and start + (groups * rows - 1) * row_step + (columns - 1) * column_step + depth
            <= x.size
            and top + groups * rows <= out.shape[0]
            and left + columns <= out.shape[1]
            and offset + width <= out.shape[2]
            and (bias is None or bias.shape == (width,))
            and (residual is None or residual.shape == out.shape)
            and (bias is not None or x.dtype == np.float32)
            and all(panels.dtype == x.dtype for _, panels in packed)
            and x.flags.c_contiguous,
            "matmul",
            x=x,
            start=start,
            row_step=row_step,
            column_step=column_step,
            depth=depth,
            width=width,
            shape=shape,
            out=out,
            at=at,
        )
        then = 0 if bias is None else 1 if residual is None else 2
        flat = x.reshape(-1)
        calls = []
        for first, panels in packed:
            n = panels.shape[1] * panels.shape[3] * panels.shape[4]
            own = np.zeros(0, x.dtype) if bias is None else bias[first : first + n]
            tile, function = self._matmul(x.dtype, panels.shape[3] * panels.shape[4], columns)
            wide = x.dtype == np.float64
            sums = np.empty((tile.rows, tile.width) if wide else (0, 0), x.dtype)
            bound = function(
                flat, start, depth, groups, rows, columns, row_step, column_step, panels, own,
                float(low), float(high), out, top, left, offset + first, then,
                out if residual is None else residual, sums,
            )  # fmt: skip
            calls.append(Call(bound))
        return calls

    def _matmul(self, dtype, width: int, columns: int) -> tuple[Tile, Callable]:
        """The tile, and its function, that computes the fewest rows for nothing."""
        by_width = self._matmuls[dtype]
        fitting = [pair for pair in by_width[width] if pair[0].rows <= columns]

        def cost(pair):  # a tile takes its rows, and something to begin and to end
            rows = pair[0].rows
            return math.ceil(columns / rows) * (rows + 2)

        return min(fitting, key=cost)
