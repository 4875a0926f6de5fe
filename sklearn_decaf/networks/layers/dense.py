"""Fully connected layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .base import Arrays, Layer, LayerGradients, Shape


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer. A map is read as a vector in (h, w, c) order.

    Parameters
    ----------
    units : int, default=1
        Values of the output.
    """

    units: int = 1

    onnx_operators = ("Gemm", "MatMul")

    def output_shape(self, *shapes: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        return {"kernel": (math.prod(shapes[0]), self.units), "bias": (self.units,)}

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Flatten, multiply by the (d, units) kernel, and add the bias."""
        (x,) = inputs
        kernel, bias = parameters
        return x.reshape(len(x), len(kernel)) @ kernel + bias

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (kernel, _) = inputs, parameters
        rows = x.reshape(len(x), len(kernel))
        return [(gradient @ kernel.T).reshape(x.shape)], [rows.T @ gradient, gradient.sum(axis=0)]

    def multiply_adds(self, *shapes: Shape) -> int:
        return math.prod(shapes[0]) * self.units

    def other_operations(self, *shapes: Shape) -> int:
        return self.units
