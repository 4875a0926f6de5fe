"""Activation functions against ONNX and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from oracles.layer_examples import assert_same, drawn
from oracles.onnx_graph import evaluate_layer
from scipy import special

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    ReLU,
    Softmax,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


@pytest.mark.parametrize("max_value", [math.inf, 6.0])
def test_relu_is_that_of_onnx(max_value):
    layer, x = ReLU("r", max_value=max_value), 10 * drawn(0, 2, 3, 4, 5)
    expected = evaluate_layer(layer, [x])
    np.testing.assert_array_equal(reference.compute(layer, [], x), expected, strict=True)
    assert expected.min() == 0
    assert expected.max() == min(x.max(), max_value)


def test_softmax_is_that_of_onnx_and_scipy():
    x = 5 * drawn(0, 4, 10)
    actual = reference.compute(Softmax("s"), [], x)
    assert_same(actual, special.softmax(x, axis=-1))
    assert_same(actual, evaluate_layer(Softmax("s"), [x]))


@pytest.mark.parametrize("offset", [-1e4, 1e4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_neither_overflows_nor_vanishes(offset, dtype):
    x = np.array([[0.0, 1.0, -2.0]])
    shifted = reference.compute(Softmax("s"), [], (x + offset).astype(dtype))
    np.testing.assert_allclose(shifted, special.softmax(x, axis=-1), rtol=1e-5)
