"""Convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._windows import (
    Padding,
    Size,
    add_windows,
    count_windows,
    pad,
    pair,
    resolve_padding,
    taps,
    windows,
)
from .base import Arrays, Layer, LayerGradients, Pads, Shape, sum_to_channels


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
        rows = self._patches(x, counts)
        return (rows @ kernel.reshape(kh * kw * c, m)).reshape(len(x), *counts, m)

    def _patches(self, x, counts):
        """Copy the windows of padded maps, a row each: (n * oh * ow, kh * kw * c)."""
        patches = windows(x, self.kernel_size, self.stride, counts, self.dilation)
        patches = patches.transpose(0, 1, 2, 4, 5, 3)  # (n, oh, ow, kh, kw, c)
        return patches.reshape(-1, math.prod(patches.shape[3:]))

    def _depthwise(self, x, kernel, counts):
        """Convolve each channel of padded maps with its own filter of a (kh, kw, 1, c) kernel."""
        total = 0.0
        for i, j, rows, columns in taps(self.kernel_size, self.stride, counts, self.dilation):
            total = total + x[:, rows, columns] * kernel[i, j, 0]
        return total

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,), (kernel, bias) = inputs, parameters
        if self.double_precision and x.dtype != np.float64:
            wide = [array.astype(np.float64) for array in (x, kernel, bias, output, gradient)]
            by_inputs, by_parameters = self.backward(wide[:1], wide[1:3], *wide[3:])
            return (
                [array.astype(x.dtype) for array in by_inputs],
                [array.astype(x.dtype) for array in by_parameters],
            )
        compute = (
            self._depthwise_backward if self.is_depthwise(x.shape[-1]) else self._split_backward
        )
        by_x, by_kernel = compute(x, kernel, gradient)
        return [by_x], [by_kernel, sum_to_channels(gradient)]

    def _split_backward(self, x, kernel, gradient):
        """Compute the gradients of each group by itself."""
        pads, counts = self.pads(x.shape[1:]), gradient.shape[1:3]
        by_x, by_kernel = [], []
        for part, filters, g in zip(
            *(np.split(array, self.groups, axis=-1) for array in (x, kernel, gradient))
        ):
            kh, kw, c, m = filters.shape
            rows = self._patches(pad(part, pads), counts)
            g = g.reshape(-1, m)  # (n * oh * ow, m)
            by_kernel.append((rows.T @ g).reshape(filters.shape))
            by_rows = (g @ filters.reshape(-1, m).T).reshape(len(x), *counts, kh, kw, c)
            by_windows = by_rows.transpose(0, 1, 2, 5, 3, 4)  # (n, oh, ow, c, kh, kw)
            by_x.append(add_windows(by_windows, part.shape[1:], pads, self.stride, self.dilation))
        return np.concatenate(by_x, axis=-1), np.concatenate(by_kernel, axis=-1)

    def _depthwise_backward(self, x, kernel, gradient):
        """Compute the gradients of filters of one channel each: a (kh, kw, 1, c) kernel."""
        pads, counts = self.pads(x.shape[1:]), gradient.shape[1:3]
        views = windows(pad(x, pads), self.kernel_size, self.stride, counts, self.dilation)
        by_kernel = np.einsum("nyxcij,nyxc->ijc", views, gradient)[:, :, np.newaxis]
        filters = kernel[:, :, 0].transpose(2, 0, 1)  # (c, kh, kw)
        by_windows = gradient[..., np.newaxis, np.newaxis] * filters
        by_x = add_windows(by_windows, x.shape[1:], pads, self.stride, self.dilation)
        return by_x, by_kernel

    def multiply_adds(self, *shapes: Shape) -> int:
        oh, ow, _ = self.output_shape(*shapes)
        # each position of the output takes one product a weight
        return oh * ow * math.prod(self.parameter_shapes(*shapes)["kernel"])

    def other_operations(self, *shapes: Shape) -> int:
        return math.prod(self.output_shape(*shapes))
