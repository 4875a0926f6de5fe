"""The layers of a network, as data.

A layer says what it computes, on which inputs, and which shapes follow; it holds no arrays and
does no arithmetic. :mod:`sklearn_decaf.networks.reference` computes each layer in plain NumPy and
:mod:`sklearn_decaf.networks.engine` fast; both read the same descriptions.

Shapes leave out the batch: a map is ``(h, w, c)``, a vector is ``(c,)``. An empty ``inputs``
means "the layer before this one".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))


@dataclass(frozen=True)
class Layer:
    """What all layers share: a name and the names of the layers they read."""

    name: str
    inputs: tuple[str, ...] = ()

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the output for inputs of these shapes."""
        (shape,) = shapes
        return shape

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        """Shapes of the parameters by their short names, such as ``kernel`` and ``bias``."""
        return {}


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation, as networks use the word) over a map, with a bias.

    ``padding`` is a number of zeros on each side, or ``"same"``: TensorFlow's rule, which puts
    the odd zero at the bottom and the right. ``groups`` splits the channels into equal parts that
    do not see each other; ``groups == channels == filters`` is a depthwise convolution.
    ``double_precision`` has its products summed in float64 and rounded once, for layers whose
    rounding errors those that follow would amplify.
    """

    filters: int = 1
    kernel_size: int = 1
    stride: int = 1
    padding: int | str = 0
    groups: int = 1
    double_precision: bool = False

    def pads(self, shape: Shape) -> Pads:
        """Zeros to add around a map of this shape."""
        if self.padding == "same":
            return tuple(self._same(n) for n in shape[:2])
        return ((self.padding, self.padding),) * 2

    def _same(self, n: int) -> tuple[int, int]:
        out = -(-n // self.stride)
        total = max((out - 1) * self.stride + self.kernel_size - n, 0)
        return total // 2, total - total // 2

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
        """Whether every filter sees one channel, its own."""
        return self.groups == channels == self.filters and channels > 1


@dataclass(frozen=True)
class MaxPool(Layer):
    """Largest value in each window. With ``ceil_mode`` a last window may stick out of the map."""

    size: int = 3
    stride: int = 2
    ceil_mode: bool = True

    def output_shape(self, *shapes: Shape) -> Shape:
        ((h, w, c),) = shapes
        return (self._length(h), self._length(w), c)

    def _length(self, n: int) -> int:
        if n < self.size:
            raise ValueError(f"layer {self.name!r}: a side of {n} is smaller than its window")
        steps = (n - self.size) / self.stride
        length = (math.ceil(steps) if self.ceil_mode else math.floor(steps)) + 1
        # a window has to begin inside the map
        return length - 1 if (length - 1) * self.stride >= n else length


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


@dataclass(frozen=True)
class ReLU(Layer):
    """``max(x, 0)``, and no more than ``max_value`` where that is given (6 makes it a ReLU6)."""

    max_value: float = math.inf


@dataclass(frozen=True)
class Add(Layer):
    """Sum of two inputs of one shape: a residual connection."""

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) != 2 or shapes[0] != shapes[1]:
            raise ValueError(f"layer {self.name!r}: cannot add inputs of shapes {shapes}")
        return shapes[0]


@dataclass(frozen=True)
class Concat(Layer):
    """Inputs side by side along the channels."""

    def output_shape(self, *shapes: Shape) -> Shape:
        if len({shape[:-1] for shape in shapes}) != 1:
            raise ValueError(f"layer {self.name!r}: cannot join maps of shapes {shapes}")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Mean of each channel over the whole map: ``(h, w, c) -> (c,)``."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0][-1:]


@dataclass(frozen=True)
class GlobalMaxPool(Layer):
    """Largest value of each channel over the whole map: ``(h, w, c) -> (c,)``."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0][-1:]


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer. A map is read as a vector in (h, w, c) order."""

    units: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        return (self.units,)

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        return {"kernel": (math.prod(shapes[0]), self.units), "bias": (self.units,)}


@dataclass(frozen=True)
class Softmax(Layer):
    """Class probabilities from class scores."""
