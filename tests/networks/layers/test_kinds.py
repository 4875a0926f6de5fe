"""All kinds of layers: each answers all that is asked of it."""

import dataclasses
import math

import numpy as np
import pytest
from oracles.layer_examples import EXAMPLES, IDS, assert_same, example_arrays
from oracles.onnx_graph import evaluate_layer

from sklearn_decaf.networks import layers, reference
from sklearn_decaf.networks.layers import LRN, Conv, Dense, Layer, ReLU, Softmax

PACKAGE = layers.__name__
MOVES = layers.Concat | layers.ChannelSlice | layers.ChannelShuffle | layers.Identity


@pytest.mark.parametrize("kind", [LRN, ReLU, Softmax])
@pytest.mark.parametrize("shape", [(4, 5, 6), (6,)])
def test_layers_that_keep_the_shape(kind, shape):
    assert kind("k").output_shape(shape) == shape
    assert kind("k").parameter_shapes(shape) == {}


def test_layers_are_values():
    assert Conv("c", filters=3) == Conv("c", filters=3) != Conv("c", filters=4)
    assert len({Layer("x"), Layer("x"), ReLU("x")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Conv("c").stride = 2


def test_a_layer_without_reference_is_an_error():
    with pytest.raises(TypeError, match="no reference for layers of type Layer"):
        reference.compute(Layer("x"), [], np.zeros((1, 2)))


@pytest.mark.parametrize("kind", layers.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_is_complete(kind):
    """What a kind forgets would be an error late, or a silent nothing."""
    assert any(type(layer) is kind for layer, _ in EXAMPLES), "no example in tests/oracles"
    for answer in ("forward", "other_operations", "onnx_operators", "output_shape"):
        assert getattr(kind, answer) is not getattr(Layer, answer) or (
            answer == "output_shape"  # most keep the shape
        ), answer
    assert kind.__doc__ and kind.__name__ in layers.__all__
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen


def test_every_kind_is_listed():
    def own_subclasses(parent):  # not those of other tests
        return [kind for kind in parent.__subclasses__() if kind.__module__.startswith(PACKAGE)]

    def concrete(parent):
        below = own_subclasses(parent)
        return set().union(*map(concrete, below)) if below else {parent}

    assert concrete(Layer) == set(layers.KINDS)


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_values_are_those_of_onnx(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes)
    before = [x.copy() for x in (*inputs, *parameters)]
    actual = layer.forward(inputs, parameters)
    assert_same(actual, evaluate_layer(layer, inputs, parameters))
    assert actual.shape[1:] == layer.output_shape(*shapes)
    for x, copy in zip((*inputs, *parameters), before):
        np.testing.assert_array_equal(x, copy)  # nothing is written to


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_single_precision_stays_single(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes)
    exact = layer.forward(inputs, parameters)
    single = layer.forward(*([x.astype(np.float32) for x in xs] for xs in (inputs, parameters)))
    assert single.dtype == np.float32
    assert_same(single, exact.astype(np.float32), 2e-6)


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_operations_are_counted(layer, shapes):
    output = math.prod(layer.output_shape(*shapes))
    has_products = isinstance(layer, Conv | Dense)
    assert (layer.multiply_adds(*shapes) >= output) is has_products
    assert (layer.other_operations(*shapes) == 0) is isinstance(layer, MOVES)
