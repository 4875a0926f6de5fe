"""The tile sizes for which the matrix product is compiled, by kernel set.

A tile is as large as the registers allow: `rows` times `vectors` sums, each a vector of `lanes`
numbers. Narrower tiles serve what remains of the columns, lower ones that of the rows. Run as a
program, this prints the tiles of one set, a line each, for the build.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Tile(NamedTuple):
    """One compiled size: `rows` x (`lanes` * `vectors`) sums."""

    rows: int
    lanes: int
    vectors: int
    real: str  # "float" or "double": the precision of the sums

    @property
    def width(self) -> int:
        return self.lanes * self.vectors

    @property
    def dtype(self) -> str:
        return {"float": "float32", "double": "float64"}[self.real]

    @property
    def module(self) -> str:
        prefix = "matmul_double" if self.real == "double" else "matmul"
        return f"{prefix}_{self.width}x{self.rows}"


_FLOAT = {
    "v4": "14 16 2, 9 16 2, 8 16 2, 7 16 2, 1 16 2, 14 16 1, 1 16 1, 14 8 1, 1 8 1",
    "v3": "6 8 2, 3 8 2, 1 8 2, 12 8 1, 1 8 1",
    "base": "6 4 2, 3 4 2, 1 4 2",
}
_DOUBLE = {
    "v4": "14 8 2, 1 8 2, 14 8 1, 1 8 1",
    "v3": "6 4 2, 1 4 2",
    "base": "3 2 4, 1 2 4",
}


def _tiles(sizes: str, real: str) -> tuple[Tile, ...]:
    return tuple(Tile(*map(int, size.split()), real) for size in sizes.split(","))


TILES = {name: _tiles(_FLOAT[name], "float") + _tiles(_DOUBLE[name], "double") for name in _FLOAT}

if __name__ == "__main__":
    for tile in TILES[sys.argv[1]]:
        print(*tile)
