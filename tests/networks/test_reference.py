"""Whole networks in plain NumPy; the layers have tests of their own."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.random_networks import architectures, he_parameters, random_images

from sklearn_decaf.networks import get_architecture, reference
from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Conv,
    Dense,
    MaxPool,
    ReLU,
    Softmax,
)

seeds = st.integers(0, 2**32 - 1)
untimed = settings(deadline=None)


# Whole networks -----------------------------------------------------------------------------


@pytest.mark.slow
@untimed
@given(architectures(), st.sampled_from([np.float32, np.float64]))
def test_shapes_and_precision_of_random_networks(architecture, dtype):
    images, parameters = random_images(architecture, 2), he_parameters(architecture)
    names = architecture.layer_names
    blobs = reference.forward(architecture, parameters, images, names, dtype)
    assert {name: blob.shape[1:] for name, blob in blobs.items()} == architecture.shapes()
    assert {blob.dtype for blob in blobs.values()} == {np.dtype(dtype)}


def test_forward_keeps_what_was_asked_for_in_that_order():
    layers = (ReLU("r"), Conv("c", filters=2), ReLU("s"), Add("sum", ("s", "c")), ReLU("last"))
    architecture = Architecture("tiny", layers, Preprocessing(crop=4), {})
    parameters, images = he_parameters(architecture), random_images(architecture, 3)
    everything = reference.forward(architecture, parameters, images, architecture.layer_names)
    for wanted in (["sum", "c"], ["c", "sum"], ["r"], ["last"]):
        blobs = reference.forward(architecture, parameters, images, wanted)
        assert list(blobs) == wanted
        for name, blob in blobs.items():
            np.testing.assert_array_equal(blob, everything[name], strict=True)


def test_forward_without_images():
    layers = (Conv("c", filters=2), MaxPool("p"), LRN("n"), Dense("fc", units=3), Softmax("s"))
    architecture = Architecture("tiny", layers, Preprocessing(crop=5), {})
    images = np.empty((0, 5, 5, 3), np.uint8)
    names = architecture.layer_names
    blobs = reference.forward(architecture, he_parameters(architecture), images, names)
    assert {name: blob.shape for name, blob in blobs.items()} == {
        name: (0, *shape) for name, shape in architecture.shapes().items()
    }


def test_forward_reads_only_the_parameters_on_the_way():
    architecture = get_architecture("caffenet")
    shapes = architecture.layer_parameter_shapes("conv1")
    parameters = {key: np.ones(shape, np.float32) for key, shape in shapes.items()}
    images = random_images(architecture, 1)
    assert list(reference.forward(architecture, parameters, images, ["norm1"])) == ["norm1"]
    with pytest.raises(KeyError, match=r"conv2\.kernel"):
        reference.forward(architecture, parameters, images, ["conv2"])


# Preprocessing ------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_preprocess_pixel_by_pixel(order, flip):
    wanted = Preprocessing(
        channel_order=order, mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0), flip_vertical=flip
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    before = images.copy()
    actual = reference.preprocess(images, wanted, np.float64)
    for i, y, x, c in np.ndindex(actual.shape):
        row = 2 - y if flip else y
        channel = "rgb".index(order[c])
        value = (int(images[i, row, x, channel]) - (10, 20, 30)[c]) / (2, 3, 4)[c]
        assert actual[i, y, x, c] == pytest.approx(value, rel=1e-15)
    np.testing.assert_array_equal(images, before)
    assert reference.preprocess(images, wanted).dtype == np.float32


def test_preprocessing_is_a_value():
    assert dataclasses.replace(Preprocessing(), crop=224) == Preprocessing()
