"""Pooling over whole maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .base import Layer, Shape


@dataclass(frozen=True)
class _GlobalPool(Layer):
    """One value of each channel: ``(h, w, c) -> (c,)``."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0][-1:]

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(shapes[0])


@dataclass(frozen=True)
class GlobalAveragePool(_GlobalPool):
    """Mean of each channel over the whole map: ``(h, w, c) -> (c,)``."""

    onnx_operators = ("GlobalAveragePool",)

    def forward(self, inputs, parameters=()):
        """Average over rows and columns."""
        (x,) = inputs
        return x.mean(axis=(1, 2))


@dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """Largest value of each channel over the whole map: ``(h, w, c) -> (c,)``."""

    onnx_operators = ("GlobalMaxPool",)

    def forward(self, inputs, parameters=()):
        """Take the maximum over rows and columns."""
        (x,) = inputs
        return x.max(axis=(1, 2))
