"""Gradients of whole networks in plain NumPy; the layers have tests of their own."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from oracles.calibrated_networks import calibrate
from oracles.random_networks import architectures, he_parameters, random_images
from oracles.small_networks import NETWORKS, network

from sklearn_decaf.networks import get_architecture, reference
from sklearn_decaf.networks.architecture import INPUT, Preprocessing
from sklearn_decaf.networks.architectures import _FAMILIES
from sklearn_decaf.networks.gradients import backward, gradients
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    Layer,
    Sigmoid,
    Softmax,
    Tanh,
)

BRANCHES = network(
    Conv("c", filters=4, kernel_size=3),
    Tanh("t"),
    Conv("d", filters=4, kernel_size=3, padding=1),
    BatchNorm("n"),
    Add("sum", ("n", "t")),
    Add("twice", ("sum", "sum")),
    Conv("e", ("t",), filters=3),
    Concat("all", ("twice", "e", "t")),
    Sigmoid("s"),
    GlobalAveragePool("pool"),
    Dense("fc", units=5),
    Softmax("prob"),
    preprocessing=Preprocessing(crop=6, mean=(120.0,) * 3, std=(60.0,) * 3),
)


def drawn_case(architecture, layer, n=2):
    """Parameters, images, and the gradient that a loss might have."""
    parameters = {key: p.astype(np.float64) for key, p in he_parameters(architecture).items()}
    shape = architecture.shapes()[layer]
    return (
        parameters,
        random_images(architecture, n),
        np.random.default_rng(1).normal(size=(n, *shape)),
    )


@pytest.mark.parametrize("layer", ["prob", "twice"])
def test_gradients_are_the_limits_of_differences(layer):
    parameters, images, gradient = drawn_case(BRANCHES, layer)
    found = gradients(BRANCHES, parameters, images, gradient, layer).parameters

    def loss(changed):
        blobs = reference.forward(BRANCHES, changed, images, [layer], np.float64)
        return (blobs[layer] * gradient).sum()

    rng = np.random.default_rng(2)
    for key, slopes in found.items():
        change = rng.normal(size=slopes.shape)
        above, below = (
            loss({**parameters, key: parameters[key] + step * change}) for step in (1e-5, -1e-5)
        )
        expected = (above - below) / 2e-5
        assert (slopes * change).sum() == pytest.approx(expected, rel=1e-6, abs=1e-10), key


def test_everything_learned_has_a_gradient_and_statistics_have_none():
    parameters, images, gradient = drawn_case(BRANCHES, "prob")
    found = gradients(BRANCHES, parameters, images, gradient, "prob")
    assert not found.layers
    assert {key: p.shape for key, p in found.parameters.items()} == {
        key: shape
        for key, shape in BRANCHES.parameter_shapes().items()
        if key not in ("n.mean", "n.variance")
    }
    assert {p.dtype for p in found.parameters.values()} == {np.dtype(np.float64)}


def test_only_what_the_loss_depends_on():
    parameters, images, gradient = drawn_case(BRANCHES, "sum")
    found = gradients(BRANCHES, parameters, images, gradient, "sum")
    assert {key.partition(".")[0] for key in found.parameters} == {"c", "d", "n"}


def test_a_function_of_the_output_gives_the_same():
    parameters, images, _ = drawn_case(BRANCHES, "fc")
    (output,) = reference.forward(BRANCHES, parameters, images, ["fc"], np.float64).values()
    expected = gradients(BRANCHES, parameters, images, 2 * output, "fc").parameters
    found = gradients(BRANCHES, parameters, images, lambda y: 2 * y, "fc").parameters
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values)


def test_single_precision_when_asked_for():
    parameters, images, gradient = drawn_case(BRANCHES, "fc")
    exact = gradients(BRANCHES, parameters, images, gradient, "fc").parameters
    found = gradients(BRANCHES, parameters, images, gradient, "fc", dtype=np.float32).parameters
    for key, values in exact.items():
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], values, rtol=0, atol=1e-5 * np.abs(values).max())


@pytest.mark.parametrize(
    ("trainable", "computed"),
    [
        (["fc"], {"prob", "fc"}),
        (["e"], {"prob", "fc", "pool", "s", "all", "e"}),
        (["n"], {"prob", "fc", "pool", "s", "all", "twice", "sum", "n"}),
        (None, set(BRANCHES.layer_names)),
    ],
)
def test_nothing_is_computed_below_the_first_trainable_layer(trainable, computed, monkeypatch):
    parameters, images, gradient = drawn_case(BRANCHES, "prob")
    everything = gradients(BRANCHES, parameters, images, gradient, "prob").parameters
    seen = []
    for kind in {type(layer) for layer in BRANCHES.layers}:

        def spy(self, *arguments, original=kind.backward):
            seen.append(self.name)
            return original(self, *arguments)

        monkeypatch.setattr(kind, "backward", spy)
    found = gradients(BRANCHES, parameters, images, gradient, "prob", trainable=trainable)
    assert len(seen) == len(computed) and set(seen) == computed
    wanted = set(trainable or BRANCHES.layer_names)
    assert set(found.parameters) == {k for k in everything if k.partition(".")[0] in wanted}
    for key, values in found.parameters.items():
        np.testing.assert_array_equal(values, everything[key])


def test_gradients_by_layers_and_by_the_image():
    """The chain rule from a layer on gives the same as from the end."""
    parameters, images, gradient = drawn_case(BRANCHES, "prob")
    whole = gradients(BRANCHES, parameters, images, gradient, "prob", wanted=["all", INPUT, "prob"])
    np.testing.assert_array_equal(whole.layers["prob"], gradient)
    part = gradients(
        BRANCHES, parameters, images, whole.layers["all"], "all", trainable=[], wanted=[INPUT]
    )
    assert not part.parameters
    np.testing.assert_array_equal(part.layers[INPUT], whole.layers[INPUT])
    assert whole.layers[INPUT].shape == images.shape


def test_losses_of_two_layers_add_up():
    parameters, images, gradient = drawn_case(BRANCHES, "prob")
    names = (INPUT, *BRANCHES.layer_names)
    values = reference.forward(BRANCHES, parameters, images, names, np.float64)
    more = np.ones_like(values["sum"])
    both = backward(BRANCHES, parameters, values, {"prob": gradient, "sum": more}).parameters
    alone = [
        gradients(BRANCHES, parameters, images, g, layer).parameters
        for layer, g in (("prob", gradient), ("sum", more))
    ]
    for key, found in both.items():
        expected = sum(each[key] for each in alone if key in each)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_batch_is_the_sum_of_its_images():
    parameters, images, gradient = drawn_case(BRANCHES, "prob", n=3)
    batch = gradients(BRANCHES, parameters, images, gradient, "prob").parameters
    single = [
        gradients(BRANCHES, parameters, images[i : i + 1], gradient[i : i + 1], "prob").parameters
        for i in range(3)
    ]
    for key, found in batch.items():
        np.testing.assert_allclose(found, sum(one[key] for one in single), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable": ["fc", "nose"]}, "trainable names 'nose', which is no layer of 'small'"),
        ({"trainable": ["prob"]}, "trainable names 'prob', .* that the loss depends on"),
        ({"wanted": ["prob"]}, "wanted names 'prob'"),
        ({"output_gradient": np.ones((2, 4))}, r"by layer 'fc' has shape \(2, 4\).*\(2, 5\)"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    parameters, images, gradient = drawn_case(BRANCHES, "fc")
    arguments = {"output_gradient": gradient, **options}
    with pytest.raises(ValueError, match=message):
        gradients(BRANCHES, parameters, images, layer="fc", **arguments)


def test_a_kind_without_gradients_is_named():
    class Odd(Layer):
        def forward(self, inputs, parameters=()):
            return inputs[0]

    architecture = network(Conv("c"), Odd("odd"))
    parameters, images, gradient = drawn_case(architecture, "odd")
    with pytest.raises(TypeError, match="layer 'odd': no gradients for layers of type Odd"):
        gradients(architecture, parameters, images, gradient, "odd")


# torch --------------------------------------------------------------------------------------


def check_every_layer(torch_layers, architecture, parameters, images, layer, *, random=False):
    """Compare the gradient by every layer and every parameter with those of torch.

    With `random` an error is a share of the largest gradient from the end up to the layer: what a
    network nobody trained leaves of a gradient may be a tiny rest.
    """
    names = [step.name for step in architecture.ancestors([layer])]
    leaves = {key: torch_layers.leaf(values) for key, values in parameters.items()}
    x = reference.preprocess(images, architecture.preprocessing, np.float64)
    outputs = torch_layers.compute_network(architecture, torch_layers.to_torch(x), leaves)
    gradient = np.random.default_rng(3).normal(size=torch_layers.to_numpy(outputs[layer]).shape)
    outputs[layer].backward(torch_layers.to_torch(gradient).detach())

    wanted = [INPUT, *names]
    found = gradients(architecture, parameters, images, gradient, layer, wanted=wanted)
    off, largest = {}, 0.0
    for name in reversed(wanted):
        expected = torch_layers.to_numpy(outputs[name].grad)
        largest = max(largest, np.abs(expected).max()) if random else np.abs(expected).max()
        error = np.abs(found.layers[name] - expected).max()
        if not error <= 1e-9 * largest:
            off[name] = error
        for key in architecture.layer_parameter_shapes(name) if name != INPUT else ():
            if key not in found.parameters:
                continue
            expected = leaves[key].grad.numpy()
            # where a normalisation follows, a bias has no effect: its gradient is rounding
            scale = np.abs(expected).max() + (1e3 if random else 1) * largest
            error = np.abs(found.parameters[key] - expected).max()
            if not error <= 1e-9 * scale:
                off[key] = error
    assert not off, f"{len(off)} of {len(wanted)}, from the end on: {list(off.items())[:3]}"


@pytest.mark.slow
@settings(max_examples=60)
@given(architecture=architectures(max_blocks=4))
def test_random_networks_are_those_of_torch(torch_layers, architecture):
    assume(all(map(torch_layers.can_compute, architecture.layers)))
    parameters, images = he_parameters(architecture), random_images(architecture, 2)
    last = architecture.layer_names[-1]
    check_every_layer(torch_layers, architecture, parameters, images, last, random=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks_are_those_of_torch(torch_layers, name):
    architecture = NETWORKS[name]
    images = random_images(architecture, 2)
    parameters, _ = calibrate(architecture, images)
    check_every_layer(torch_layers, architecture, parameters, images, architecture.layer_names[-1])


# a member of each family, and a side of images that leaves several pixels to the last map
MEMBERS = {
    "efficientnet_lite0": 64,
    "squeezenet1_1": 63,
    "caffenet": 99,
    "vgg11_bn": 32,
    "resnet18": 64,
    "googlenet": 64,
    "inception_v3": 107,
    "densenet121": 64,
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x1_0": 64,
    "regnet_y_400mf": 64,
    "convnext_tiny": 64,
}


def test_every_family_has_a_member():
    assert all(len(set(family.NAMES) & set(MEMBERS)) == 1 for family in _FAMILIES)


def shrunk(name, side):
    """A network for small images, with narrower fully connected layers."""
    architecture = get_architecture(name)
    layers = tuple(
        replace(layer, units=64) if isinstance(layer, Dense) and layer.units >= 1000 else layer
        for layer in architecture.layers
    )
    preprocessing = replace(architecture.preprocessing, crop=side)
    return replace(architecture, layers=layers, preprocessing=preprocessing)


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_families_are_those_of_torch(torch_layers, name):
    architecture = shrunk(name, MEMBERS[name])
    images = random_images(architecture, 2)
    parameters, _ = calibrate(architecture, images)
    check_every_layer(torch_layers, architecture, parameters, images, "prob")
