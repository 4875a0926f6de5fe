"""Sums and products of two layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ... import _kernels
from .base import Arrays, Layer, LayerGradients, Shape


@dataclass(frozen=True)
class Add(Layer):
    """Sum of two inputs of one shape: a residual connection."""

    onnx_operators = ("Add",)

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(f"layer {self.name!r}: cannot add inputs of shapes {shapes}")
        return shapes[0]

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Add the two inputs."""
        x, y = inputs
        return x + y

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        return [gradient, gradient], []

    def compile_step(self, builder):
        bind = _kernels.kernels.bind_add_and_clip
        return builder.pointwise(self, lambda x, y, out: bind(x, y, -np.inf, np.inf, out))

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))


@dataclass(frozen=True)
class Multiply(Layer):
    """Product of a map and a second input of its shape, ``(c,)``, ``(1, 1, c)`` or ``(h, w, 1)``.

    With a vector, each channel has a factor: squeeze-and-excitation (Hu et al. 2018).
    """

    onnx_operators = ("Mul",)

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) == 2:
            first, second = shapes
            if second in (first, first[-1:], (1, 1, first[-1]), (*first[:-1], 1)):
                return first
        raise ValueError(
            f"layer {self.name!r}: cannot multiply inputs of shapes {shapes}: the second has the "
            "shape of the first, its channels, or one channel"
        )

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Multiply the two inputs."""
        x, y = inputs
        if y.ndim < x.ndim:
            y = y[:, None, None]  # (n, 1, 1, c)
        return x * y

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        x, y = inputs
        factors = y[:, None, None] if y.ndim < x.ndim else y
        repeated = tuple(i for i, side in enumerate(factors.shape) if side < x.shape[i])
        products = (gradient * x).sum(axis=repeated).reshape(y.shape)
        return [gradient * factors, products], []

    def compile_step(self, builder):
        (x, factors), out = builder.inputs(self), builder.new_maps(self.name)
        whole = factors.shape[:2] == x.shape[:2]

        def compute(first, end):
            multiply = _kernels.kernels.bind_multiply
            phase = []
            for a, b in builder.split(first, end):
                rows = factors.rows(a, b) if whole else factors.rows(0, 1)
                both = zip(x.rows(a, b), rows, out.rows(a, b))
                phase += [[multiply(*views)] for views in both]
            return [phase]

        return builder.step(self, out, compute, whole=() if whole else (1,))

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))
