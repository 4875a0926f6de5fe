"""Local response normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .base import Layer, Shape


@dataclass(frozen=True)
class LRN(Layer):
    """Local response normalisation over neighbouring channels (Krizhevsky et al. 2012, 3.3).

    ``y = x / (k + alpha / size * sum of x^2 over the size nearest channels) ** beta``; the
    window is cut off at the first and the last channel.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    onnx_operators = ("LRN",)

    def forward(self, inputs, parameters=()):
        """Divide by a power of the mean square over the nearest channels."""
        (x,) = inputs  # (n, ..., c)
        before = (self.size - 1) // 2
        border = ((0, 0),) * (x.ndim - 1) + ((before, self.size - 1 - before),)
        squares = np.pad(x * x, border)  # zeros beyond the first and the last channel
        sums = sliding_window_view(squares, self.size, axis=-1).sum(axis=-1)
        alpha, k = x.dtype.type(self.alpha / self.size), x.dtype.type(self.k)
        return x / (k + alpha * sums) ** x.dtype.type(self.beta)

    def other_operations(self, *shapes: Shape) -> int:
        # a square, the sum over the window, times alpha plus k, the power, the division
        return math.prod(self.output_shape(*shapes)) * (self.size + 4)
