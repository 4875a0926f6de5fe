"""Memory for maps: taken, given back, and used again while it is still in the cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..._kernels._arrays import aligned_zeros
from ..layers import Pads, Shape

NO_PADS: Pads = ((0, 0), (0, 0))


class Arena:
    """A stock of memory. What was given back is used again."""

    def __init__(self):
        self._free: list[np.ndarray] = []
        self._slabs: dict[int, np.ndarray] = {}
        self._free_bordered: dict[tuple, list[np.ndarray]] = {}
        self._bordered: dict[int, tuple] = {}

    def take(self, shape: Shape, dtype=np.float32) -> np.ndarray:
        """An array of the given shape; its values are arbitrary."""
        size = -(-math.prod(shape) * np.dtype(dtype).itemsize // 4)
        fitting = [i for i, slab in enumerate(self._free) if slab.size >= size]
        if fitting:
            slab = self._free.pop(min(fitting, key=lambda i: self._free[i].size))
        else:
            slab = aligned_zeros((size,))
        array = slab[:size].view(dtype).reshape(shape)
        self._slabs[id(array)] = slab
        return array

    def take_bordered(self, n: int, shape: Shape, pads: Pads) -> np.ndarray:
        """An array of n maps, each inside a border of zeros that nobody may write to.

        Only arrays of the same shape and border share memory, so that the zeros stay.
        """
        (top, bottom), (left, right) = pads
        h, w, c = shape
        key = (n, shape, pads)
        stock = self._free_bordered.setdefault(key, [])
        if stock:
            array = stock.pop()
        else:
            full = (n, top + h + bottom, left + w + right, c)
            array = aligned_zeros(full)
        self._bordered[id(array)] = key
        return array

    def give_back(self, array: np.ndarray) -> None:
        """Let the memory of an array from this arena be used again."""
        if id(array) in self._bordered:
            self._free_bordered[self._bordered.pop(id(array))].append(array)
        else:
            self._free.append(self._slabs.pop(id(array)))


@dataclass(eq=False)
class Maps:
    """The value of a layer for n images: a part of an array, perhaps inside a border of zeros.

    The array is allocated when it is known how much of the maps it is to hold: all rows, or a
    window of rows that moves on while they are computed.
    """

    n: int
    shape: Shape  # (h, w, c) of the value
    pads: Pads = NO_PADS
    parent: Maps | None = None  # the concatenation it is a part of
    channel: int = 0  # its first channel there
    array: np.ndarray | None = None  # (n, rows, wp, channels)
    base: int = 0  # the row of the maps, border included, that is the first in the array

    @property
    def storage(self) -> Maps:
        """The maps that own the memory."""
        return self if self.parent is None else self.parent

    @property
    def top(self) -> int:
        return self.storage.pads[0][0]

    @property
    def left(self) -> int:
        return self.storage.pads[1][0]

    @property
    def height(self) -> int:
        """Rows, border included."""
        return sum(self.storage.pads[0]) + self.shape[0]

    @property
    def width(self) -> int:
        """Columns, border included."""
        return sum(self.storage.pads[1]) + self.shape[1]

    @property
    def channels(self) -> int:
        """Channels of the array."""
        return self.storage.shape[2]

    def row(self, y: int) -> int:
        """Find row y of the value in the array."""
        return self.top + y - self.storage.base

    def rows(self, first: int, end: int) -> np.ndarray:
        """The values of some rows, (n, end - first, w, c)."""
        _, w, c = self.shape
        columns = slice(self.left, self.left + w)
        channels = slice(self.channel, self.channel + c)
        return self.storage.array[:, self._rows(first, end), columns, channels]

    def image(self, i: int, first: int = 0, end: int | None = None) -> np.ndarray:
        """Whole rows of one image's array, (rows, wp, channels), from row `first` of the value on.

        A negative `first` reaches into the border.
        """
        return self.storage.array[i, self._rows(first, end)]

    def _rows(self, first: int, end: int | None) -> slice:
        """Find some rows in the array; raise an error if the window is elsewhere."""
        n_rows = self.storage.array.shape[1]
        start, stop = self.row(first), n_rows if end is None else self.row(end)
        if not 0 <= start <= stop <= n_rows:
            raise IndexError(
                f"rows {first} to {end} of a map of shape {self.shape} are not among the {n_rows} "
                f"rows, borders included, that are in memory from row {self.storage.base} on"
            )
        return slice(start, stop)

    def allocate(self, arena: Arena, n_rows: int | None = None) -> None:
        """Take memory for all rows, or for a window of `n_rows`, border included."""
        h, w, c = self.shape
        if n_rows is None and self.pads == NO_PADS:
            self.array = arena.take((self.n, h, w, c))
        elif n_rows is None:
            self.array = arena.take_bordered(self.n, self.shape, self.pads)
        else:
            sides = ((0, 0), self.pads[1])
            self.array = arena.take_bordered(self.n, (n_rows, w, c), sides)
        self.base = 0
