"""Convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._windows import pad, same_pads
from .base import Layer, Pads, Shape


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation, as networks use the word) over a map, with a bias.

    Parameters
    ----------
    filters : int, default=1
        Channels of the output.
    kernel_size : int, default=1
        Height and width of the kernel.
    stride : int, default=1
        Pixels from one window to the next.
    padding : int or "same", default=0
        Zeros on each side. "same" is TensorFlow's rule, ``ceil(side / stride)`` windows, which
        puts the odd zero at the bottom and the right.
    groups : int, default=1
        Equal parts of the channels that do not see each other; ``groups == channels == filters``
        is a depthwise convolution.
    double_precision : bool, default=False
        Sum the products in float64 and round once, for layers whose rounding errors those that
        follow would amplify.
    """

    filters: int = 1
    kernel_size: int = 1
    stride: int = 1
    padding: int | str = 0
    groups: int = 1
    double_precision: bool = False

    onnx_operators = ("Conv",)

    def pads(self, shape: Shape) -> Pads:
        """Return the zeros to add around a map of this shape."""
        if self.padding == "same":
            top_bottom, left_right = (
                same_pads(side, self.kernel_size, self.stride) for side in shape[:2]
            )
            return top_bottom, left_right
        return ((self.padding, self.padding),) * 2

    def output_shape(self, *shapes: Shape) -> Shape:
        ((h, w, c),) = shapes
        if c % self.groups or self.filters % self.groups:
            raise ValueError(
                f"layer {self.name!r}: {self.groups} groups do not divide "
                f"{c} input channels and {self.filters} filters evenly"
            )
        size = []
        for n, (before, after) in zip((h, w), self.pads((h, w, c))):
            room = n + before + after - self.kernel_size
            if room < 0:
                raise ValueError(
                    f"layer {self.name!r}: a map of {h} x {w} is smaller than "
                    f"its kernel of {self.kernel_size} x {self.kernel_size}"
                )
            size.append(room // self.stride + 1)
        return (*size, self.filters)

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        ((_, _, c),) = shapes
        k = self.kernel_size
        return {"kernel": (k, k, c // self.groups, self.filters), "bias": (self.filters,)}

    def is_depthwise(self, channels: int) -> bool:
        """Tell whether every filter sees one channel, its own."""
        return self.groups == channels == self.filters and channels > 1

    def forward(self, inputs, parameters=()):
        """Pad, convolve each group of channels, and add the bias."""
        (x,) = inputs  # (n, h, w, c)
        kernel, bias = parameters  # (k, k, c / groups, filters), (filters,)
        if self.double_precision and x.dtype != np.float64:
            wide = [array.astype(np.float64) for array in (x, kernel, bias)]
            return self.forward(wide[:1], wide[1:]).astype(x.dtype)
        channels = x.shape[-1]
        x = pad(x, self.pads(x.shape[1:]))
        if self.is_depthwise(channels):
            return convolve_depthwise(x, kernel, self.stride) + bias
        groups = zip(np.split(x, self.groups, axis=-1), np.split(kernel, self.groups, axis=-1))
        maps = [convolve(part, filters, self.stride) for part, filters in groups]
        return np.concatenate(maps, axis=-1) + bias

    def multiply_adds(self, *shapes: Shape) -> int:
        oh, ow, _ = self.output_shape(*shapes)
        # each position of the output takes one product a weight
        return oh * ow * math.prod(self.parameter_shapes(*shapes)["kernel"])

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolve maps (n, h, w, c) with a kernel (k, k, c, m), no padding, to (n, oh, ow, m)."""
    k, _, channels, filters = kernel.shape
    windows = sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    n, oh, ow = windows.shape[:3]
    patches = windows.transpose(0, 1, 2, 4, 5, 3)  # (n, oh, ow, k, k, c)
    rows = patches.reshape(n * oh * ow, k * k * channels)
    return (rows @ kernel.reshape(k * k * channels, filters)).reshape(n, oh, ow, filters)


def convolve_depthwise(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolve each channel of (n, h, w, c) with its own filter of a (k, k, 1, c) kernel."""
    k = len(kernel)
    _, h, w, _ = x.shape
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    total = 0.0
    for i in range(k):
        for j in range(k):
            rows = slice(i, i + (oh - 1) * stride + 1, stride)
            columns = slice(j, j + (ow - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * kernel[i, j, 0]
    return total
