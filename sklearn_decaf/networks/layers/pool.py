"""Pooling over windows of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ... import _kernels
from ._windows import (
    Padding,
    Size,
    add_windows,
    count_windows,
    pad,
    pair,
    resolve_padding,
    windows,
)
from .base import Arrays, Layer, LayerGradients, Pads, Shape


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

    def _covered(self, shape: Shape) -> Pads:
        """Return the width of the border, and of what windows cover beyond it."""
        pads: list[tuple[int, int]] = []
        sides = zip(shape, self.pads(shape), self.output_shape(shape), pair(self.size))
        for (length, (before, after), count, k), s in zip(sides, pair(self.stride)):
            sticks_out = (count - 1) * s + k - (length + before + after)
            pads.append((before, after + max(sticks_out, 0)))
        return pads[0], pads[1]

    def _windows(self, x: np.ndarray, value: float) -> np.ndarray:
        """View all windows (n, oh, ow, c, kh, kw), with `value` beyond the map."""
        oh, ow, _ = self.output_shape(x.shape[1:])
        padded = pad(x, self._covered(x.shape[1:]), value)
        return windows(padded, self.size, self.stride, (oh, ow))

    def _add_windows(self, values: np.ndarray, shape: Shape) -> np.ndarray:
        """Add up what the windows (n, oh, ow, c, kh, kw) hold to maps of this shape."""
        return add_windows(values, shape, self._covered(shape), self.stride)

    def _compile(self, builder, bind):
        """Make a step of ``bind(x, border, out, (first, end))`` for rows of one image.

        `x` holds the rows under the windows of rows `first` to `end` of the output, as far as they
        are inside the map, and `border` how far the first window begins above and before it.
        """
        x, out = builder.plain_input(self), builder.new_maps(self.name)
        (kh, _), (sy, _) = pair(self.size), pair(self.stride)
        (top, _), (left, _) = self.pads(x.shape)
        height = x.shape[0]

        def rows_needed(n):
            return min(height, (n - 1) * sy + kh - top)

        def task(i, a, b):
            begin = max(0, a * sy - top)
            rows = x.image(i, begin, rows_needed(b))
            border = begin - (a * sy - top), left
            return [bind(rows, border, out.image(i, a, b), (a, b), out)]

        def compute(first, end):
            parts = list(builder.split(first, end))
            return [[task(i, a, b) for i in range(builder.n_images) for a, b in parts]]

        return builder.step(self, out, compute, stride=sy, before=top, rows_needed=rows_needed)

    def other_operations(self, *shapes: Shape) -> int:
        kh, kw = pair(self.size)
        return math.prod(self.output_shape(*shapes)) * (kh * kw - 1)


@dataclass(frozen=True)
class MaxPool(_Pool):
    __doc__ = (_Pool.__doc__ or "").replace(
        "One value of each window.", "Largest value of each window."
    )

    onnx_operators = ("MaxPool",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Take the maximum of each window, in which nothing beyond the map counts."""
        (x,) = inputs  # (n, h, w, c)
        return self._windows(x, -np.inf).max(axis=(-2, -1))

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        views = self._windows(x, -np.inf)
        values = views.reshape(*views.shape[:4], math.prod(pair(self.size)))
        winners = values.argmax(axis=-1)[..., np.newaxis]  # the first of equals
        passed = np.zeros(values.shape, gradient.dtype)
        np.put_along_axis(passed, winners, gradient[..., np.newaxis], axis=-1)
        return [self._add_windows(passed.reshape(views.shape), x.shape[1:])], []

    def compile_step(self, builder):
        size, stride = pair(self.size), pair(self.stride)
        square = size[0] == size[1] and stride[0] == stride[1]

        def bind(x, border, out, rows, maps):
            place = maps.left, maps.shape[1]
            if square and border == (0, 0):
                return _kernels.kernels.bind_max_pool(x, size[0], stride[0], out, *place)
            return _kernels.kernels.bind_max_pool_any(x, size, stride, border, out, *place)

        return self._compile(builder, bind)


@dataclass(frozen=True)
class AveragePool(_Pool):
    __doc__ = (_Pool.__doc__ or "").replace("One value of each window.", "Mean of each window.") + (
        "count_padding : bool, default=False\n"
        "        Whether the zeros of the border count; what sticks out beyond it never does.\n"
    )

    count_padding: bool = False

    onnx_operators = ("AveragePool",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Divide the sum of each window by how many values count."""
        (x,) = inputs  # (n, h, w, c)
        return self._windows(x, 0).sum(axis=(-2, -1)) / self._divisors(x)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        shares = (gradient / self._divisors(x))[..., np.newaxis, np.newaxis]
        views = np.broadcast_to(shares, (*gradient.shape, *pair(self.size)))
        return [self._add_windows(views, x.shape[1:])], []

    def _divisors(self, x: np.ndarray) -> np.ndarray:
        """Return how many values of each window count: (oh, ow, 1), in the precision of x."""
        down, across = self.window_counts(x.shape[1:])
        return np.outer(down, across)[:, :, np.newaxis].astype(x.dtype)

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

    def compile_step(self, builder):
        size, stride = pair(self.size), pair(self.stride)
        (source,) = builder.architecture.inputs(self.name)
        down, across = self.window_counts(builder.shapes[source])

        def bind(x, border, out, rows, maps):
            counts = np.ascontiguousarray(down[slice(*rows)]), across
            return _kernels.kernels.bind_average_pool(
                x, size, stride, border, counts, out, maps.left
            )

        return self._compile(builder, bind)

    def other_operations(self, *shapes: Shape) -> int:
        return super().other_operations(*shapes) + math.prod(self.output_shape(*shapes))
