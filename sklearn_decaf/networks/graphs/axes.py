"""Axes of the arrays in a graph, in terms of rows, columns and channels of the layer behind them.

Exporters reshape and transpose as they like: to put channels last, to flatten, to shuffle channels
in groups. Here these steps only relabel axes. An axis is a row of parts, slowest first; a part
``(letter, stride, size)`` is a factor of the images ("n"), rows ("h"), columns ("w") or channels
("c"): its index is ``index // stride % size``. Axes of one value have no parts. Arrays
``(n, c, h, w)`` of 8 channels are ``((n), (c, 1, 8), (h), (w))``; in two groups, the channels are
``((c, 4, 2)), ((c, 1, 4))``, and an axis ``((c, 1, 4), (c, 4, 2))`` is the shuffled one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

Part = tuple[str, int, int]  # letter, stride, size
Axis = tuple[Part, ...]
Axes = tuple[Axis, ...]

MAX_AXES = 16


def whole(letter: str, size: int) -> Axis:
    """All of the images, rows, columns or channels as one axis."""
    return ((letter, 1, size),) if size != 1 else ()


def length(axis: Axis) -> int:
    """Count the values along an axis."""
    return math.prod(size for _, _, size in axis)


def shape_of(axes: Axes) -> tuple[int, ...]:
    """Shape of the array."""
    return tuple(map(length, axes))


def letters(axes: Iterable[Axis]) -> str:
    """Letters of all parts, in order."""
    return "".join(letter for axis in axes for letter, _, _ in axis)


def joined(parts: Iterable[Part]) -> Axis:
    """One axis of parts, those that belong together joined."""
    axis: list[Part] = []
    for letter, stride, size in parts:
        if axis and axis[-1][0] == letter and axis[-1][1] == stride * size:
            axis[-1] = letter, stride, axis[-1][2] * size
        else:
            axis.append((letter, stride, size))
    return tuple(axis)


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """Axes after a reshape.

    Raises
    ------
    ValueError
        If the array cannot have that shape, or an axis of it would be no product of parts.
    """
    here = shape_of(axes)
    if len(shape) > MAX_AXES or min(shape, default=1) < 1 or math.prod(here) != math.prod(shape):
        raise ValueError(f"it reshapes {here} to {tuple(shape)}")
    rest = [part for axis in axes for part in axis][::-1]
    found: list[Axis] = []
    for wanted in shape:
        parts: list[Part] = []
        while wanted > 1:
            letter, stride, size = rest.pop()
            outer = math.gcd(size, wanted)
            if outer == 1 or (outer < size and outer < wanted):
                raise ValueError(f"it reshapes {here} to {tuple(shape)}, which mixes axes")
            if outer < size:
                rest.append((letter, stride, size // outer))
            parts.append((letter, stride * (size // outer), outer))
            wanted //= outer
        found.append(joined(parts))
    return tuple(found)


def in_order(axis: Axis) -> Axis:
    """The parts of an axis as rows, columns, channels have them."""
    return joined(sorted(axis, key=lambda part: ("nhwc".index(part[0]), -part[1])))


def indices(axis: Axis, letter: str, n: int) -> np.ndarray:
    """Where each of `n` rows, columns or channels lies along an axis; other parts count as 0."""
    own = np.arange(n)
    place = np.zeros(n, np.int64)
    for name, stride, size in axis:
        place = place * size
        if name == letter:
            place += own // stride % size
    return place


def broadcast(first: Axes, second: Axes) -> Axes:
    """Axes of a sum or a product.

    Raises
    ------
    ValueError
        If an axis is not the same in both, and of more than one value in both.
    """
    n = max(len(first), len(second))
    pairs = zip(*(((),) * (n - len(axes)) + axes for axes in (first, second)))
    found = []
    for one, other in pairs:
        if one and other and one != other:
            raise ValueError(
                f"it joins arrays of shapes {shape_of(first)} and {shape_of(second)}, whose axes "
                "are not the same rows, columns and channels"
            )
        found.append(one or other)
    return tuple(found)
