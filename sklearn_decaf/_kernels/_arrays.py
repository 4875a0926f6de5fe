"""Arguments of kernels: aligned memory, regions of arrays, and a check of their shapes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


def aligned_zeros(shape, dtype=np.float32) -> np.ndarray:
    """Zeros that begin at a cache line (64 bytes), as wide loads want."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


class Region(NamedTuple):
    """A view of maps as kernels see it: where its values are in the whole, flat array."""

    whole: np.ndarray  # (size,)
    start: int
    row: int  # numbers from row to row
    column: int  # and from column to column

    @classmethod
    def of(cls, view: np.ndarray) -> Region:
        """The region that a view of shape (h, w, c) is; its channels follow one another."""
        owner = view.base if isinstance(view.base, np.ndarray) else view  # the last of all
        memory = np.asarray(owner).ravel(order="K").view(np.uint8)
        whole = memory[: memory.size // 4 * 4].view(np.float32)
        start, rest = divmod(view.ctypes.data - whole.ctypes.data, 4)
        row, column = view.strides[0] // 4, view.strides[1] // 4
        last = start + sum((n - 1) * step for n, step in zip(view.shape, (row, column, 1)))
        if (
            view.dtype != np.float32
            or view.strides[2] != 4
            or min(view.strides) < 0
            or rest
            or (view.size and not 0 <= start <= last < whole.size)  # memory with gaps was copied
        ):
            raise ValueError(
                f"a region needs float32 numbers and channels that follow one another: {view.dtype}"
                f" of shape {view.shape} with strides {view.strides}"
            )
        return cls(whole, start, row, column)


def require(condition: bool, function: str, /, **arguments) -> None:
    """Raise a ValueError that shows the arguments of a function if a condition does not hold."""
    if not condition:
        found = ", ".join(
            f"{name} {value.shape}" if isinstance(value, np.ndarray) else f"{name}={value}"
            for name, value in arguments.items()
        )
        raise ValueError(f"{function}: the shapes do not belong together: {found}")
