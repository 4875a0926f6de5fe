"""Windows that slide over a map: borders, and how many fit."""

from __future__ import annotations

import math

import numpy as np

from .base import Pads


def pad(x: np.ndarray, pads: Pads, value: float = 0.0) -> np.ndarray:
    """Put a border of one value around maps: (n, h, w, c) -> (n, h + .., w + .., c)."""
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def same_pads(length: int, size: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's "SAME" border of one side: the odd zero comes last."""
    out = -(-length // stride)
    total = max((out - 1) * stride + size - length, 0)
    return total // 2, total - total // 2


def count_windows(length: int, size: int, stride: int, ceil_mode: bool) -> int:
    """Count the windows along one side, of which a last one may stick out with `ceil_mode`."""
    steps = (length - size) / stride
    count = (math.ceil(steps) if ceil_mode else math.floor(steps)) + 1
    # a window has to begin inside the map
    return count - 1 if (count - 1) * stride >= length else count
