"""Winograd's matrices, exactly: in fractions there is no rounding to excuse anything."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_decaf._kernels._functions import WINOGRAD_SIZES
from sklearn_decaf._kernels.cook_toom import cook_toom

SIZES = [(m, r) for m in range(1, 9) for r in range(1, 9) if 1 <= m + r - 2 <= 7]
fractions = st.fractions(min_value=-100, max_value=100, max_denominator=9)


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


@pytest.mark.slow
@pytest.mark.parametrize(("m", "r"), SIZES)
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_outputs_are_correlations(m, r, data):
    n = m + r - 1
    taps = data.draw(st.lists(fractions, min_size=r, max_size=r))
    inputs = data.draw(st.lists(fractions, min_size=n, max_size=n))
    outputs, filters, transform = cook_toom(m, r)
    products = [g * d for g, d in zip(times(filters, taps), times(transform, inputs))]
    expected = [sum(taps[k] * inputs[i + k] for k in range(r)) for i in range(m)]
    assert times(outputs, products) == expected


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_shapes_and_types(m, r):
    n = m + r - 1
    outputs, filters, transform = cook_toom(m, r)
    for matrix, shape in ((outputs, (m, n)), (filters, (n, r)), (transform, (n, n))):
        assert (len(matrix), {len(row) for row in matrix}) == (shape[0], {shape[1]})
        assert all(isinstance(value, Fraction) for row in matrix for value in row)


@pytest.mark.parametrize(("m", "r"), WINOGRAD_SIZES)
def test_rounding_errors_are_bounded(m, r):
    """The errors grow with the product of the norms, which bad points make large."""
    outputs, filters, transform = (
        np.array(matrix, dtype=object).astype(float) for matrix in cook_toom(m, r)
    )
    norms = [np.abs(matrix).sum(axis=1).max() for matrix in (outputs, filters, transform)]
    assert np.prod(norms) < 3000


def test_the_published_matrices():
    """F(2, 3) is Winograd's, up to scale: 4 multiplications instead of 6."""
    outputs, _, transform = cook_toom(2, 3)
    assert outputs == [[1, 1, 1, 0], [0, 1, -1, 1]]
    # Lavin & Gray 2016, equation (6), with rows scaled
    published = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
    for row, wanted in zip(transform, published):
        assert row in [[scale * value for value in wanted] for scale in (1, -1, 2, -2)]


@pytest.mark.parametrize(("m", "r"), [(0, 3), (3, 0), (-1, 3), (7, 3), (2, 8), (9, 1)])
def test_sizes_that_there_are_no_points_for(m, r):
    with pytest.raises(ValueError, match=rf"F\({m}, {r}\)"):
        cook_toom(m, r)
