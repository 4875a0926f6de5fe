"""Convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._windows import Padding, Size, count_windows, pad, pair, resolve_padding, windows
from .base import Arrays, Layer, Pads, Shape


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation, as networks use the word) over a map, with a bias.

    Parameters
    ----------
    filters : int, default=1
        Channels of the output.
    kernel_size : int or (int, int), default=1
        Height and width of the kernel.
    stride : int or (int, int), default=1
        Rows and columns from one window to the next.
    padding : int, (int, int), ((int, int), (int, int)) or "same", default=0
        Zeros on all sides, on (rows, columns), or on ((top, bottom), (left, right)). "same" is
        TensorFlow's rule, ``ceil(side / stride)`` windows, which puts the odd zero at the bottom
        and the right.
    groups : int, default=1
        Equal parts of the channels that do not see each other; ``groups == channels == filters``
        is a depthwise convolution.
    double_precision : bool, default=False
        Sum the products in float64 and round once, for layers whose rounding errors those that
        follow would amplify.
    dilation : int or (int, int), default=1
        Rows and columns from one number of the kernel to the next.
    """

    filters: int = 1
    kernel_size: Size = 1
    stride: Size = 1
    padding: Padding = 0
    groups: int = 1
    double_precision: bool = False
    dilation: Size = 1

    onnx_operators = ("Conv",)

    def pads(self, shape: Shape) -> Pads:
        """Return the zeros to add around a map of this shape."""
        return resolve_padding(self.padding, shape, self.kernel_size, self.stride, self.dilation)

    @property
    def spans(self) -> tuple[int, int]:
        """Rows and columns from the first number of the kernel to the last, both included."""
        (kh, kw), (dy, dx) = pair(self.kernel_size), pair(self.dilation)
        return dy * (kh - 1) + 1, dx * (kw - 1) + 1

    @property
    def is_plain(self) -> bool:
        """Whether kernel and stride are the same for rows and columns, without dilation."""
        (kh, kw), (sy, sx) = pair(self.kernel_size), pair(self.stride)
        return kh == kw and sy == sx and pair(self.dilation) == (1, 1)

    def output_shape(self, *shapes: Shape) -> Shape:
        ((h, w, c),) = shapes
        if c % self.groups or self.filters % self.groups:
            raise ValueError(
                f"layer {self.name!r}: {self.groups} groups do not divide "
                f"{c} input channels and {self.filters} filters evenly"
            )
        return (*self._counts((h, w, c)), self.filters)

    def _counts(self, shape: Shape) -> tuple[int, int]:
        return count_windows(
            self.name,
            shape,
            self.pads(shape),
            self.kernel_size,
            self.stride,
            dilation=self.dilation,
        )

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        ((_, _, c),) = shapes
        kernel = (*pair(self.kernel_size), c // self.groups, self.filters)
        return {"kernel": kernel, "bias": (self.filters,)}

    def is_depthwise(self, channels: int) -> bool:
        """Tell whether every filter sees one channel, its own."""
        return self.groups == channels == self.filters and channels > 1

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Pad, convolve each group of channels, and add the bias."""
        (x,) = inputs  # (n, h, w, c)
        kernel, bias = parameters  # (kh, kw, c / groups, filters), (filters,)
        if self.double_precision and x.dtype != np.float64:
            wide = [array.astype(np.float64) for array in (x, kernel, bias)]
            return self.forward(wide[:1], wide[1:]).astype(x.dtype)
        channels = x.shape[-1]
        counts = self._counts(x.shape[1:])
        x = pad(x, self.pads(x.shape[1:]))
        if self.is_depthwise(channels):
            return self._depthwise(x, kernel, counts) + bias
        groups = zip(np.split(x, self.groups, axis=-1), np.split(kernel, self.groups, axis=-1))
        maps = [self._dense(part, filters, counts) for part, filters in groups]
        return np.concatenate(maps, axis=-1) + bias

    def _dense(self, x, kernel, counts):
        """Multiply the patches of padded maps (n, h, w, c) with a kernel (kh, kw, c, m)."""
        kh, kw, c, m = kernel.shape
        patches = windows(x, self.kernel_size, self.stride, counts, self.dilation)
        patches = patches.transpose(0, 1, 2, 4, 5, 3)  # (n, oh, ow, kh, kw, c)
        rows = patches.reshape(-1, kh * kw * c)
        return (rows @ kernel.reshape(kh * kw * c, m)).reshape(len(x), *counts, m)

    def _depthwise(self, x, kernel, counts):
        """Convolve each channel of padded maps with its own filter of a (kh, kw, 1, c) kernel."""
        (sy, sx), (dy, dx) = pair(self.stride), pair(self.dilation)
        (oh, ow), total = counts, 0.0
        for i, j in np.ndindex(*kernel.shape[:2]):
            rows = slice(i * dy, i * dy + (oh - 1) * sy + 1, sy)
            columns = slice(j * dx, j * dx + (ow - 1) * sx + 1, sx)
            total = total + x[:, rows, columns] * kernel[i, j, 0]
        return total

    def multiply_adds(self, *shapes: Shape) -> int:
        oh, ow, _ = self.output_shape(*shapes)
        # each position of the output takes one product a weight
        return oh * ow * math.prod(self.parameter_shapes(*shapes)["kernel"])

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))
