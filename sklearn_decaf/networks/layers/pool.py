"""Pooling over windows of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._windows import Padding, Size, count_windows, pad, pair, resolve_padding, windows
from .base import Layer, Pads, Shape


@dataclass(frozen=True)
class _Pool(Layer):
    """One value of each window.

    Parameters
    ----------
    size : int or (int, int), default=3
        Height and width of a window.
    stride : int or (int, int), default=2
        Rows and columns from one window to the next.
    ceil_mode : bool, default=True
        Whether a last window may stick out of the map and its border; it then counts what is
        inside.
    padding : int, (int, int), ((int, int), (int, int)) or "same", default=0
        Width of the border, as in :class:`Conv`. It must be smaller than the window.
    """

    size: Size = 3
    stride: Size = 2
    ceil_mode: bool = True
    padding: Padding = 0

    def pads(self, shape: Shape) -> Pads:
        """Return the width of the border around a map of this shape."""
        return resolve_padding(self.padding, shape, self.size, self.stride)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((h, w, c),) = shapes
        pads = self.pads((h, w, c))
        if any(max(sides) >= k for sides, k in zip(pads, pair(self.size))):
            raise ValueError(
                f"layer {self.name!r}: a border of {pads} leaves a window of {self.size} without "
                "any pixel: the padding must be smaller than the window"
            )
        counts = count_windows(
            self.name, (h, w, c), pads, self.size, self.stride, ceil_mode=self.ceil_mode
        )
        return (*counts, c)

    def _windows(self, x: np.ndarray, value: float) -> np.ndarray:
        """View all windows (n, oh, ow, c, kh, kw), with `value` beyond the map."""
        oh, ow, _ = self.output_shape(x.shape[1:])
        pads = []
        sides = zip(x.shape[1:3], self.pads(x.shape[1:]), (oh, ow), pair(self.size))
        for (length, (before, after), count, k), s in zip(sides, pair(self.stride)):
            sticks_out = (count - 1) * s + k - (length + before + after)
            pads.append((before, after + max(sticks_out, 0)))
        return windows(pad(x, tuple(pads), value), self.size, self.stride, (oh, ow))

    def other_operations(self, *shapes: Shape) -> int:
        kh, kw = pair(self.size)
        return math.prod(self.output_shape(*shapes)) * (kh * kw - 1)


@dataclass(frozen=True)
class MaxPool(_Pool):
    __doc__ = _Pool.__doc__.replace("One value of each window.", "Largest value of each window.")

    onnx_operators = ("MaxPool",)

    def forward(self, inputs, parameters=()):
        """Take the maximum of each window, in which nothing beyond the map counts."""
        (x,) = inputs  # (n, h, w, c)
        return self._windows(x, -np.inf).max(axis=(-2, -1))


@dataclass(frozen=True)
class AveragePool(_Pool):
    __doc__ = _Pool.__doc__.replace("One value of each window.", "Mean of each window.") + (
        "count_padding : bool, default=False\n"
        "        Whether the zeros of the border count; what sticks out beyond it never does.\n"
    )

    count_padding: bool = False

    onnx_operators = ("AveragePool",)

    def forward(self, inputs, parameters=()):
        """Divide the sum of each window by how many values count."""
        (x,) = inputs  # (n, h, w, c)
        down, across = self.window_counts(x.shape[1:])
        totals = self._windows(x, 0).sum(axis=(-2, -1))
        return totals / np.outer(down, across)[:, :, np.newaxis].astype(x.dtype)

    def window_counts(self, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """Return how many rows (oh,), and how many columns (ow,), of each window count."""
        counts = []
        pads, output = self.pads(shape), self.output_shape(shape)
        for length, (before, after), k, s, count in zip(
            shape, pads, pair(self.size), pair(self.stride), output
        ):
            starts = s * np.arange(count) - before
            low, high = (-before, length + after) if self.count_padding else (0, length)
            inside = np.minimum(starts + k, high) - np.maximum(starts, low)
            counts.append(inside.astype(np.float32))
        return counts[0], counts[1]

    def other_operations(self, *shapes: Shape) -> int:
        return super().other_operations(*shapes) + math.prod(self.output_shape(*shapes))
