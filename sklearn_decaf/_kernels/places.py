"""Groups of kernel arguments: where numbers are read from, and where results go."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ._arrays import require

# (m, r) of the compiled Winograd transforms F(m, r)
WINOGRAD_SIZES = ((4, 3), (5, 3), (4, 5))
UNBOUNDED = (-math.inf, math.inf)  # bounds of an activation that lets everything through


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the left matrix of a product, which lie anywhere in an array.

    Row (g, y, u) is the numbers of `x` from ``start + (g * n_rows + y) * row_step + u *
    column_step`` on; g counts the matrices of a packed stack, and ``shape == (n_rows, n_columns)``.

    Parameters
    ----------
    x : ndarray, C-contiguous, of any shape
    start, row_step, column_step : int
        In numbers.
    shape : (int, int)
        How many y for each g, and how many u.
    """

    x: np.ndarray
    start: int
    row_step: int
    column_step: int
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Place:
    """Place that results are written to.

    Parameters
    ----------
    out : ndarray of shape (h, w, c), C-contiguous
    at : (int, int, int), default=(0, 0, 0)
        The row, the column and the channel of the first result.
    residual : ndarray of the shape of `out`, optional
        What lies there at the same place is added to the results.
    """

    out: np.ndarray
    at: tuple[int, int, int] = (0, 0, 0)
    residual: np.ndarray | None = None

    def from_channel(self, channel: int) -> Place:
        """The same place, so many channels further on."""
        row, column, first = self.at
        return replace(self, at=(row, column, first + channel))

    def as_one_row(self) -> Place:
        """The place in the same arrays, their rows joined: (h, w, c) -> (1, h * w, c)."""
        row, column, channel = self.at
        joined = (1, -1, self.out.shape[2])
        return Place(
            self.out.reshape(joined),
            (0, row * self.out.shape[1] + column, channel),
            None if self.residual is None else self.residual.reshape(joined),
        )


@dataclass(frozen=True)
class TileRows:
    """Rows of tiles of a map, for Winograd's F(m, r): m x m outputs of an r x r filter each.

    The last tile of a row and the last row of tiles end with the map, and overlap those before.

    Parameters
    ----------
    m, r : int
        One of `WINOGRAD_SIZES`.
    size : (int, int)
        Height and width of the map of outputs, at least m each.
    first, n_rows : int
        The rows of tiles.
    start : int, default=0
        The place of their first tile in the array that holds the tiles one after another.
    """

    m: int
    r: int
    size: tuple[int, int]
    first: int
    n_rows: int
    start: int = 0


def require_tiles(function: str, tile_rows: TileRows, tiles: np.ndarray, channels: int) -> None:
    """Raise a ValueError if rows of tiles do not fit a map, or the array that holds them."""
    m, r, (h, w) = tile_rows.m, tile_rows.r, tile_rows.size
    across, down = -(-w // m), -(-h // m)
    require(
        (m, r) in WINOGRAD_SIZES
        and min(h, w) >= m
        and min(tile_rows.first, tile_rows.start) >= 0
        and tile_rows.n_rows >= 1
        and tile_rows.first + tile_rows.n_rows <= down
        and tiles.shape[0] == (m + r - 1) ** 2
        and tile_rows.start + tile_rows.n_rows * across <= tiles.shape[1]
        and tiles.shape[2] == channels,
        function,
        tile_rows=tile_rows,
        tiles=tiles,
    )


def tiles_apart(n_tiles: int, channels: int) -> int:
    """Tiles to make room for, so that the points of one do not fall to one place of the cache.

    Transforms write the n * n numbers of a tile at a time, ``room * channels`` apart. Places that
    are a multiple of 4 KB apart share a few lines of a level 1 cache, so each store throws out
    what another is about to need: with 1024 tiles of 32 channels that takes four times as long.

    Examples
    --------
    >>> from sklearn_decaf._kernels.places import tiles_apart
    >>> tiles_apart(49, 128), tiles_apart(1024, 32)
    (49, 1025)
    """

    def shared(room):  # of 4 KB: the larger, the fewer places there are
        return math.gcd(room * channels * 4, 4096)

    return min(range(n_tiles, n_tiles + 3), key=lambda room: max(shared(room), 1024))
