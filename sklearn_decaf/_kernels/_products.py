"""Matrix products of one compiled set: the right matrix packed once, the left one anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module

import numpy as np

from ._arrays import aligned_zeros, require
from .calls import Call, Task
from .places import UNBOUNDED, Place, Rows
from .tiles import TILES, Tile

# What a kernel does with a sum: the argument `then` in build_tools/matmul_kernels.py
STORE, ADD_BIAS, ADD_BIAS_AND_RESIDUAL = 0, 1, 2

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
            panels = aligned_zeros((groups, count, depth, tile.vectors, tile.lanes), matrix.dtype)
            packed.append((first, panels))
            first += count * width
        self.write_matrix(matrix, packed)
        return packed

    @staticmethod
    def write_matrix(matrix: np.ndarray, packed: list[Panels]) -> None:
        """Write other numbers into a packed matrix of the same shape."""
        groups, depth, columns = matrix.shape
        for first, panels in packed:
            width = panels.shape[3] * panels.shape[4]
            flat = panels.reshape(groups, -1, depth, width)
            whole = min(panels.shape[1], (columns - first) // width)
            end = first + whole * width
            parts = matrix[:, :, first:end].reshape(groups, depth, whole, width)
            flat[:, :whole] = parts.transpose(0, 2, 1, 3)
            if whole < panels.shape[1]:
                flat[:, whole, :, : columns - end] = matrix[:, :, end:]

    @staticmethod
    def packed_width(packed: list[Panels]) -> int:
        """The columns of a packed matrix, zeros included."""
        first, panels = packed[-1]
        return first + panels.shape[1] * panels.shape[3] * panels.shape[4]

    def pad_columns(self, bias: np.ndarray, packed: list[Panels]) -> np.ndarray:
        """Fill up a vector with zeros to the columns of a packed matrix, as float32."""
        padded = np.zeros(self.packed_width(packed), np.float32)
        padded[: len(bias)] = bias
        return padded

    def bind_matmul(
        self,
        rows: Rows,
        packed: list[Panels],
        place: Place,
        bias: np.ndarray | None = None,
        bounds: tuple[float, float] = UNBOUNDED,
    ) -> Task:
        """Prepare a product of matrices; returns the calls that compute it.

        Sums run over the depth in order, so a row has the same bits wherever it stands and
        whatever stands beside it.

        Parameters
        ----------
        rows : Rows
            The left matrix, of the type of the packed numbers. With float64, sums are rounded
            once, when they are written. Row (g, y, u) is multiplied with matrix g of `packed`.
        packed : list
            From :meth:`pack_matrix`.
        place : Place
            Row (g, y, u) is written ``g * n_rows + y`` rows below and u columns beside it. A
            residual is added with the bias only.
        bias : ndarray of shape (columns,), optional
            Without one the products are written as they are.
        bounds : (float, float)
            Of the activation, with a bias only.
        """
        x, (n_rows, n_columns) = rows.x, rows.shape
        out, residual = place.out, place.residual
        top, left, channel = place.at
        n_groups, _, depth, _, _ = packed[0][1].shape
        width = self.packed_width(packed)
        last_row = rows.start + (n_groups * n_rows - 1) * rows.row_step
        require(
            min(rows.start, rows.row_step, rows.column_step, *place.at) >= 0
            and min(n_rows, n_columns, depth) >= 1
            and last_row + (n_columns - 1) * rows.column_step + depth <= x.size
            and top + n_groups * n_rows <= out.shape[0]
            and left + n_columns <= out.shape[1]
            and channel + width <= out.shape[2]
            and (bias is None or bias.shape == (width,))
            and (residual is None or residual.shape == out.shape)
            and (bias is not None or x.dtype == np.float32)
            and all(panels.dtype == x.dtype for _, panels in packed)
            and x.flags.c_contiguous,
            "matmul",
            x=x,
            start=rows.start,
            row_step=rows.row_step,
            column_step=rows.column_step,
            depth=depth,
            width=width,
            shape=rows.shape,
            out=out,
            at=place.at,
        )
        if bias is None:
            then = STORE
        else:
            then = ADD_BIAS if residual is None else ADD_BIAS_AND_RESIDUAL
        low, high = float(bounds[0]), float(bounds[1])
        flat = x.reshape(-1)
        task = []
        for first, panels in packed:
            n = panels.shape[1] * panels.shape[3] * panels.shape[4]
            own = np.zeros(0, x.dtype) if bias is None else bias[first : first + n]
            tile, function = self._matmul(x.dtype, panels.shape[3] * panels.shape[4], n_columns)
            sums = aligned_zeros((1, tile.rows, tile.width) if then else (0, 0, 0), x.dtype)
            bound = function(
                flat, rows.start, depth, n_groups, n_rows, n_columns, rows.row_step,
                rows.column_step, panels, own, low, high, out, top, left, channel + first, then,
                out if residual is None else residual, sums,
            )  # fmt: skip
            task.append(Call(bound))
        return task

    def _matmul(self, dtype, width: int, columns: int) -> tuple[Tile, Callable]:
        """Choose the tile, and its function, that computes the fewest rows in vain."""
        by_width = self._matmuls[dtype]
        fitting = [pair for pair in by_width[width] if pair[0].rows <= columns]

        def cost(pair):  # a tile takes its rows, and something to begin and to end
            rows = pair[0].rows
            return math.ceil(columns / rows) * (rows + 2)

        return min(fitting, key=cost)
