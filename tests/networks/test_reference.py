"""The NumPy reference, layer by layer, against ONNX's evaluator and SciPy, in float64."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.onnx_graph import evaluate_layer, operator
from oracles.random_networks import architectures, he_parameters, random_images
from scipy import ndimage, signal, special

from sklearn_decaf.networks import get_architecture, reference
from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Softmax,
)

seeds = st.integers(0, 2**32 - 1)
untimed = settings(deadline=None)


def assert_same(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def drawn(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Convolution --------------------------------------------------------------------------------


@st.composite
def convolutions(draw):
    """A convolution and the shape of a map that it fits."""
    groups = draw(st.integers(1, 4))
    channels = groups * draw(st.integers(1, 3))
    depthwise = draw(st.booleans())
    if depthwise:
        groups = filters = channels
    else:
        filters = groups * draw(st.integers(1, 3))
    kernel_size = draw(st.integers(1, 6))
    padding = draw(st.one_of(st.just("same"), st.integers(0, 3)))
    smallest = 1 if padding == "same" else max(1, kernel_size - 2 * padding)
    h, w = (draw(st.integers(smallest, smallest + 11)) for _ in range(2))
    layer = Conv("c", (), filters, kernel_size, draw(st.integers(1, 4)), padding, groups)
    return layer, (h, w, channels)


def conv_arrays(layer, shape, seed, n=2):
    shapes = layer.parameter_shapes(shape)
    x = drawn(seed, n, *shape)
    return x, drawn(seed + 1, *shapes["kernel"]), drawn(seed + 2, *shapes["bias"])


@untimed
@given(convolutions(), seeds)
def test_conv_is_that_of_onnx(convolution, seed):
    layer, shape = convolution
    x, kernel, bias = conv_arrays(layer, shape, seed)
    expected = evaluate_layer(layer, [x], [kernel, bias])
    assert_same(reference.compute(layer, [kernel, bias], x), expected)
    assert expected.shape[1:] == layer.output_shape(shape)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv("plain", (), 3, 3), (7, 8, 2)),
        (Conv("padded", (), 3, 5, padding=2), (6, 4, 2)),
        (Conv("strided", (), 2, 3, stride=2, padding=1), (9, 8, 3)),
        (Conv("even", (), 2, 4, stride=3), (11, 10, 3)),
        (Conv("groups", (), 6, 3, padding=1, groups=2), (5, 5, 4)),
        (Conv("depthwise", (), 4, 3, stride=2, padding=1, groups=4), (8, 9, 4)),
        (Conv("multiplier", (), 8, 3, groups=4), (6, 6, 4)),
        (Conv("one", (), 5, 1), (3, 3, 4)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_conv_is_correlation_in_scipy(layer, shape):
    x, kernel, bias = conv_arrays(layer, shape, seed=0)
    p, s = layer.padding, layer.stride
    per_group = layer.filters // layer.groups
    expected = np.empty((len(x), *layer.output_shape(shape)))
    for i, filter_ in itertools.product(range(len(x)), range(layer.filters)):
        first = filter_ // per_group * kernel.shape[2]  # the first channel that this filter sees
        total = 0.0
        for c in range(kernel.shape[2]):
            padded = np.pad(x[i, :, :, first + c], p)
            total = total + signal.correlate2d(padded, kernel[:, :, c, filter_], mode="valid")
        expected[i, :, :, filter_] = total[::s, ::s] + bias[filter_]
    assert_same(reference.compute(layer, [kernel, bias], x), expected)


def test_conv_can_tell_its_axes_apart():
    """Each entry of the kernel moves its own channel from its own place to its own filter."""
    x = drawn(0, 1, 4, 5, 2)
    for i, j, c, m in itertools.product(range(2), range(2), range(2), range(3)):
        kernel = np.zeros((2, 2, 2, 3))
        kernel[i, j, c, m] = 1
        out = reference.compute(Conv("c", (), 3, 2), [kernel, np.zeros(3)], x)
        expected = np.zeros((1, 3, 4, 3))
        expected[..., m] = x[:, i : i + 3, j : j + 4, c]
        np.testing.assert_array_equal(out, expected)


# Pooling ------------------------------------------------------------------------------------


@st.composite
def pools(draw):
    """A max pooling and the shape of a map that it fits."""
    size = draw(st.integers(1, 4))
    shape = (draw(st.integers(size, size + 6)), draw(st.integers(size, size + 6)), 2)
    return MaxPool("p", (), size, draw(st.integers(1, 5)), draw(st.booleans())), shape


@untimed
@given(pools(), seeds)
def test_max_pool_is_that_of_onnx(pool, seed):
    layer, shape = pool
    x = drawn(seed, 1, *shape) - 5  # a border of zeros would win
    np.testing.assert_array_equal(
        reference.compute(layer, [], x), evaluate_layer(layer, [x]), strict=True
    )


@untimed
@given(pools(), seeds)
def test_max_pool_is_the_maximum_of_slices(pool, seed):
    layer, shape = pool
    x = drawn(seed, 2, *shape) - 5
    out = reference.compute(layer, [], x)
    assert out.shape[1:] == layer.output_shape(shape)
    for i, j in np.ndindex(out.shape[1:3]):
        top, left = i * layer.stride, j * layer.stride
        window = x[:, top : top + layer.size, left : left + layer.size]
        np.testing.assert_array_equal(out[:, i, j], window.max(axis=(1, 2)))


@pytest.mark.parametrize("kind", [GlobalAveragePool, GlobalMaxPool])
@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 7, 5)])
def test_global_pools_are_those_of_onnx(kind, shape):
    x = drawn(1, 2, *shape) - 5
    assert_same(reference.compute(kind("g"), [], x), evaluate_layer(kind("g"), [x]), 1e-14)


# Normalisation and activation ---------------------------------------------------------------

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


# Fully connected, sums, concatenations ------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4, 5), (60,)])
def test_dense_is_gemm_on_rows_in_h_w_c_order(shape):
    layer, x = Dense("fc", (), 7), drawn(0, 2, *shape)
    kernel, bias = drawn(1, 60, 7), drawn(2, 7)
    actual = reference.compute(layer, [kernel, bias], x)
    assert_same(actual, evaluate_layer(layer, [x], [kernel, bias]))
    if len(shape) == 3:
        expected = np.einsum("nhwc,hwcm->nm", x, kernel.reshape(3, 4, 5, 7)) + bias
        assert_same(actual, expected)


@pytest.mark.parametrize("layer", [Add("a"), Concat("c")], ids=lambda layer: layer.name)
def test_layers_of_two_inputs_are_those_of_onnx(layer):
    x, y = drawn(0, 2, 3, 4, 5), drawn(1, 2, 3, 4, 5)
    for pair in ([x, y], [y, x], [x, x]):
        actual = reference.compute(layer, [], *pair)
        np.testing.assert_array_equal(actual, evaluate_layer(layer, pair), strict=True)


def test_a_layer_without_reference_is_an_error():
    with pytest.raises(TypeError, match="no reference for layers of type Layer"):
        reference.compute(Layer("x"), [], np.zeros((1, 2)))


# Whole networks -----------------------------------------------------------------------------


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
