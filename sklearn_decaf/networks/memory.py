"""Memory for maps: taken, given back, and used again while it is still in the cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .layers import Pads, Shape

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
            slab = aligned_zeros(size)
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
            array = aligned_zeros(math.prod(full)).reshape(full)
        self._bordered[id(array)] = key
        return array

    def give_back(self, array: np.ndarray) -> None:
        """Let the memory of an array from this arena be used again."""
        if id(array) in self._bordered:
            self._free_bordered[self._bordered.pop(id(array))].append(array)
        else:
            self._free.append(self._slabs.pop(id(array)))


def aligned_zeros(size: int) -> np.ndarray:
    """Zeros, float32, that begin at a cache line (64 bytes)."""
    raw = np.zeros(size + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + size]


@dataclass(eq=False)
class Maps:
    """The value of a layer for n images: a part of an array, perhaps inside a border of zeros."""

    array: np.ndarray  # (n, hp, wp, c) as allocated
    shape: Shape  # (h, w, c) of the value
    top: int = 0
    left: int = 0
    channel: int = 0  # the first channel, in a concatenation

    @property
    def dense(self) -> bool:
        """Whether the values of one image lie side by side."""
        return self.array.shape[1:] == self.shape

    @property
    def whole_rows(self) -> bool:
        """Whether the array has no columns and channels but those of the value."""
        return self.array.shape[2:] == self.shape[1:]

    @property
    def view(self) -> np.ndarray:
        """The values alone, (n, h, w, c)."""
        h, w, c = self.shape
        rows = slice(self.top, self.top + h)
        columns = slice(self.left, self.left + w)
        return self.array[:, rows, columns, self.channel : self.channel + c]
