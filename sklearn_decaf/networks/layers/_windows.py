"""Windows that slide over a map: their sides, borders, and how many fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .base import Pads, Shape

Size = int | tuple[int, int]  # one number for both sides, or (rows, columns)
Padding = int | str | tuple[int, int] | Pads


def pair(value: Size) -> tuple[int, int]:
    """Return (rows, columns) of what may be one number for both."""
    if isinstance(value, int | Integral):
        return (int(value), int(value))
    rows, columns = value
    return (int(rows), int(columns))


def pad(x: np.ndarray, pads: Pads, value: float = 0.0) -> np.ndarray:
    """Put a border of one value around maps: (n, h, w, c) -> (n, h + .., w + .., c)."""
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def resolve_padding(
    padding: Padding, shape: Shape, size: Size, stride: Size, dilation: Size = 1
) -> Pads:
    """Return ((top, bottom), (left, right)) for a map of this shape.

    `padding` is one number for all sides, (rows, columns), ((top, bottom), (left, right)), or
    "same": TensorFlow's rule, ``ceil(side / stride)`` windows and the odd zero last.
    """
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(f"padding={padding!r} must be numbers or 'same'")
        spans = [d * (k - 1) + 1 for k, d in zip(pair(size), pair(dilation))]
        top_bottom, left_right = map(_same, shape[:2], spans, pair(stride))
        return top_bottom, left_right
    if isinstance(padding, int | Integral):
        return ((int(padding),) * 2,) * 2
    rows, columns = padding  # each one number, or before and after
    return pair(rows), pair(columns)


def _same(length: int, span: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + span - length, 0)
    return total // 2, total - total // 2


def count_windows(
    name: str,
    shape: Shape,
    pads: Pads,
    size: Size,
    stride: Size,
    *,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Count the windows over a padded map: (oh, ow).

    With `ceil_mode` a last window may stick out of the padded map, if it begins inside the map or
    the border before it.

    Raises
    ------
    ValueError
        If not even one window fits; it names the layer.
    """
    counts = []
    sides = zip(shape[:2], pads, pair(size), pair(stride), pair(dilation))
    for length, (before, after), k, s, d in sides:
        room = length + before + after - (d * (k - 1) + 1)
        if room < 0:
            window = " x ".join(str(y * (x - 1) + 1) for x, y in zip(pair(size), pair(dilation)))
            raise ValueError(
                f"layer {name!r}: a map of {shape[0]} x {shape[1]}"
                f"{' and its border' if any(map(any, pads)) else ''} is smaller than "
                f"its kernel of {window}"
            )
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= length + before:
            count -= 1
        counts.append(count)
    return counts[0], counts[1]


def windows(
    x: np.ndarray, size: Size, stride: Size, counts: Sequence[int], dilation: Size = 1
) -> np.ndarray:
    """View the windows of padded maps: (n, h, w, c) -> (n, oh, ow, c, kh, kw)."""
    (kh, kw), (sy, sx), (dy, dx) = pair(size), pair(stride), pair(dilation)
    spans = (dy * (kh - 1) + 1, dx * (kw - 1) + 1)
    every = sliding_window_view(x, spans, axis=(1, 2))
    oh, ow = counts
    return every[:, ::sy, ::sx, :, ::dy, ::dx][:, :oh, :ow]


def taps(
    size: Size, stride: Size, counts: Sequence[int], dilation: Size = 1
) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield each place (i, j) of a window, and the rows and columns that all windows see there."""
    (sy, sx), (dy, dx), (oh, ow) = pair(stride), pair(dilation), counts
    for i, j in np.ndindex(*pair(size)):
        rows = slice(i * dy, i * dy + (oh - 1) * sy + 1, sy)
        columns = slice(j * dx, j * dx + (ow - 1) * sx + 1, sx)
        yield i, j, rows, columns


def add_windows(
    values: np.ndarray, shape: Shape, pads: Pads, stride: Size, dilation: Size = 1
) -> np.ndarray:
    """Add up what windows hold where they lie: (n, oh, ow, c, kh, kw) -> (n, h, w, c).

    The transpose of :func:`pad` and :func:`windows`. What lies on the border is left out.

    Parameters
    ----------
    values : ndarray of shape (n, oh, ow, c, kh, kw)
    shape : (int, int, int)
        Of the map without its border.
    pads : ((int, int), (int, int))
        Of the border.
    stride, dilation : int or (int, int)
    """
    (top, bottom), (left, right) = pads
    (n, oh, ow, c, kh, kw), (h, w, _) = values.shape, shape
    total = np.zeros((n, top + h + bottom, left + w + right, c), values.dtype)
    for i, j, rows, columns in taps((kh, kw), stride, (oh, ow), dilation):
        total[:, rows, columns] += values[..., i, j]
    return total[:, top : top + h, left : left + w]
