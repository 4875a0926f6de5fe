"""Max pooling over windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._windows import count_windows, pad
from .base import Layer, Shape


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest value of each window.

    Parameters
    ----------
    size : int, default=3
        Height and width of a window.
    stride : int, default=2
        Pixels from one window to the next.
    ceil_mode : bool, default=True
        Whether a last window may stick out of the map; it then counts what is inside.
    """

    size: int = 3
    stride: int = 2
    ceil_mode: bool = True

    onnx_operators = ("MaxPool",)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((h, w, c),) = shapes
        return (self._length(h), self._length(w), c)

    def _length(self, n: int) -> int:
        if n < self.size:
            raise ValueError(f"layer {self.name!r}: a side of {n} is smaller than its window")
        return count_windows(n, self.size, self.stride, self.ceil_mode)

    def forward(self, inputs, parameters=()):
        """Take the maximum of each window, in which nothing beyond the border counts."""
        (x,) = inputs  # (n, h, w, c)
        _, h, w, _ = x.shape
        oh, ow, _ = self.output_shape(x.shape[1:])
        below = max((oh - 1) * self.stride + self.size - h, 0)
        right = max((ow - 1) * self.stride + self.size - w, 0)
        x = pad(x, ((0, below), (0, right)), value=-np.inf)
        windows = sliding_window_view(x, (self.size, self.size), axis=(1, 2))
        step = self.stride
        return windows[:, ::step, ::step].max(axis=(-2, -1))[:, :oh, :ow]

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes)) * (self.size**2 - 1)
