"""A step: what computes one map, as many of its rows at a time as are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..._kernels.calls import Phase
from .memory import Maps

Rows = Callable[[int], int]  # from a number of rows to a number of rows


def same_rows(n: int) -> int:
    """Return n: a row takes one row."""
    return n


@dataclass(frozen=True)
class Read:
    """A map that a step reads, and which of its rows.

    Parameters
    ----------
    source : str
        The layer whose map it is.
    stride, before : int
        Row y of the result reads rows from ``y * stride - before`` on.
    rows_needed : callable
        The number of rows it takes to compute the first n.
    """

    source: str
    stride: int = 1
    before: int = 0
    rows_needed: Rows = same_rows

    @classmethod
    def all_rows(cls, source: str, height: int) -> Read:
        """All rows of a map are read for any row of the result."""
        return cls(source, stride=0, rows_needed=lambda n: height)


@dataclass(eq=False)
class Step:
    """Step of a program, which computes one map or copies it.

    Parameters
    ----------
    layers : tuple of str
        The layers it computes; the map is the value of the last.
    reads : tuple of Read
        The maps it reads.
    maps : Maps
        What it computes.
    compute : callable
        ``compute(first, end)`` returns the phases that compute these rows.
    align : callable
        ``align(n)`` is the smallest computable row count >= n.
    reach : callable
        ``reach(n)`` is the number of rows that are written to when the first n are computed; those
        beyond ``align(n)`` are written again in a later turn.
    by_rows : bool
        Whether the step can compute some of its rows; if not, it stands alone.
    weight_bytes : int
        Size of the weights that it reads for any number of rows.
    """

    layers: tuple[str, ...]
    reads: tuple[Read, ...]
    maps: Maps
    compute: Callable[[int, int], list[Phase]]
    align: Rows = same_rows
    reach: Rows = same_rows
    by_rows: bool = True
    weight_bytes: int = 0

    @property
    def output(self) -> str:
        """The layer whose value the map is."""
        return self.layers[-1]

    @property
    def sources(self) -> tuple[str, ...]:
        """The layers that are read, one as often as it is."""
        return tuple(read.source for read in self.reads)

    @property
    def height(self) -> int:
        """Rows of the map."""
        return self.maps.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of the map."""
        return 4 * self.maps.n * math.prod(self.maps.shape)
