"""Pooling over whole maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ... import _kernels
from .base import Arrays, Layer, LayerGradients, Shape


@dataclass(frozen=True)
class _GlobalPool(Layer):
    """One value of each channel: ``(h, w, c) -> (c,)``, or ``(1, 1, c)`` with `keep_sides`."""

    keep_sides: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        channels = shapes[0][-1]
        return (1, 1, channels) if self.keep_sides else (channels,)

    def _compile(self, builder, bind):
        x, out = builder.input(self), builder.new_maps(self.name)

        def compute(first, end):
            maps, vectors = x.rows(0, x.shape[0]), out.rows(0, 1)[:, 0, 0]
            return [
                [
                    [bind(map_[..., a:b], vector[a:b])]
                    for map_, vector in zip(maps, vectors)
                    for a, b in builder.split(0, x.shape[-1])
                ]
            ]

        return builder.step(self, out, compute, by_rows=False)

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(shapes[0])


@dataclass(frozen=True)
class GlobalAveragePool(_GlobalPool):
    """Mean of each channel over the whole map: ``(h, w, c) -> (c,)``, or ``(1, 1, c)``."""

    onnx_operators = ("GlobalAveragePool",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Average over rows and columns."""
        (x,) = inputs
        return x.mean(axis=(1, 2), keepdims=self.keep_sides)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        n, h, w, c = x.shape
        share = gradient.reshape(n, 1, 1, c) / (h * w)
        return [np.broadcast_to(share, x.shape).copy()], []

    def compile_step(self, builder):
        return self._compile(builder, _kernels.kernels.bind_average)


@dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """Largest value of each channel over the whole map: ``(h, w, c) -> (c,)``, or ``(1, 1, c)``."""

    onnx_operators = ("GlobalMaxPool",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Take the maximum over rows and columns."""
        (x,) = inputs
        return x.max(axis=(1, 2), keepdims=self.keep_sides)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        n, h, w, c = x.shape
        winners = x.reshape(n, h * w, c).argmax(axis=1)[:, np.newaxis]  # the first of equals
        total = np.zeros((n, h * w, c), gradient.dtype)
        np.put_along_axis(total, winners, gradient.reshape(n, 1, c), axis=1)
        return [total.reshape(x.shape)], []

    def compile_step(self, builder):
        return self._compile(builder, _kernels.kernels.bind_maximum)
