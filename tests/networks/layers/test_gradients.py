"""Gradients of all kinds of layers: against differences, and against torch's autograd."""

import numpy as np
import pytest
from oracles.layer_examples import EXAMPLES, IDS, MAP, assert_same, drawn, example_arrays

from sklearn_decaf.networks import layers
from sklearn_decaf.networks.layers import (
    LRN,
    BatchNorm,
    Conv,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    MaxPool,
    PReLU,
    ReLU,
)

STEP = 1e-5
# what the other tests have no use for: windows cut off unevenly, pairs of channels
MORE = [
    (LRN("lrn-even", size=4, alpha=0.5), [MAP]),
    (LRN("lrn-vector", alpha=0.5, beta=0.5, k=2.0), [(9,)]),
    (Conv("conv-multiplier", filters=8, kernel_size=3, groups=4), [MAP]),
    (Conv("conv-skips", filters=2, kernel_size=1, stride=3), [MAP]),
    (layers.GlobalAveragePool("global-average-map", keep_sides=True), [MAP]),
    (GlobalMaxPool("global-max-map", keep_sides=True), [MAP]),
    (layers.Multiply("multiply-single-pixel"), [(1, 1, 4), (1, 1, 4)]),
    (layers.Multiply("multiply-by-one-pixel"), [MAP, (1, 1, 4)]),
    (Conv("conv-double", filters=3, kernel_size=3, double_precision=True), [MAP]),
]
ALL = [*EXAMPLES, *MORE]
ALL_IDS = [*IDS, *(layer.name for layer, _ in MORE)]


def gradients_of(layer, inputs, parameters, seed=50):
    """The gradient of the output that a loss might have, and those that follow."""
    output = layer.forward(inputs, parameters)
    gradient = drawn(seed, *output.shape).astype(output.dtype)
    return gradient, *layer.backward(inputs, parameters, output, gradient)


def differences(function, x):
    """Central differences of a function of arrays like x, number by number."""
    slopes = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += STEP
        below[place] -= STEP
        slopes[place] = (function(above) - function(below)) / (2 * STEP)
    return slopes


def differences_by_input(layer, inputs, parameters, which, gradient):
    """The same by one input, with the changed copies of an image as a batch.

    That also tells that images do not see each other.
    """
    x = inputs[which]
    size = x[0].size
    slopes = np.empty(x.shape)
    for i, image in enumerate(x):
        changes = STEP * np.eye(size).reshape(size, *image.shape)
        copies = [np.repeat(other[i : i + 1], 2 * size, axis=0) for other in inputs]
        copies[which] = np.concatenate([image + changes, image - changes])
        outputs = layer.forward(copies, parameters)
        losses = (outputs * gradient[i]).sum(axis=tuple(range(1, outputs.ndim)))
        slopes[i] = ((losses[:size] - losses[size:]) / (2 * STEP)).reshape(image.shape)
    return slopes


@pytest.mark.parametrize("kind", layers.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_gradients(kind):
    assert kind.backward is not Layer.backward
    activation = layers.activations.Activation
    assert not issubclass(kind, activation) or kind.derivative is not activation.derivative


@pytest.mark.parametrize("layer", [Layer("x"), layers.activations.Activation("x")])
def test_a_layer_without_gradients_is_an_error(layer):
    with pytest.raises(TypeError, match=f"layer 'x': no gradients .* {type(layer).__name__}"):
        layer.backward([np.ones((1, 2))], [], np.ones((1, 2)), np.ones((1, 2)))


@pytest.mark.parametrize(("layer", "shapes"), ALL, ids=ALL_IDS)
def test_gradients_are_the_limits_of_differences(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes)
    gradient, by_inputs, by_parameters = gradients_of(layer, inputs, parameters)
    assert len(by_inputs) == len(inputs) and len(by_parameters) == len(parameters)
    for i, found in enumerate(by_inputs):
        expected = differences_by_input(layer, inputs, parameters, i, gradient)
        assert_same(found, expected, 1e-6)
    for i, found in enumerate(by_parameters):

        def loss(value, i=i):
            changed = [*parameters[:i], value, *parameters[i + 1 :]]
            return (layer.forward(inputs, changed) * gradient).sum()

        assert_same(found, differences(loss, parameters[i]), 1e-6)


@pytest.mark.parametrize(("layer", "shapes"), ALL, ids=ALL_IDS)
def test_gradients_leave_their_arguments_alone(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes)
    output = layer.forward(inputs, parameters)
    arrays = (*inputs, *parameters, output, gradient := drawn(1, *output.shape))
    before = [x.copy() for x in arrays]
    layer.backward(inputs, parameters, output, gradient)
    for x, copy in zip(arrays, before):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize(("layer", "shapes"), ALL, ids=ALL_IDS)
def test_single_precision_stays_single(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes)
    _, *exact = gradients_of(layer, inputs, parameters)
    narrow = ([x.astype(np.float32) for x in xs] for xs in (inputs, parameters))
    _, *single = gradients_of(layer, *narrow)
    for some, others in zip(single, exact):
        for found, expected in zip(some, others):
            assert_same(found, expected.astype(np.float32), 1e-5)


@pytest.mark.parametrize(("layer", "shapes"), ALL, ids=ALL_IDS)
def test_gradients_without_images(layer, shapes):
    inputs, parameters = example_arrays(layer, shapes, n=0)
    _, by_inputs, by_parameters = gradients_of(layer, inputs, parameters)
    assert [x.shape for x in by_inputs] == [x.shape for x in inputs]
    assert [x.shape for x in by_parameters] == [x.shape for x in parameters]
    assert not any(x.any() for x in by_parameters)


# Kinks --------------------------------------------------------------------------------------


def slope_at(layer, values, parameters=()):
    x = np.array([values])
    output = layer.forward([x], parameters)
    ((slopes,), _) = layer.backward([x], parameters, output, np.ones_like(output))
    return slopes[0].tolist()


KINKS = [
    (ReLU("r"), [0.0, -0.0], [0, 0]),
    (ReLU("r", max_value=6.0), [0.0, 6.0], [0, 0]),
    (LeakyReLU("l", slope=0.25), [0.0], [0.25]),
    (layers.ELU("e", alpha=0.75), [0.0], [0.75]),
    (HardSigmoid("h"), [-3.0, 3.0], [0, 0]),
    (HardSwish("h"), [-3.0, 3.0], [0, 1]),
]


@pytest.mark.parametrize(("layer", "values", "expected"), KINKS)
def test_slopes_at_kinks(layer, values, expected):
    assert slope_at(layer, values) == expected


def test_slope_of_prelu_at_zero():
    assert slope_at(PReLU("p"), [0.0, 0.0], [np.array([0.25, -2.0])]) == [0.25, -2.0]


def test_the_first_of_equals_is_the_largest():
    x = np.array([[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]]).reshape(1, 2, 3, 1)
    layer = MaxPool("p", size=2, stride=1)
    output = layer.forward([x], [])
    ((found,), _) = layer.backward([x], [], output, np.array([10.0, 1.0]).reshape(1, 1, 2, 1))
    assert found[0, ..., 0].tolist() == [[0, 11, 0], [0, 0, 0]]
    layer = GlobalMaxPool("g")
    ((found,), _) = layer.backward([x], [], layer.forward([x], []), np.array([[7.0]]))
    assert found[0, ..., 0].tolist() == [[0, 7, 0], [0, 0, 0]]


# torch --------------------------------------------------------------------------------------


# over an even number of channels torch sums another window; it normalises no vectors
NOT_IN_TORCH = ("lrn-even", "lrn-vector")
TORCH = [(layer, shapes) for layer, shapes in ALL if layer.name not in NOT_IN_TORCH]
TORCH_IDS = [layer.name for layer, _ in TORCH]


def test_torch_is_asked_about_every_kind():
    assert {type(layer) for layer, _ in TORCH} == set(layers.KINDS)


def check_with_torch(torch_layers, layer, inputs, parameters):
    gradient, by_inputs, by_parameters = gradients_of(layer, inputs, parameters)
    xs = [torch_layers.to_torch(x) for x in inputs]
    leaves = [torch_layers.leaf(p) for p in parameters]
    y = torch_layers.compute_layer(layer, xs, leaves)
    assert_same(layer.forward(inputs, parameters), torch_layers.to_numpy(y), 1e-12)
    y.backward(torch_layers.to_torch(gradient).detach())
    for found, x in zip(by_inputs, xs):
        assert_same(found, torch_layers.to_numpy(x.grad), 1e-12)
    for name, found, p in zip(
        layer.parameter_shapes(*(x.shape[1:] for x in inputs)), by_parameters, leaves
    ):
        if name not in layer.statistics:  # torch has no gradients of those
            assert_same(found, p.grad.numpy(), 1e-12)


@pytest.mark.parametrize(("layer", "shapes"), TORCH, ids=TORCH_IDS)
def test_gradients_are_those_of_torch(torch_layers, layer, shapes):
    check_with_torch(torch_layers, layer, *example_arrays(layer, shapes))


@pytest.mark.parametrize(("layer", "shapes"), TORCH, ids=TORCH_IDS)
def test_gradients_are_those_of_torch_at_kinks_and_ties(torch_layers, layer, shapes):
    """Whole numbers from -6 to 6: many equal, many at the edge of something."""
    inputs, parameters = example_arrays(layer, shapes)
    inputs = [np.clip(np.round(3 * x), -6, 6) for x in inputs]
    check_with_torch(torch_layers, layer, inputs, parameters)


def test_statistics_are_no_parameters_to_be_learned():
    for kind in layers.KINDS:
        assert kind.statistics == (("mean", "variance") if kind is BatchNorm else ())
