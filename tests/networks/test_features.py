"""Rows of features: which columns come from where, against NumPy on the reference's maps."""

import itertools

import numpy as np
import pytest
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import Weights, get_architecture, load_weights, reference
from sklearn_decaf.networks.architecture import POOLINGS, Architecture, Preprocessing
from sklearn_decaf.networks.features import (
    FeatureExtractor,
    feature_blocks,
    get_extractor,
)
from sklearn_decaf.networks.layers import Conv, Dense, MaxPool, ReLU

SMALL = Architecture(
    "small",
    (
        Conv("conv", filters=5, kernel_size=3),
        ReLU("relu"),
        MaxPool("pool"),
        Dense("fc", units=7),
        ReLU("fc_relu"),
    ),
    Preprocessing(crop=12, mean=(120.0,) * 3),
    decaf_layers={5: "pool", 6: "fc", 7: "fc_relu"},
    aliases={"last": "fc_relu", "blob5": "pool"},
)


@pytest.fixture(scope="module")
def small():
    return Weights(SMALL, he_parameters(SMALL), "small", "0" * 64)


@pytest.fixture(scope="module")
def squeezenet():
    """Weights, two images, and every layer of interest in float64."""
    weights = load_weights("squeezenet1_1")
    images = random_images(weights.architecture, 2)
    layers = ["fire8", "fire9", "relu10", "prob"]
    maps = reference.forward(weights.architecture, weights.parameters, images, layers, np.float64)
    return weights, images, maps


def pooled(x, pooling):
    """What the names of the poolings mean, in NumPy; vectors are left alone."""
    if x.ndim == 2 or pooling is None:
        return x.reshape(len(x), -1)
    parts = {"avg": x.mean(axis=(1, 2)), "max": x.max(axis=(1, 2))}
    return np.hstack([parts[kind] for kind in pooling.split("+")])


# Columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layers", "pooling", "widths"),
    [
        ("efficientnet_lite0", (5, 6, 7, 8), "avg", (192, 320, 1280, 1000)),
        ("efficientnet_lite0", ("stem", "prob"), None, (112 * 112 * 32, 1000)),
        ("squeezenet1_1", (6, 5, 7), "avg+max", (1024, 1024, 2000)),
        ("squeezenet1_1", (6,), "max", (512,)),
        ("squeezenet1_1", (6, 5, 7), "auto", (1024, 1024, 1000)),
        ("efficientnet_lite0", (5, 6, 7, 8), "auto", (192, 320, 1280, 1000)),
        ("caffenet", (5, 6, 7), "auto", (9216, 4096, 4096)),
        ("caffenet", (5, 6, 7), None, (9216, 4096, 4096)),
        ("alexnet", ("prob", "conv5"), "avg+max", (1000, 512)),
        ("decaf", ("pool5_cudanet_out",), None, (9216,)),
    ],
)
def test_columns_stand_side_by_side(name, layers, pooling, widths):
    architecture = get_architecture(name)
    longer, blocks = feature_blocks(architecture, layers, pooling)
    assert tuple(block.layer for block in blocks) == layers
    assert tuple(block.name for block in blocks) == tuple(map(architecture.resolve, layers))
    assert tuple(block.width for block in blocks) == widths
    edges = [0, *itertools.accumulate(widths)]
    assert [(b.columns.start, b.columns.stop) for b in blocks] == [*itertools.pairwise(edges)]
    shapes = longer.shapes()
    for block in blocks:
        assert sum(np.prod(shapes[output]) for output in block.outputs) == block.width
    assert longer.layers[: len(architecture.layers)] == architecture.layers


@pytest.mark.parametrize("layers", [("fc", "fc"), (6, "fc"), ("last", 7), (5, 6, "blob5")])
def test_a_layer_is_asked_for_once(layers):
    with pytest.raises(ValueError, match=r"asks twice for layer '(fc|fc_relu|pool)'; name it once"):
        feature_blocks(SMALL, layers, "avg")


@pytest.mark.parametrize("layer", ["conv9", 4, True])
def test_a_layer_has_to_exist(layer, small):
    with pytest.raises(ValueError, match=r"is not a layer of small.*6 \(fc\).*conv, relu, pool"):
        FeatureExtractor(small, (layer,), "avg")


def test_a_layer_has_to_be_within_reach(small):
    kept = {name: small.parameters[name] for name in ("conv.kernel", "conv.bias")}
    weights = Weights(SMALL, kept, "/x/conv.npz", "0" * 64)
    assert FeatureExtractor(weights, (5,), "avg").n_features == 5
    with pytest.raises(WeightsError, match=r"'fc' of small needs fc.kernel.*/x/conv.npz.*'pool'"):
        FeatureExtractor(weights, (5, 6), "avg")


# Values -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    "layers", [("fire8",), ("fire9", "prob"), ("relu10", "fire8", "prob", "fire9")]
)
def test_values_are_those_of_numpy(squeezenet, layers, pooling):
    weights, images, maps = squeezenet
    extractor = FeatureExtractor(weights, layers, pooling)
    features = extractor(images)
    assert features.shape == (2, extractor.n_features)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    for block in extractor.blocks:
        auto = "avg" if block.name == "relu10" else "avg+max"
        expected = pooled(maps[block.name], auto if pooling == "auto" else pooling)
        actual = features[:, block.columns]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_maps_are_flattened_in_h_w_c_order(small):
    images = random_images(SMALL, 1)
    features = FeatureExtractor(small, ("conv",), None)(images)
    maps = reference.forward(SMALL, small.parameters, images, ["conv"], np.float64)["conv"]
    _, h, w, c = maps.shape
    for i, j, k in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (3, 7, 4), (h - 1, w - 1, c - 1)]:
        assert features[0, (i * w + j) * c + k] == pytest.approx(maps[0, i, j, k], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_one_pass_for_several_layers_is_the_same_bits(name):
    weights = load_weights(name)
    images = random_images(weights.architecture, 2)
    layers = (7, 5, 6, "prob")
    together = FeatureExtractor(weights, layers, "auto")(images)
    alone = [FeatureExtractor(weights, (layer,), "auto")(images) for layer in layers]
    np.testing.assert_array_equal(together, np.hstack(alone))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batches_and_threads_change_nothing(small, pooling):
    extractor = FeatureExtractor(small, ("pool", "fc_relu"), pooling)
    images = random_images(SMALL, 19)
    together = extractor(images)
    np.testing.assert_array_equal(extractor(images, n_threads=3), together)
    np.testing.assert_array_equal(
        np.vstack([extractor(images[i : i + 1]) for i in range(19)]), together
    )


def test_results_belong_to_the_caller(small):
    extractor = FeatureExtractor(small, (5, 6), "avg")
    images = random_images(SMALL, 4)
    first = extractor(images)
    kept = first.copy()
    second = extractor(images[::-1])
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, kept[::-1])


@pytest.mark.parametrize("layers", [(5,), (6,), (5, 7)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_images(small, layers, pooling):
    extractor = FeatureExtractor(small, layers, pooling)
    features = extractor(np.empty((0, 12, 12, 3), np.uint8))
    assert features.shape == (0, extractor.n_features)
    assert features.dtype == np.float32


def test_the_same_extractor_for_the_same_arguments(small):
    extractor = get_extractor(small, (5, 6), "avg")
    assert get_extractor(small, (5, 6), "avg") is extractor
    assert get_extractor(small, (6, 5), "avg") is not extractor
    assert get_extractor(small, (5, 6), "max") is not extractor
    other = Weights(SMALL, he_parameters(SMALL, seed=1), "other", "1" * 64)
    assert get_extractor(other, (5, 6), "avg") is not extractor
