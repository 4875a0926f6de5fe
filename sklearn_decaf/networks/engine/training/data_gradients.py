"""Gradients of convolutions by their inputs, which are convolutions themselves.

For a stride of one it is one: of the output's gradient with the kernel turned by half a circle,
filters and channels swapped. With a stride of s, every s-th row and column of the input sees the
same numbers of the kernel, so that there are s x s smaller ones. Each is computed by the algorithms
of the forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...layers import Conv, Pads, Shape
from ...layers._windows import pair
from ..convolutions import PackedConv, choose_algorithm, pack_kernel, rewrite_kernel
from ..limits import Limits


@dataclass(frozen=True)
class _Axis:
    """One axis of one of the convolutions: which of the input it computes, from what."""

    first: int  # of the rows that it computes, every stride-th
    taps: tuple[int, ...]  # the numbers of the kernel, in its order; -1 for a zero
    n: int  # rows that it computes
    before: int  # zeros wanted before the output's gradient
    after: int


@dataclass(frozen=True, eq=False)
class DataGradientPart:
    """One of the convolutions that compute the gradient by the input.

    Parameters
    ----------
    conv : Conv
        With a stride of one, of the gradient by the output.
    shape : tuple of int
        What it computes, (rows, columns, channels).
    rows, columns : slice
        Where that belongs in the gradient by the input.
    taps : (tuple of int, tuple of int)
        The rows and columns of the first kernel that this one consists of; -1 for zeros.
    packed : PackedConv
    """

    conv: Conv
    shape: Shape
    rows: slice
    columns: slice
    taps: tuple[tuple[int, ...], tuple[int, ...]]
    packed: PackedConv


class DataGradient:
    """The convolutions that compute the gradient by a convolution's input, and their weights.

    Parameters
    ----------
    conv : Conv
    in_shape, out_shape : tuple of int
        Of its input and its output.
    kernel : ndarray of shape (kh, kw, c / groups, filters)
    exact : bool
    limits : Limits

    Attributes
    ----------
    parts : list of DataGradientPart
    complete : bool
        Whether the parts compute all of the gradient; zeros belong elsewhere.
    pads : Pads
        The zeros that all parts want around the output's gradient.
    """

    def __init__(
        self,
        conv: Conv,
        in_shape: Shape,
        out_shape: Shape,
        kernel: np.ndarray,
        *,
        exact: bool,
        limits: Limits,
    ):
        self.conv = conv
        self.in_shape = in_shape
        sides = _sides(conv, in_shape, out_shape)
        along = [_phases(*side) for side in sides]
        self.pads: Pads = tuple((axis[0].before, axis[0].after) for axis in along)
        self.parts = []
        strides = pair(conv.stride)
        # with steps, the numbers of a part of the kernel lie side by side
        dilation = tuple(d if s == 1 else 1 for d, s in zip(pair(conv.dilation), strides))
        for rows, columns in product(*along):
            convolution = Conv(
                conv.name,
                filters=in_shape[-1],
                kernel_size=(len(rows.taps), len(columns.taps)),
                padding=self.pads,
                groups=conv.groups,
                dilation=dilation,
            )
            shape = rows.n, columns.n, in_shape[-1]
            algorithm = choose_algorithm(
                convolution,
                out_shape,
                shape,
                # Winograd's wants just the border of its tiles
                exact=exact or strides != (1, 1),
                limits=limits,
            )
            taps = rows.taps, columns.taps
            packed = pack_kernel(convolution, algorithm, *self._kernel(kernel, taps))
            self.parts.append(
                DataGradientPart(
                    convolution,
                    shape,
                    slice(rows.first, None, strides[0]),
                    slice(columns.first, None, strides[1]),
                    taps,
                    packed,
                )
            )
        area = sum(part.shape[0] * part.shape[1] for part in self.parts)
        self.complete = area == in_shape[0] * in_shape[1]

    def refresh(self, kernel: np.ndarray) -> None:
        """Pack other weights, in place."""
        for part in self.parts:
            rewrite_kernel(part.packed, part.conv, *self._kernel(kernel, part.taps))

    def _kernel(self, kernel: np.ndarray, taps) -> tuple[np.ndarray, np.ndarray]:
        """The kernel of a part, (kh, kw, filters / groups, c), and its bias, zeros."""
        for axis, numbers in enumerate(taps):
            kernel = _select(kernel, numbers, axis)
        if not self.conv.is_depthwise(self.in_shape[-1]):
            parts = np.split(kernel, self.conv.groups, axis=-1)
            turned = [part.swapaxes(2, 3) for part in parts]
            kernel = turned[0] if len(turned) == 1 else np.concatenate(turned, axis=-1)
        return kernel, np.zeros(self.in_shape[-1], np.float32)


def _select(kernel: np.ndarray, numbers: tuple[int, ...], axis: int) -> np.ndarray:
    """Some rows or columns of a kernel, at even distances backward, after zeros for -1."""
    zeros = numbers.count(-1)
    there = numbers[zeros:]
    step = there[0] - there[1] if len(there) > 1 else 1
    stop = there[-1] - step
    places = [slice(None)] * axis + [slice(there[0], None if stop < 0 else stop, -step)]
    part = kernel[tuple(places)]
    if not zeros:
        return part
    border = [(0, 0)] * kernel.ndim
    border[axis] = (zeros, 0)
    return np.pad(part, border)


def _phases(k: int, s: int, d: int, pads: tuple[int, int], length: int, count: int) -> list[_Axis]:
    """The parts along one axis: those of every s-th place of the input, from each of the first s.

    Place i = first + s * t of the input adds up ``kernel[a] * gradient[y]`` over all a and y with
    ``a * d + y * s == i + before``.
    """
    before, _ = pads
    if s == 1:
        span = d * (k - 1) + 1
        top = span - 1 - before
        return [_Axis(0, tuple(range(k))[::-1], length, top, length + span - 1 - count - top)]
    found = []
    for first in range(min(s, length)):
        taps = [a for a in range(k) if (a * d - first - before) % s == 0]
        if d > 1 and len(taps) > 1:
            raise NotImplementedError("strides and dilation together")
        if not taps:
            continue
        # the first and the last row of the gradient that the first place sees
        last = (first + before - taps[0] * d) // s
        begin = (first + before - taps[-1] * d) // s
        found.append((first, taps[::-1], len(range(first, length, s)), begin, last))
    if not found:
        return []
    # all parts begin at the same row, some of them with zeros in the kernel, so that the gradient
    # lies inside one border for all
    begin = min(axis[3] for axis in found)
    end = max(n - 1 + last + 1 for _, _, n, _, last in found)
    return [
        _Axis(first, (-1,) * (start - begin) + tuple(taps), n, -begin, end - count)
        for first, taps, n, start, _ in found
    ]


def supports_data_gradient(conv: Conv, in_shape: Shape, out_shape: Shape) -> bool:
    """Tell whether `DataGradient` computes this convolution's gradient by its input."""
    return all(_fits(*side) for side in _sides(conv, in_shape, out_shape))


def _sides(conv: Conv, in_shape: Shape, out_shape: Shape) -> Iterator[tuple]:
    return zip(
        pair(conv.kernel_size),
        pair(conv.stride),
        pair(conv.dilation),
        conv.pads(in_shape),
        in_shape,
        out_shape,
    )


def _fits(*side) -> bool:
    try:
        phases = _phases(*side)
    except NotImplementedError:
        return False
    return bool(phases) and all(min(axis.before, axis.after) >= 0 for axis in phases)
