"""A network that is put together layer by layer from what a file says, with its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT
from ..layers import LRN, Conv, Dense, GlobalAveragePool, Layer, LayerNorm, Scale, Shape
from ..layers._windows import pair
from .names import Names

MAX_VALUES = 2**27  # of one image, in the output of a layer
MAX_SIDE = 4096  # of an input, a kernel, or in a step
MAX_BORDER = 1024
MAX_MADE = 2**26  # numbers in parameters that are not in the file


class Network:
    """Collects layers and parameters, and checks each layer as it comes.

    Parameters
    ----------
    sides : (int, int)
        Height and width of the input.
    """

    def __init__(self, sides: tuple[int, int]):
        if not all(1 <= side <= MAX_SIDE for side in sides):
            raise WeightsError(f"an input of {_by(sides)} pixels; 1 to {MAX_SIDE} are expected")
        self.layers: dict[str, Layer] = {}
        self.parameters: dict[str, np.ndarray] = {}
        self.shapes: dict[str, Shape] = {INPUT: (*sides, 3)}
        self._names = Names()
        self._made = 0

    def _make(self, numbers: int) -> None:
        """Count numbers that are made here; a small file must not ask for any amount."""
        self._made += numbers
        if self._made > MAX_MADE:
            raise WeightsError("channels are moved about and padded over and over")

    def shape(self, name: str) -> Shape:
        """(h, w, c) of a layer; vectors are maps of one pixel."""
        shape = self.shapes[name]
        return shape if len(shape) == 3 else (1, 1, *shape)

    def add(
        self,
        kind: type[Layer],
        name: str,
        *inputs: str,
        parameters: Mapping[str, np.ndarray] | None = None,
        **options: Any,
    ) -> str:
        """Append a layer, and return its name, which is another one if that is taken.

        Raises
        ------
        WeightsError
            If it cannot be computed.
        """
        layer = kind(self._names.unique(name), inputs, **options)
        shapes = [self.shapes[one] for one in inputs]
        if issubclass(kind, Conv) or hasattr(layer, "pads"):
            _check_window(layer, shapes[0])
        try:
            shape = layer.output_shape(*shapes)
            expected = layer.parameter_shapes(*shapes)
            layer.check_step(*shapes)
        except ValueError as error:
            raise WeightsError(str(error)) from error
        if math.prod(shape) > MAX_VALUES:
            raise WeightsError(f"its output has shape {shape}: more than {MAX_VALUES} values")
        for key, array in (parameters or {}).items():
            if array.shape != expected[key]:
                raise WeightsError(
                    f"its {key} has shape {array.shape}, but its input of {_by(shapes[0])} wants "
                    f"{expected[key]}"
                )
            self.parameters[f"{layer.name}.{key}"] = array
        self.layers[layer.name] = layer
        self.shapes[layer.name] = shape
        return layer.name

    def conv(
        self, name: str, source: str, kernel: np.ndarray, bias: np.ndarray | None, **options
    ) -> str:
        """Append a convolution with a kernel (kh, kw, c / groups, filters).

        On a vector, which has one pixel, it is a fully connected layer.
        """
        filters = kernel.shape[-1]
        bias = np.zeros(filters) if bias is None else bias
        if len(self.shapes[source]) == 1:
            return self._conv_of_vector(name, source, kernel, bias, options)
        height, width = kernel.shape[:2]
        size = height if height == width else (height, width)
        parameters = {"kernel": kernel, "bias": bias}
        options |= {"filters": filters, "kernel_size": size}
        return self.add(Conv, name, source, parameters=parameters, **options)

    def _conv_of_vector(self, name, source, kernel, bias, options) -> str:
        conv = Conv(name, (), kernel.shape[-1], kernel.shape[:2], **options)
        channels = self.shapes[source][0]
        _check_window(conv, (1, 1, channels))
        try:
            sides = conv.output_shape((1, 1, channels))[:2]
        except ValueError as error:
            raise WeightsError(str(error)) from error
        if sides != (1, 1):
            raise WeightsError(f"it makes a map of {_by(sides)} of one pixel")
        (top, _), (left, _) = conv.pads((1, 1, channels))
        (dy, dx), (kh, kw) = pair(conv.dilation), kernel.shape[:2]
        seen = top % dy == 0 and left % dx == 0 and top // dy < kh and left // dx < kw
        weights = kernel[top // dy, left // dx] if seen else np.zeros(kernel.shape[2:])
        if conv.groups == channels == conv.filters:
            parameters = {"scale": weights[0], "shift": bias}
            return self.add(Scale, name, source, parameters=parameters)
        self._make(weights.size * conv.groups)
        return self.dense(name, source, in_groups(weights, conv.groups), bias)

    def dense(self, name: str, source: str, kernel: np.ndarray, bias: np.ndarray | None) -> str:
        """Append a fully connected layer with a kernel (inputs, outputs)."""
        units = kernel.shape[-1]
        bias = np.zeros(units) if bias is None else bias
        parameters = {"kernel": kernel, "bias": bias}
        return self.add(Dense, name, source, units=units, parameters=parameters)

    def vector(self, name: str) -> str:
        """The layer's output as a vector, if it is a map of one pixel."""
        if len(self.shapes[name]) == 1:
            return name
        return self.add(GlobalAveragePool, f"{name}.vector", name)

    def scale(
        self, name: str, source: str, factor: np.ndarray | None, shift: np.ndarray | None, *, alone
    ) -> str:
        """Multiply each channel by a number, and add one.

        Where nothing but this reads the layer (`alone`) and it can do that itself, it does.
        """
        channels = self.shapes[source][-1]
        factor = np.ones(channels) if factor is None else factor
        if alone and source in self.layers and self._absorb(source, factor, shift):
            return source
        parameters = {"scale": factor} | ({} if shift is None else {"shift": shift})
        has_shift = shift is not None
        return self.add(Scale, name, source, parameters=parameters, has_shift=has_shift)

    def _absorb(self, name: str, factor: np.ndarray, shift: np.ndarray | None) -> bool:
        """Let a layer do more: convolutions and dense layers add, scales and LayerNorm do both."""
        layer, offset = self.layers[name], 0.0 if shift is None else shift
        if isinstance(layer, Conv | Dense):
            if np.any(factor != 1):
                return False
            key = f"{name}.bias"
            self.parameters[key] = self.parameters[key] + offset
            return True
        if not isinstance(layer, Scale | LayerNorm):
            return False
        wide = factor.astype(np.float64)
        self.parameters[f"{name}.scale"] = self.parameters[f"{name}.scale"] * wide
        own = self.parameters.get(f"{name}.shift")
        if own is not None or shift is not None:
            scaled = np.zeros(len(wide)) if own is None else own * wide
            self.parameters[f"{name}.shift"] = scaled + offset
            if isinstance(layer, Scale):
                self.layers[name] = replace(layer, has_shift=True)
        return True

    def select(self, name: str, source: str, channels: np.ndarray) -> str:
        """Append a layer that picks channels, in any order."""
        n = self.shapes[source][-1]
        self._make(n * len(channels))
        kernel = (np.arange(n)[:, np.newaxis] == channels).astype(np.float32)  # (n, len)
        if len(self.shapes[source]) == 1:
            return self.dense(name, source, kernel, None)
        return self.conv(name, source, kernel[np.newaxis, np.newaxis], None)

    def bordered(self, name: str, source: str, pads: tuple[int, int, int, int]) -> str:
        """Append a layer that puts zeros around maps."""
        shape = self.shapes[source]
        if len(shape) != 3:
            raise WeightsError("it pads a vector")
        kernel = np.ones((1, 1, 1, shape[-1]), np.float32)
        return self.conv(name, source, kernel, None, groups=shape[-1], padding=padding(pads))


def choose_sides(
    own: tuple[int, int] | None, asked: tuple[int, int] | None, default: int, notes: list[str]
) -> tuple[int, int]:
    """Height and width of the input: the file's own, those asked for, or a default, with a note.

    Raises
    ------
    WeightsError
        If the file's own are not those asked for.
    """
    if own and asked not in (None, own):
        raise WeightsError(
            f"preprocessing crops to {_by(asked)} pixels, but the file is for {_by(own)}"
        )
    if not own and asked is None:
        notes.append(f"the file does not say the size of its input: {default} pixels are assumed")
    return own or asked or (default, default)


def in_groups(kernel: np.ndarray, groups: int) -> np.ndarray:
    """(c / groups, filters) of convolutions in groups as one matrix (c, filters) with zeros."""
    if groups == 1:
        return kernel
    rows, filters = kernel.shape
    if filters % groups:
        raise WeightsError(f"{groups} groups of a layer of {filters} filters")
    matrix = np.zeros((rows * groups, filters), kernel.dtype)
    for g in range(groups):
        columns = slice(g * filters // groups, (g + 1) * filters // groups)
        matrix[g * rows : (g + 1) * rows, columns] = kernel[:, columns]
    return matrix


def local_normalisation(
    network: Network, name: str, source: str, *, size: int, alpha: float, beta: float, k: float
) -> str:
    """Append a local response normalisation."""
    if not (1 <= size <= MAX_SIDE and alpha >= 0 and k > 0):
        raise WeightsError(f"a normalisation with size={size}, alpha={alpha:g}, k={k:g}")
    return network.add(LRN, name, source, size=size, alpha=alpha, beta=beta, k=k)


def padding(pads: Sequence[int]):
    """(top, left, bottom, right) as layers have it, one number if that will do."""
    top, left, bottom, right = pads
    return top if top == left == bottom == right else ((top, bottom), (left, right))


def as_written(value: float) -> float:
    """A float32 number as it was written in decimals: 0.0001 and not 0.00009999999747."""
    return float(np.format_float_positional(np.float32(value)))


def one_or_two(lengths: tuple[int, int]):
    """(rows, columns), one number if they are the same."""
    return lengths[0] if lengths[0] == lengths[1] else lengths


def _check_window(layer: Any, shape: Shape) -> None:
    """Raise an error for a window of sizes that no network has."""
    if len(shape) != 3:
        raise WeightsError(f"it slides a window over a vector of {shape[0]} values")
    kernel = layer.kernel_size if isinstance(layer, Conv) else layer.size
    lengths = [*pair(kernel), *pair(layer.stride), *pair(getattr(layer, "dilation", 1))]
    if not all(1 <= n <= MAX_SIDE for n in lengths) or getattr(layer, "groups", 1) < 1:
        raise WeightsError(
            f"a window of {_by(pair(kernel))} in steps of {_by(pair(layer.stride))} with dilation "
            f"{_by(pair(getattr(layer, 'dilation', 1)))} and {getattr(layer, 'groups', 1)} groups"
        )
    borders = [n for side in layer.pads(shape) for n in side]
    if not all(0 <= n <= MAX_BORDER for n in borders):
        raise WeightsError(f"a border of {borders} pixels; 0 to {MAX_BORDER} are expected")


def _by(lengths) -> str:
    return " x ".join(map(str, lengths))
