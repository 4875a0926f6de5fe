"""Numbers for kernels, and how their results are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from sklearn_decaf import _kernels
from sklearn_decaf._kernels.cook_toom import cook_toom

needs_kernels = pytest.mark.skipif(
    not _kernels.available_sets(),
    reason="no compiled kernels: install the package with a C++ compiler",
)
EPSILON = float(np.finfo(np.float32).eps)
channel_counts = st.one_of(st.integers(1, 70), st.sampled_from([96, 128, 200]))
seeds = st.integers(0, 2**32 - 1)
# NaN, both infinities, zeros of both signs, numbers near the ends of the range
odd_values = st.lists(
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38, -3e38]), max_size=4
)
bounds = st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0), (-1.0, 0.5)])


def run(kernels, name, *arguments, **options):
    """Bind a kernel to its arguments, and run it."""
    getattr(kernels, f"bind_{name}")(*arguments, **options)()


def normal(rng, *shape, odd=()):
    x = rng.standard_normal(shape, dtype=np.float32)
    if odd:
        x.flat[rng.integers(0, x.size, len(odd))] = odd
    return x


def assert_close(actual, reference, tolerance):
    """Compare with a float64 reference within absolute tolerances; NaN and inf must be equal."""
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(actual[~finite], reference[~finite])
    error = np.abs(actual[finite] - reference[finite])
    assert (error <= tolerance[finite]).all()


def windows_of(x, height, width, stride, rows, columns):
    """All windows of a map: (rows, columns, height, width, c)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(0, 1))
    windows = windows[::stride, ::stride][:rows, :columns]  # (rows, columns, c, height, width)
    return np.moveaxis(windows, 2, -1)


def f32(*shape):
    return np.zeros(shape, np.float32)


def multiply(kernels, *arguments, **options):
    """Compute a product of matrices."""
    for call in kernels.bind_matmul(*arguments, **options):
        call()


def matrices(m, r):
    """AT, G and BT of Winograd's F(m, r), float64."""
    return [np.array(matrix, dtype=object).astype(np.float64) for matrix in cook_toom(m, r)]


def places_of_tiles(size, m):
    """The first row and column of each tile; the last ones end with the map."""
    return [
        (min(row * m, size[0] - m), min(column * m, size[1] - m))
        for row in range(-(-size[0] // m))
        for column in range(-(-size[1] // m))
    ]


def inside(rng, *shape):
    """A view of this shape in a larger array of other numbers."""
    before = rng.integers(0, 3, len(shape))
    whole = normal(rng, *(n + 2 for n in shape))
    return whole[tuple(slice(b, b + n) for b, n in zip(before, shape))]


def is_same_around(view, whole):
    """Whether the array that a view belongs to is still `whole`, apart from the view."""
    outside = np.ones(whole.shape, bool)
    start = (view.ctypes.data - view.base.ctypes.data) // whole.itemsize
    first = np.unravel_index(start, whole.shape)
    outside[tuple(slice(b, b + n) for b, n in zip(first, view.shape))] = False
    return (view.base[outside] == whole[outside]).all()
