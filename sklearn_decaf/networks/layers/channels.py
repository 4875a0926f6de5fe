"""Channels moved about: joined, selected, shuffled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import _kernels
from .base import Arrays, Layer, LayerGradients, Shape


@dataclass(frozen=True)
class _Moves(Layer):
    def other_operations(self, *shapes: Shape) -> int:
        return 0  # values are only moved


@dataclass(frozen=True)
class Concat(_Moves):
    """Inputs side by side along the channels."""

    onnx_operators = ("Concat",)

    def output_shape(self, *shapes: Shape) -> Shape:
        if len({shape[:-1] for shape in shapes}) != 1:
            raise ValueError(f"layer {self.name!r}: cannot join maps of shapes {shapes}")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Join the channels."""
        return np.concatenate(inputs, axis=-1)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        ends = np.cumsum([x.shape[-1] for x in inputs])
        return np.split(gradient, ends[:-1], axis=-1), []

    def compile_step(self, builder):
        """Copy the inputs that are not written in place."""
        out = builder.concatenation(self.name)
        copies = [
            (builder.maps[name], channel)
            for name, channel in builder.first_channels(self.name)
            if builder.maps[name].parent is not out
        ]

        def compute(first, end):
            target = out.rows(first, end)
            return [
                builder.copies(x.rows(first, end), target[..., c : c + x.shape[-1]])
                for x, c in copies
            ]

        return builder.step(self, out, compute)


@dataclass(frozen=True)
class ChannelSlice(_Moves):
    """Some of the channels, from `start` to below `stop` in steps of `step`.

    The parts of a split are slices that read the same layer.
    """

    start: int = 0
    stop: int = 1
    step: int = 1

    onnx_operators = ("Slice", "Split")

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not (0 <= self.start < self.stop <= shape[-1] and self.step >= 1):
            raise ValueError(
                f"layer {self.name!r}: there are no channels {self.start} to {self.stop} in steps "
                f"of {self.step} in an input of shape {shape}"
            )
        return (*shape[:-1], len(range(self.start, self.stop, self.step)))

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Select the channels."""
        (x,) = inputs
        return x[..., self.start : self.stop : self.step]

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        (x,) = inputs
        total = np.zeros(x.shape, gradient.dtype)
        total[..., self.start : self.stop : self.step] = gradient
        return [total], []

    def compile_step(self, builder):
        n = len(range(self.start, self.stop, self.step))

        def bind(x, out):
            return _kernels.kernels.bind_move_channels(x[..., self.start :], self.step, out, 1, n)

        return builder.pointwise(self, bind)


@dataclass(frozen=True)
class ChannelShuffle(_Moves):
    """Channels of `groups` equal parts, taken in turn from each (Zhang et al. 2018).

    Channel ``i * groups + g`` of the output is channel ``g * (c / groups) + i`` of the input.
    """

    groups: int = 2

    onnx_operators = ("Reshape", "Transpose")

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if shape[-1] % self.groups:
            raise ValueError(
                f"layer {self.name!r}: {self.groups} groups do not divide {shape[-1]} channels"
            )
        return shape

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Transpose groups and the channels of a group."""
        (x,) = inputs
        parts = x.reshape(*x.shape[:-1], self.groups, x.shape[-1] // self.groups)
        return np.swapaxes(parts, -1, -2).reshape(x.shape)

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        n = gradient.shape[-1] // self.groups
        parts = gradient.reshape(*gradient.shape[:-1], n, self.groups)
        return [np.swapaxes(parts, -1, -2).reshape(gradient.shape)], []

    def compile_step(self, builder):
        x, out = builder.input(self), builder.new_maps(self.name)
        n = x.shape[-1] // self.groups

        def compute(first, end):
            move = _kernels.kernels.bind_move_channels
            return [
                [
                    [
                        move(source[..., g * n :], 1, target[..., g:], self.groups, n)
                        for g in range(self.groups)
                    ]
                    for a, b in builder.split(first, end)
                    for source, target in zip(x.rows(a, b), out.rows(a, b))
                ]
            ]

        return builder.step(self, out, compute)


@dataclass(frozen=True)
class Identity(_Moves):
    """The input as it is; dropout is nothing else when a network is not trained."""

    onnx_operators = ("Identity", "Dropout")

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Return the input."""
        (x,) = inputs
        return x

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        return [gradient], []
