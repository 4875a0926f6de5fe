"""Activation functions: one value in, one value out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import special

from ... import _kernels
from .base import Arrays, Layer, LayerGradients, Shape, sum_to_channels

if TYPE_CHECKING:
    from ..._kernels.calls import Call


@dataclass(frozen=True)
class Activation(Layer):
    """A function of each value on its own."""

    #: Operations a value, as :meth:`other_operations` counts them.
    operations: ClassVar[int]
    #: Name of the kernel.
    kernel: ClassVar[str] = ""

    @property
    def constants(self) -> tuple[float, ...]:
        """The numbers that the kernel is given."""
        return ()

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Apply the function to each value."""
        (x,) = inputs
        return self.apply(x).astype(x.dtype, copy=False)

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Apply the function to an array."""
        raise TypeError(f"no reference for layers of type {type(self).__name__}")

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        return [gradient * self.derivative(x, output).astype(x.dtype, copy=False)], []

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Compute the slope of the function at each value of x, where it is y."""
        raise TypeError(
            f"layer {self.name!r}: no gradients for layers of type {type(self).__name__}"
        )

    def bind(self, x: np.ndarray, out: np.ndarray) -> Call:
        """Bind the kernel to a view of maps (h, w, c); `out` may be `x`."""
        assert _kernels.kernels is not None
        return _kernels.kernels.bind_activation(self.kernel, x, out, *self.constants)

    def compile_step(self, builder):
        return builder.pointwise(self, self.bind)

    def other_operations(self, *shapes: Shape) -> int:
        return self.operations * math.prod(self.output_shape(*shapes))


@dataclass(frozen=True)
class ReLU(Activation):
    """``max(x, 0)``, and no more than ``max_value`` where that is given (6 makes it a ReLU6)."""

    max_value: float = math.inf

    onnx_operators = ("Relu", "Clip")
    operations = 1

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, 0, x.dtype.type(self.max_value))

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x > 0) & (x < self.max_value)

    def bind(self, x, out):
        return _kernels.kernels.bind_clip(x, 0, self.max_value, out)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """``x`` where it is positive, else ``slope * x``."""

    slope: float = 0.01

    onnx_operators = ("LeakyRelu",)
    operations = 2
    kernel = "leaky_relu"

    @property
    def constants(self):
        return (self.slope,)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, x.dtype.type(self.slope) * x)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(x > 0, 1, x.dtype.type(self.slope))


@dataclass(frozen=True)
class ELU(Activation):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016)."""

    alpha: float = 1.0

    onnx_operators = ("Elu",)
    operations = 4
    kernel = "elu"

    @property
    def constants(self):
        return (self.alpha,)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, x.dtype.type(self.alpha) * np.expm1(np.minimum(x, 0)))

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(x > 0, 1, y + x.dtype.type(self.alpha))


@dataclass(frozen=True)
class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``, the logistic function."""

    onnx_operators = ("Sigmoid",)
    operations = 4
    kernel = "sigmoid"

    def apply(self, x: np.ndarray) -> np.ndarray:
        return special.expit(x)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y * (1 - y)


@dataclass(frozen=True)
class Tanh(Activation):
    """Hyperbolic tangent."""

    onnx_operators = ("Tanh",)
    operations = 4
    kernel = "tanh"

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 1 - y * y


@dataclass(frozen=True)
class SiLU(Activation):
    """``x * sigmoid(x)``, also called swish (Elfwing et al. 2018)."""

    onnx_operators = ("Swish",)
    operations = 5
    kernel = "silu"

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * special.expit(x)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return special.expit(x) + y * special.expit(-x)


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """``min(max(slope * x + offset, 0), 1)``; a sixth and a half approximate the sigmoid."""

    slope: float = 1 / 6
    offset: float = 0.5

    onnx_operators = ("HardSigmoid",)
    operations = 4
    kernel = "hard_sigmoid"

    @property
    def constants(self):
        return (self.slope, self.offset)

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x.dtype.type(self.slope) * x + x.dtype.type(self.offset), 0, 1)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where((y > 0) & (y < 1), x.dtype.type(self.slope), 0)


@dataclass(frozen=True)
class HardSwish(Activation):
    """``x * min(max(x + 3, 0), 6) / 6`` (Howard et al. 2019, section 5.2)."""

    onnx_operators = ("HardSwish",)
    operations = 5
    kernel = "hard_swish"

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x * (np.clip(x + 3, 0, 6) / 6)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.where(x <= -3, 0, np.where(x < 3, x / 3 + x.dtype.type(0.5), 1))


@dataclass(frozen=True)
class GELU(Activation):
    """``x * P(X <= x)`` for X of a standard normal distribution (Hendrycks and Gimpel 2016).

    Parameters
    ----------
    approximate : bool, default=False
        Compute ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`` instead.
    """

    approximate: bool = False

    onnx_operators = ("Gelu",)
    operations = 6

    @property
    def kernel(self):
        return "gelu_tanh" if self.approximate else "gelu"

    def apply(self, x: np.ndarray) -> np.ndarray:
        if self.approximate:
            return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        return x * special.ndtr(x)

    def derivative(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if self.approximate:
            tanh = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
            slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)
            return (1 + tanh + x * (1 - tanh * tanh) * slope) / 2
        density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
        return special.ndtr(x) + x * density


@dataclass(frozen=True)
class PReLU(Layer):
    """``x`` where it is positive, else ``slope * x`` with a slope a channel (He et al. 2015)."""

    onnx_operators = ("PRelu",)

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        return {"slope": shapes[0][-1:]}

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Scale what is negative, channel by channel."""
        (x,), (slope,) = inputs, parameters
        return np.where(x > 0, x, slope * x)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (slope,) = inputs, parameters
        by_slope = sum_to_channels(gradient * np.minimum(x, 0))
        return [gradient * np.where(x > 0, 1, slope)], [by_slope]

    def compile_step(self, builder):
        (slope,) = builder.parameters(self)
        return builder.pointwise(self, lambda x, out: _kernels.kernels.bind_prelu(x, slope, out))

    def other_operations(self, *shapes: Shape) -> int:
        return 2 * math.prod(self.output_shape(*shapes))
