"""Layers of two inputs."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from oracles.layer_examples import drawn
from oracles.onnx_graph import evaluate_layer

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.layers import (
    Add,
    Concat,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
kernel_sizes = st.integers(1, 11)
strides = st.integers(1, 5)
untimed = settings(deadline=None)


def test_add_keeps_the_shape():
    assert Add("a").output_shape((2, 3, 4), (2, 3, 4)) == (2, 3, 4)


def test_concat_adds_up_channels():
    assert Concat("c").output_shape((2, 3, 4), (2, 3, 1), (2, 3, 4)) == (2, 3, 9)
    assert Concat("c").output_shape((4,), (5,)) == (9,)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Add("sum"), [(2, 3, 4)], r"'sum': cannot add inputs of shapes \(\(2, 3, 4\),\)"),
        (Add("sum"), [(2, 3, 4), (2, 3, 5)], r"'sum': cannot add .*\(2, 3, 4\), \(2, 3, 5\)"),
        (Add("sum"), [(4,)] * 3, "'sum': cannot add"),
        (Concat("both"), [(2, 3, 4), (3, 2, 4)], "'both': cannot join"),
        (Concat("both"), [(2, 3, 4), (4,)], "'both': cannot join"),
    ],
)
def test_inputs_that_do_not_fit_are_named(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(*shapes)


@pytest.mark.parametrize("layer", [Add("a"), Concat("c")], ids=lambda layer: layer.name)
def test_layers_of_two_inputs_are_those_of_onnx(layer):
    x, y = drawn(0, 2, 3, 4, 5), drawn(1, 2, 3, 4, 5)
    for pair in ([x, y], [y, x], [x, x]):
        actual = reference.compute(layer, [], *pair)
        np.testing.assert_array_equal(actual, evaluate_layer(layer, pair), strict=True)
