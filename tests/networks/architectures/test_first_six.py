"""The architectures: published facts, and every layer of each against ONNX and the engine."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from oracles.onnx_graph import evaluate, preprocess
from oracles.random_networks import assert_close, he_parameters
from sklearn.datasets import load_sample_images

from sklearn_decaf.networks import get_architecture, load_weights, reference
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.layers import LRN, Conv, Dense, MaxPool, ReLU

KRIZHEVSKY = ("caffenet", "bvlc_alexnet", "decaf")
ALEXNETS = ("alexnet", *KRIZHEVSKY)
FIRST_SIX = ("efficientnet_lite0", "squeezenet1_1", *ALEXNETS)


def photographs(crop: int) -> np.ndarray:
    """Two of scikit-learn's photographs, their upper left part."""
    return np.stack([image[:crop, :crop] for image in load_sample_images().images])


# Facts --------------------------------------------------------------------------------------

# (h, w, c) as published with the networks, and as Caffe and torchvision print them
SHAPES = {
    "caffenet": {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "norm1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "relu7": (4096,),
        "fc8": (1000,),
        "prob": (1000,),
    },
    "bvlc_alexnet": {"norm1": (55, 55, 96), "pool1": (27, 27, 96), "norm2": (27, 27, 256)},
    "decaf": {"conv1": (55, 55, 96), "norm2": (13, 13, 256), "pool5": (6, 6, 256)},
    "alexnet": {
        "conv1": (55, 55, 64),
        "pool1": (27, 27, 64),
        "conv2": (27, 27, 192),
        "pool2": (13, 13, 192),
        "pool5": (6, 6, 256),
        "fc7": (4096,),
    },
    "squeezenet1_1": {
        "conv1": (113, 113, 64),
        "pool1": (56, 56, 64),
        "fire2": (56, 56, 128),
        "pool3": (28, 28, 128),
        "fire5": (28, 28, 256),
        "pool5": (14, 14, 256),
        "fire7": (14, 14, 384),
        "fire9": (14, 14, 512),
        "relu10": (14, 14, 1000),
        "pool10": (1000,),
    },
    "efficientnet_lite0": {
        "stem": (112, 112, 32),
        "block1.project.conv": (112, 112, 16),
        "block3": (56, 56, 24),
        "block5": (28, 28, 40),
        "block6.expand": (28, 28, 240),
        "block8": (14, 14, 80),
        "block11": (14, 14, 112),
        "block15": (7, 7, 192),
        "block16.project.conv": (7, 7, 320),
        "head": (7, 7, 1280),
        "pool": (1280,),
        "fc": (1000,),
    },
}

# Caffe's and torchvision's counts. That of EfficientNet-Lite0 is 4,652,008 with two numbers a
# channel for batch normalisation, where a bias is left when that is folded in.
PARAMETERS = {
    "caffenet": 60_965_224,
    "bvlc_alexnet": 60_965_224,
    "decaf": 60_965_224,
    "alexnet": 61_100_840,
    "squeezenet1_1": 1_235_496,
    "efficientnet_lite0": 4_652_008 - 21_008,
}


@pytest.mark.parametrize("name", FIRST_SIX)
def test_published_shapes(name):
    shapes = get_architecture(name).shapes()
    assert {layer: shapes[layer] for layer in SHAPES[name]} == SHAPES[name]


@pytest.mark.parametrize("name", FIRST_SIX)
def test_published_number_of_parameters(name):
    shapes = get_architecture(name).parameter_shapes()
    assert sum(math.prod(shape) for shape in shapes.values()) == PARAMETERS[name]


def test_order_of_pooling_and_normalisation():
    for name, pool_first in {"caffenet": True, "decaf": True, "bvlc_alexnet": False}.items():
        names = get_architecture(name).layer_names
        for i in (1, 2):
            assert (names.index(f"pool{i}") < names.index(f"norm{i}")) is pool_first


@pytest.mark.parametrize("name", KRIZHEVSKY)
def test_krizhevskys_numbers(name):
    architecture = get_architecture(name)
    assert [architecture[f"conv{i}"].groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    assert architecture["norm1"] == LRN("norm1", size=5, alpha=1e-4, beta=0.75, k=1.0)
    assert architecture["norm2"] == LRN("norm2", size=5, alpha=1e-4, beta=0.75, k=1.0)
    assert all(architecture[f"pool{i}"].ceil_mode for i in (1, 2, 5))


def test_torchvisions_alexnet_has_neither_groups_nor_normalisation_nor_ceil_mode():
    layers = get_architecture("alexnet").layers
    assert all(layer.groups == 1 for layer in layers if isinstance(layer, Conv))
    assert not any(layer.ceil_mode for layer in layers if isinstance(layer, MaxPool))
    assert not any(isinstance(layer, LRN) for layer in layers)


def test_relu6_is_everywhere_in_lite0():
    layers = get_architecture("efficientnet_lite0").layers
    assert {layer.max_value for layer in layers if isinstance(layer, ReLU)} == {6.0}


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("efficientnet_lite0", ["block15", "block16.project.conv", "head", "fc"]),
        ("squeezenet1_1", ["fire8", "fire9", "relu10", "pool10"]),
        *((name, ["pool5", "relu6", "relu7", "fc8"]) for name in ALEXNETS),
    ],
)
def test_decaf_layers_by_number(name, numbers):
    architecture = get_architecture(name)
    assert [architecture.resolve(i) for i in (5, 6, 7, 8)] == numbers
    assert architecture.shapes()[architecture.resolve(8)] == (1000,)


def test_the_papers_dropout_is_for_fully_connected_layers_6_and_7():
    for name in ALEXNETS:
        assert get_architecture(name).dropout_layers == {"fc6", "relu6", "fc7", "relu7"}
    assert not get_architecture("squeezenet1_1").dropout_layers
    assert not get_architecture("efficientnet_lite0").dropout_layers


def test_poolings():
    poolings = {name: get_architecture(name).pooling for name in FIRST_SIX}
    assert poolings == {
        "efficientnet_lite0": "avg",
        "squeezenet1_1": "avg+max",
        **dict.fromkeys(ALEXNETS),
    }
    squeezenet = get_architecture("squeezenet1_1")
    layers = ("fire8", "fire9", "conv10", "relu10")
    assert [squeezenet.default_pooling(layer) for layer in layers] == ["avg+max"] * 2 + ["avg"] * 2


@pytest.mark.parametrize(
    ("name", "alias", "layer"),
    [
        ("efficientnet_lite0", "block1", "block1.project.conv"),
        ("efficientnet_lite0", "block16", "block16.project.conv"),
        ("efficientnet_lite0", "block15", "block15"),
        ("decaf", "pool5_cudanet_out", "pool5"),
        ("decaf", "rnorm2_cudanet_out", "norm2"),
        ("decaf", "conv3_neuron_cudanet_out", "relu3"),
        ("decaf", "fc6_cudanet_out", "fc6"),
        ("decaf", "fc6_neuron_cudanet_out", "relu6"),
        ("decaf", "fc7dropout_cudanet_out", "relu7"),
        ("decaf", "probs_cudanet_out", "prob"),
    ],
)
def test_other_names(name, alias, layer):
    assert get_architecture(name).resolve(alias) == layer


@pytest.mark.parametrize("layer", [4, 9, -1, True, None, 6.5, "fc9", "", "data"])
def test_a_layer_that_does_not_exist(layer):
    with pytest.raises(ValueError, match=r"is not a layer of caffenet.*6 \(relu6\).*conv1, relu1"):
        get_architecture("caffenet").resolve(layer)


def test_true_is_not_layer_number_one():
    architecture = Architecture("one", (ReLU("a"),), Preprocessing(), {1: "a"})
    assert architecture.resolve(1) == "a"
    with pytest.raises(ValueError, match="layer=True is not a layer"):
        architecture.resolve(True)


def test_an_architecture_that_does_not_exist():
    with pytest.raises(ValueError, match=r"no architecture is called 'vgg'.*squeezenet1_1"):
        get_architecture("vgg")


# Building one -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "numbers", "message"),
    [
        ([ReLU("a", ("b",)), ReLU("b")], {}, r"'a' reads \['b'\], which come later"),
        ([ReLU("a", ("a",))], {}, r"'a' reads \['a'\]"),
        ([ReLU("a"), ReLU("a")], {}, "'a' is there twice"),
        ([ReLU(INPUT)], {}, "'data' is there twice"),
        ([ReLU("a")], {6: "b"}, "has no layer 'b'"),
    ],
)
def test_an_architecture_that_cannot_be(layers, numbers, message):
    with pytest.raises(ValueError, match=f"'wrong'.*{message}"):
        Architecture("wrong", tuple(layers), Preprocessing(), numbers)


def test_ancestors_are_what_has_to_be_computed():
    architecture = get_architecture("squeezenet1_1")
    names = [layer.name for layer in architecture.ancestors(["fire2.expand3x3"])]
    assert names == [
        "conv1",
        "relu1",
        "pool1",
        "fire2.squeeze",
        "fire2.squeeze_relu",
        "fire2.expand3x3",
    ]
    assert architecture.ancestors(architecture.layer_names) == architecture.layers
    assert architecture.ancestors([]) == ()


def test_more_layers_at_the_end():
    architecture = get_architecture("squeezenet1_1")
    longer = architecture.with_layers(Dense("extra", ("fire9",), units=3))
    assert longer.layers[:-1] == architecture.layers
    assert longer.shapes()["extra"] == (3,)
    kept = [field.name for field in dataclasses.fields(Architecture) if field.name != "layers"]
    assert all(getattr(longer, name) == getattr(architecture, name) for name in kept)


# Preprocessing ------------------------------------------------------------------------------

# What Caffe's, torchvision's, EfficientNet-Lite's and decaf's own code make of the pixel
# (R, G, B) = (200, 100, 50)
PIXELS = {
    "caffenet": (50 - 104.00699, 100 - 116.66877, 200 - 122.67892),
    "bvlc_alexnet": (50 - 104.00699, 100 - 116.66877, 200 - 122.67892),
    "decaf": (200 - 122.67892, 100 - 116.66877, 50 - 104.00699),
    "alexnet": (
        (200 / 255 - 0.485) / 0.229,
        (100 / 255 - 0.456) / 0.224,
        (50 / 255 - 0.406) / 0.225,
    ),
    "squeezenet1_1": (50 - 104.006, 100 - 116.669, 200 - 122.679),
    "efficientnet_lite0": (73 / 128, -27 / 128, -77 / 128),
}


@pytest.mark.parametrize("name", FIRST_SIX)
def test_preprocessing_of_a_pixel(name):
    architecture = get_architecture(name)
    crop = 227 if name in (*KRIZHEVSKY, "squeezenet1_1") else 224
    assert architecture.input_shape == (crop, crop, 3)
    assert architecture.preprocessing.resize == 256
    images = np.zeros((1, crop, crop, 3), np.uint8)
    images[0, 10, 20] = (200, 100, 50)
    row = crop - 1 - 10 if name == "decaf" else 10  # decaf's pictures stand on their heads
    out = reference.preprocess(images, architecture.preprocessing)
    np.testing.assert_allclose(out[0, row, 20], PIXELS[name], rtol=1e-5)


@pytest.mark.parametrize("name", FIRST_SIX)
def test_preprocessing_is_that_of_onnx_operators(name):
    architecture = get_architecture(name)
    images = photographs(architecture.preprocessing.crop)
    expected = preprocess(images, architecture.preprocessing, np.float64).transpose(0, 2, 3, 1)
    actual = reference.preprocess(images, architecture.preprocessing, np.float64)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


# Every layer of every network ---------------------------------------------------------------


@pytest.fixture(scope="module")
def krizhevsky_parameters():
    """The three networks have the same parameters, 60 million numbers."""
    return he_parameters(get_architecture("caffenet"))


@pytest.fixture(scope="module", params=FIRST_SIX)
def network(request):
    """A network with parameters, images, and every layer's output in float64."""
    architecture = get_architecture(request.param)
    if request.param in KRIZHEVSKY:
        parameters = request.getfixturevalue("krizhevsky_parameters")
    elif request.param == "alexnet":
        parameters = he_parameters(architecture)
    else:
        # random parameters amplify rounding errors in the deep ones; the real ones are at hand
        parameters = load_weights(request.param).parameters
    images = photographs(architecture.preprocessing.crop)
    if request.param in ALEXNETS:
        images = images[:1]  # their fully connected layers are large in float64
    expected = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    return SimpleNamespace(
        architecture=architecture, parameters=parameters, images=images, expected=expected
    )


def test_every_layer_is_that_of_onnx(network):
    actual = evaluate(network.architecture, network.parameters, network.images[:1])
    del actual[INPUT]
    expected = {name: values[:1] for name, values in network.expected.items()}
    assert actual.keys() == expected.keys()
    assert_close(network.architecture, actual, expected, 1e-11)


def assert_engine_is_the_reference(network, outputs, tolerance, *, exact=False):
    plan = Plan(network.architecture, network.parameters, outputs, exact=exact)
    actual = plan.run(network.images)
    assert {values.dtype for values in actual} == {np.dtype(np.float32)}
    assert_close(network.architecture, dict(zip(outputs, actual)), network.expected, tolerance)


def test_engine_computes_every_layer(network):
    """All are wanted, so none is fused away."""
    assert_engine_is_the_reference(network, network.architecture.layer_names, 1e-5)


def test_engine_computes_every_layer_exactly(network):
    # of probabilities from random weights the softmax makes errors larger
    outputs = [name for name in network.architecture.layer_names if name != "prob"]
    assert_engine_is_the_reference(network, outputs, 1e-5, exact=True)


@pytest.mark.parametrize("exact", [False, True])
def test_engine_computes_the_decaf_layers(network, exact):
    """Everything else is fused as far as it goes."""
    outputs = tuple(network.architecture.decaf_layers.values())
    assert_engine_is_the_reference(network, outputs, 1e-5, exact=exact)


def test_every_layer_matters(network):
    """The comparisons above see something: no layer is constant or dead."""
    for name, values in network.expected.items():
        assert np.isfinite(values).all(), name
        assert values.std() > 0, name
        assert np.count_nonzero(values) > values.size / 50, name
