"""Fully connected layers against ONNX."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from oracles.layer_examples import assert_same, drawn
from oracles.onnx_graph import evaluate_layer

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    Dense,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


@pytest.mark.parametrize("shape", [(2, 3, 4), (24,)])
def test_dense_reads_maps_as_vectors(shape):
    layer = Dense("fc", (), 5)
    assert layer.output_shape(shape) == (5,)
    assert layer.parameter_shapes(shape) == {"kernel": (24, 5), "bias": (5,)}


@pytest.mark.parametrize("shape", [(3, 4, 5), (60,)])
def test_dense_is_gemm_on_rows_in_h_w_c_order(shape):
    layer, x = Dense("fc", (), 7), drawn(0, 2, *shape)
    kernel, bias = drawn(1, 60, 7), drawn(2, 7)
    actual = reference.compute(layer, [kernel, bias], x)
    assert_same(actual, evaluate_layer(layer, [x], [kernel, bias]))
    if len(shape) == 3:
        expected = np.einsum("nhwc,hwcm->nm", x, kernel.reshape(3, 4, 5, 7)) + bias
        assert_same(actual, expected)
