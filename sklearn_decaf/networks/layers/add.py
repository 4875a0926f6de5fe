"""Sum of two layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .base import Layer, Shape


@dataclass(frozen=True)
class Add(Layer):
    """Sum of two inputs of one shape: a residual connection."""

    onnx_operators = ("Add",)

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(f"layer {self.name!r}: cannot add inputs of shapes {shapes}")
        return shapes[0]

    def forward(self, inputs, parameters=()):
        """Add the two inputs."""
        x, y = inputs
        return x + y

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))
