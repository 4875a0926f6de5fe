"""Pooling against ONNX and against counting windows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.layer_examples import assert_same, drawn
from oracles.onnx_graph import evaluate_layer, operator

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


def windows_by_counting(n, size, stride, ceil_mode):
    """How many windows there are, one after the other."""
    count, start = 1, 0
    while start + size < n:  # something is left after this window
        start += stride
        if start >= n or (start + size > n and not ceil_mode):
            break
        count += 1
    return count


@untimed
@given(sides, sides, st.integers(1, 6), strides, st.booleans())
def test_pool_shape_counts_the_windows_that_begin_inside(h, w, size, stride, ceil_mode):
    layer = MaxPool("p", (), size, stride, ceil_mode)
    if min(h, w) < size:
        with pytest.raises(ValueError, match=r"'p': a map of .* smaller than its kernel"):
            layer.output_shape((h, w, 3))
        return
    assert layer.output_shape((h, w, 3)) == (
        windows_by_counting(h, size, stride, ceil_mode),
        windows_by_counting(w, size, stride, ceil_mode),
        3,
    )


@untimed
@given(st.data())
def test_pool_shape_is_that_of_onnx(data):
    size = data.draw(st.integers(1, 4))
    h, w = (data.draw(st.integers(size, 12)) for _ in range(2))
    stride, ceil_mode = data.draw(strides), data.draw(st.booleans())
    options = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "ceil_mode": int(ceil_mode)}
    computed = operator("MaxPool", np.zeros((1, 1, h, w)), **options)
    oh, ow, _ = MaxPool("p", (), size, stride, ceil_mode).output_shape((h, w, 1))
    assert computed.shape == (1, 1, oh, ow)


@pytest.mark.parametrize(
    ("n", "size", "stride", "ceil_mode", "expected"),
    [
        (55, 3, 2, True, 27),
        (13, 3, 2, True, 6),
        (14, 3, 2, True, 7),  # one window sticks out
        (14, 3, 2, False, 6),
        (113, 3, 2, True, 56),
        (7, 2, 3, True, 3),  # the last window holds one pixel
        (4, 2, 3, True, 2),
        (6, 1, 4, True, 2),
        (5, 1, 4, True, 2),
        (4, 1, 4, True, 1),  # a second window would begin outside
        (3, 2, 3, True, 1),
        (5, 2, 5, True, 1),
    ],
)
def test_pool_lengths(n, size, stride, ceil_mode, expected):
    layer = MaxPool("p", (), size, stride, ceil_mode)
    assert layer.output_shape((n, 20, 1))[0] == expected
    assert layer.output_shape((20, n, 1))[1] == expected


@pytest.mark.parametrize("kind", [GlobalAveragePool, GlobalMaxPool])
def test_global_pools_leave_one_value_a_channel(kind):
    assert kind("g").output_shape((3, 5, 7)) == (7,)


@st.composite
def pools(draw):
    """A max pooling and the shape of a map that it fits."""
    size = draw(st.integers(1, 4))
    shape = (draw(st.integers(size, size + 6)), draw(st.integers(size, size + 6)), 2)
    return MaxPool("p", (), size, draw(st.integers(1, 5)), draw(st.booleans())), shape


@untimed
@given(pools(), seeds)
def test_max_pool_is_that_of_onnx(pool, seed):
    layer, shape = pool
    x = drawn(seed, 1, *shape) - 5  # a border of zeros would win
    np.testing.assert_array_equal(
        reference.compute(layer, [], x), evaluate_layer(layer, [x]), strict=True
    )


@untimed
@given(pools(), seeds)
def test_max_pool_is_the_maximum_of_slices(pool, seed):
    layer, shape = pool
    x = drawn(seed, 2, *shape) - 5
    out = reference.compute(layer, [], x)
    assert out.shape[1:] == layer.output_shape(shape)
    for i, j in np.ndindex(out.shape[1:3]):
        top, left = i * layer.stride, j * layer.stride
        window = x[:, top : top + layer.size, left : left + layer.size]
        np.testing.assert_array_equal(out[:, i, j], window.max(axis=(1, 2)))


@pytest.mark.parametrize("kind", [GlobalAveragePool, GlobalMaxPool])
@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 7, 5)])
def test_global_pools_are_those_of_onnx(kind, shape):
    x = drawn(1, 2, *shape) - 5
    assert_same(reference.compute(kind("g"), [], x), evaluate_layer(kind("g"), [x]), 1e-14)
