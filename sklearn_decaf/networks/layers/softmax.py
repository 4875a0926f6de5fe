"""Class probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .base import Arrays, Layer, LayerGradients, Shape


@dataclass(frozen=True)
class Softmax(Layer):
    """Class probabilities from class scores."""

    onnx_operators = ("Softmax",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Scale exponentials to sum 1; the largest score is taken off first, against overflow."""
        (x,) = inputs
        exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        mean = (gradient * output).sum(axis=-1, keepdims=True)
        return [output * (gradient - mean)], []

    def other_operations(self, *shapes: Shape) -> int:
        # the largest, the differences, the exponentials, their sum, the quotients
        return 5 * math.prod(self.output_shape(*shapes))
