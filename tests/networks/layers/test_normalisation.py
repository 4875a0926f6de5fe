"""Normalisation against ONNX and the formulas of the papers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.layer_examples import assert_same, drawn
from oracles.onnx_graph import evaluate_layer, operator
from scipy import ndimage

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    LRN,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


lrns = st.builds(
    LRN,
    st.just("n"),
    size=st.integers(1, 8),
    alpha=st.sampled_from([1e-4, 0.5, 3.0]),
    beta=st.sampled_from([0.75, 0.5, 1.0]),
    k=st.sampled_from([1.0, 2.0]),
)


@untimed
@given(lrns, st.integers(1, 12), seeds)
def test_lrn_is_that_of_onnx_operators(layer, channels, seed):
    x = 10 * drawn(seed, 2, 2, 3, channels)
    assert_same(reference.compute(layer, [], x), evaluate_layer(layer, [x]))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("channels", [1, 3, 6, 16])
def test_lrn_is_that_of_onnx(size, channels):
    # As many images as channels: onnx's evaluator counts images where it means channels. It
    # computes alpha / size in float32, so that is a power of two.
    x, alpha = 10 * drawn(size, channels, channels, 3, 2), size / 8
    expected = operator("LRN", x, size=size, alpha=alpha, beta=0.75, bias=2.0)
    layer = LRN("n", size=size, alpha=alpha, beta=0.75, k=2.0)
    actual = reference.compute(layer, [], x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert_same(actual, expected)


@pytest.mark.parametrize("channels", [2, 4, 5, 7])
def test_lrn_window_is_cut_off_at_the_borders(channels):
    x = 30 * drawn(channels, 1, 2, 2, channels)
    layer = LRN("n")
    # the formula of Krizhevsky et al., 3.3, with alpha over the size as Caffe has it
    sums = ndimage.convolve1d(x**2, np.ones(5), axis=-1, mode="constant")
    expected = x / (1 + 1e-4 / 5 * sums) ** 0.75
    assert_same(reference.compute(layer, [], x), expected)
