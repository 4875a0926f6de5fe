"""Normalisation, and the scales and shifts that come with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from ... import _kernels
from .base import Arrays, Layer, LayerGradients, Shape, sum_to_channels


@dataclass(frozen=True)
class LRN(Layer):
    """Local response normalisation over neighbouring channels (Krizhevsky et al. 2012, 3.3).

    ``y = x / (k + alpha / size * sum of x^2 over the size nearest channels) ** beta``; the
    window is cut off at the first and the last channel.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    onnx_operators = ("LRN",)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Divide by a power of the mean square over the nearest channels."""
        (x,) = inputs  # (n, ..., c)
        return x / self._bases(x) ** x.dtype.type(self.beta)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        bases = self._bases(x)
        alpha, beta = x.dtype.type(self.alpha / self.size), x.dtype.type(self.beta)
        # channel i is in the window of channel j where j is in the mirrored window of i
        sums = self._sum_window(gradient * output / bases, self.size // 2)
        return [gradient / bases**beta - 2 * alpha * beta * x * sums], []

    def _bases(self, x: np.ndarray) -> np.ndarray:
        """Return what the power is taken of: ``k + alpha / size * sum of squares``."""
        alpha, k = x.dtype.type(self.alpha / self.size), x.dtype.type(self.k)
        return k + alpha * self._sum_window(x * x, (self.size - 1) // 2)

    def _sum_window(self, x: np.ndarray, before: int) -> np.ndarray:
        """Sum over `size` channels, of which `before` are before the channel itself."""
        others = x.shape[-1] - 1
        if min(before, self.size - 1 - before) >= others:  # every window holds all channels
            return np.broadcast_to(x.sum(axis=-1, keepdims=True), x.shape)
        border = ((0, 0),) * (x.ndim - 1) + ((before, self.size - 1 - before),)
        padded = np.pad(x, border)  # zeros beyond the first and the last channel
        return sliding_window_view(padded, self.size, axis=-1).sum(axis=-1)

    def compile_step(self, builder):
        x, out = builder.plain_input(self), builder.new_maps(self.name)
        constants = self.size, self.alpha, self.beta, self.k

        def compute(first, end):
            normalise = _kernels.kernels.bind_lrn
            phase = [
                [normalise(x.image(i, a, b), *constants, out.image(i, a, b), out.left)]
                for i in range(builder.n_images)
                for a, b in builder.split(first, end)
            ]
            return [phase]

        return builder.step(self, out, compute)

    def check_step(self, *shapes: Shape) -> None:
        if self.size % 2 == 0:
            raise ValueError(
                f"layer {self.name!r}: the engine computes LRN over an odd number of channels, "
                f"not size={self.size}"
            )

    def other_operations(self, *shapes: Shape) -> int:
        # a square, the sum over the window, times alpha plus k, the power, the division
        return math.prod(self.output_shape(*shapes)) * (self.size + 4)


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation with fixed statistics (Ioffe and Szegedy 2015).

    ``y = (x - mean) / sqrt(variance + epsilon) * scale + shift``, each a number a channel.
    """

    epsilon: float = 1e-5

    onnx_operators = ("BatchNormalization",)
    statistics = ("mean", "variance")

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        channels = shapes[0][-1:]
        return dict.fromkeys(("scale", "shift", "mean", "variance"), channels)

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Scale and shift each channel."""
        (x,) = inputs
        factor, offset = self.as_scale(*parameters)
        return x * factor.astype(x.dtype) + offset.astype(x.dtype)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (scale, _, mean, variance) = inputs, parameters
        deviation = np.sqrt(variance + x.dtype.type(self.epsilon))
        factor = scale / deviation
        total = sum_to_channels(gradient)
        by_scale = sum_to_channels(gradient * (x - mean)) / deviation
        by_variance = -by_scale * factor / (2 * deviation)
        return [gradient * factor], [by_scale, total, -factor * total, by_variance]

    def as_scale(
        self, scale: ArrayLike, shift: ArrayLike, mean: ArrayLike, variance: ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the factor and the offset, in float64, that do the same."""
        wide = (np.asarray(value, np.float64) for value in (scale, shift, mean, variance))
        scale, shift, mean, variance = wide
        factor = scale / np.sqrt(variance + self.epsilon)
        return factor, shift - mean * factor

    def other_operations(self, *shapes: Shape) -> int:
        return 2 * math.prod(self.output_shape(*shapes))


@dataclass(frozen=True)
class Scale(Layer):
    """Multiply each channel by a number, and add one: ``x * scale + shift``.

    Parameters
    ----------
    has_shift : bool, default=True
        False leaves the shift out, as the layer scale of ConvNeXt does.
    """

    has_shift: bool = True

    onnx_operators = ("Mul", "Add")

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        channels = shapes[0][-1:]
        return {"scale": channels, **({"shift": channels} if self.has_shift else {})}

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Scale and shift each channel."""
        (x,), (scale, *shift) = inputs, parameters
        return x * scale + shift[0] if shift else x * scale

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (scale, *shift) = inputs, parameters
        by_scale = sum_to_channels(gradient * x)
        by_shift = [sum_to_channels(gradient)] if shift else []
        return [gradient * scale], [by_scale, *by_shift]

    def compile_step(self, builder):
        scale, *shift = builder.parameters(self)
        shift = shift[0] if shift else np.zeros_like(scale)
        bind = _kernels.kernels.bind_scale_and_shift
        return builder.pointwise(self, lambda x, out: bind(x, scale, shift, out))

    def other_operations(self, *shapes: Shape) -> int:
        return (1 + self.has_shift) * math.prod(self.output_shape(*shapes))


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation over the channels of each pixel (Ba et al. 2016).

    ``y = (x - mean) / sqrt(variance + epsilon) * scale + shift``, with mean and variance over the
    channels of one pixel, or of one vector.
    """

    epsilon: float = 1e-6

    onnx_operators = ("LayerNormalization",)

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        channels = shapes[0][-1:]
        return {"scale": channels, "shift": channels}

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Normalise the channels of each pixel, then scale and shift them."""
        (x,), (scale, shift) = inputs, parameters
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + x.dtype.type(self.epsilon)) * scale + shift

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (scale, _) = inputs, parameters
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        deviation = np.sqrt(variance + x.dtype.type(self.epsilon))
        normal = centred / deviation
        scaled = gradient * scale
        # what would move all channels alike, or stretch them, is normalised away
        along = scaled.mean(axis=-1, keepdims=True)
        across = (scaled * normal).mean(axis=-1, keepdims=True)
        by_x = (scaled - along - normal * across) / deviation
        return [by_x], [sum_to_channels(gradient * normal), sum_to_channels(gradient)]

    def compile_step(self, builder):
        scale, shift = builder.parameters(self)
        bind = _kernels.kernels.bind_layer_norm
        return builder.pointwise(self, lambda x, out: bind(x, scale, shift, self.epsilon, out))

    def other_operations(self, *shapes: Shape) -> int:
        # the mean, the differences, the squares, their mean, the division, scale and shift
        return 7 * math.prod(self.output_shape(*shapes))
