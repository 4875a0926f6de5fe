"""Rectified linear units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .base import Layer, Shape


@dataclass(frozen=True)
class ReLU(Layer):
    """``max(x, 0)``, and no more than ``max_value`` where that is given (6 makes it a ReLU6)."""

    max_value: float = math.inf

    onnx_operators = ("Relu", "Clip")

    def forward(self, inputs, parameters=()):
        """Clip to [0, max_value]."""
        (x,) = inputs
        return np.clip(x, 0, x.dtype.type(self.max_value))

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))
