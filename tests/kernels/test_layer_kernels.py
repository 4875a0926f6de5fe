"""Kernels of activations, channels, normalisation and windows, against the layers in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import Kernels
from sklearn_decaf.networks import layers

if not _kernels.available_sets():
    pytest.skip("no compiled kernels", allow_module_level=True)


@pytest.fixture(params=_kernels.available_sets(), scope="module")
def kernels(request):
    return Kernels(request.param)


ACTIVATIONS = [
    ("leaky_relu", layers.LeakyReLU("a", slope=0.2), (0.2,)),
    ("elu", layers.ELU("a", alpha=0.7), (0.7,)),
    ("sigmoid", layers.Sigmoid("a"), ()),
    ("tanh", layers.Tanh("a"), ()),
    ("silu", layers.SiLU("a"), ()),
    ("hard_sigmoid", layers.HardSigmoid("a"), (1 / 6, 0.5)),
    ("hard_swish", layers.HardSwish("a"), ()),
    ("gelu", layers.GELU("a"), ()),
    ("gelu_tanh", layers.GELU("a", approximate=True), ()),
]
activations = pytest.mark.parametrize(
    ("name", "layer", "constants"), ACTIVATIONS, ids=[name for name, *_ in ACTIVATIONS]
)
# where exponentials overflow and vanish, and where results are as small as their arguments
SCALES = (1e-30, 1e-6, 1e-2, 1.0, 10.0, 90.0, 1e4, 3e38)


@activations
@pytest.mark.parametrize("scale", SCALES)
def test_activations_are_those_of_the_layers(kernels, name, layer, constants, scale):
    x = np.linspace(-1, 1, 5 * 7 * 37).reshape(5, 7, 37).astype(np.float32) * np.float32(scale)
    out = np.full_like(x, np.nan)
    kernels.bind_activation(name, x, out, *constants)()
    with np.errstate(over="ignore"):
        expected = layer.forward([x.astype(np.float64)])
    # relative to the layer's largest value, as all errors of the engine
    largest = np.abs(expected).max()
    np.testing.assert_allclose(out, expected.astype(np.float32), rtol=0, atol=4e-7 * largest)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "gelu_tanh", "elu"])
def test_small_values_keep_their_digits(kernels, name):
    """Where a value hardly changes, each one is precise, not only the largest."""
    constants = {"elu": (0.7,)}.get(name, ())
    layer = next(layer for other, layer, _ in ACTIVATIONS if other == name)
    x = np.geomspace(1e-30, 0.3, 4 * 64).reshape(2, 2, 64).astype(np.float32)
    for signed in (x, -x):
        out = np.empty_like(x)
        kernels.bind_activation(name, signed, out, *constants)()
        expected = layer.forward([signed.astype(np.float64)])
        np.testing.assert_allclose(out, expected, rtol=6e-7)


@activations
def test_activations_wherever_a_value_stands(kernels, name, layer, constants):
    """Vectors and the rest of a row are computed alike, in place and not, NaN included."""
    x = np.random.default_rng(0).normal(size=(3, 4, 45)).astype(np.float32)
    x[1, 2, 3] = np.nan
    whole = np.empty_like(x)
    kernels.bind_activation(name, x, whole, *constants)()
    assert np.isnan(whole).sum() == 1 and np.isnan(whole[1, 2, 3])
    for first in (0, 1, 7, 44):
        part = x[:, :, first:]
        out = np.empty(part.shape, np.float32)
        kernels.bind_activation(name, part, out, *constants)()
        np.testing.assert_array_equal(out, whole[:, :, first:])
    kernels.bind_activation(name, x, x, *constants)()
    np.testing.assert_array_equal(x, whole)


channels = st.integers(1, 70)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 4), channels, st.integers(0, 99))
def test_work_on_channels(kernels, h, w, c, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(h, w, c)).astype(np.float32)
    scale, shift = rng.normal(size=(2, c)).astype(np.float32)
    wide = [values.astype(np.float64) for values in (x, scale, shift)]
    out = np.full((h, w + 2, c), np.nan, np.float32)
    place = out[:, 1:-1]
    kernels.bind_scale_and_shift(x, scale, shift, place, (-0.5, 1.5))()
    np.testing.assert_allclose(place, np.clip(wide[0] * wide[1] + wide[2], -0.5, 1.5), atol=1e-6)
    kernels.bind_prelu(x, scale, place)()
    np.testing.assert_allclose(place, np.where(x > 0, x, scale * x))
    for shape in ((h, w, c), (1, 1, c), (h, w, 1)):
        factors = rng.normal(size=shape).astype(np.float32)
        kernels.bind_multiply(x, factors, place)()
        np.testing.assert_array_equal(place, x * factors)
    kernels.bind_layer_norm(x, scale, shift, 1e-3, place)()
    expected = layers.LayerNorm("n", epsilon=1e-3).forward([wide[0][None]], wide[1:])[0]
    np.testing.assert_allclose(place, expected, atol=2e-6 * (np.abs(expected).max() + 1))
    assert np.isnan(out[:, [0, -1]]).all()  # nothing beside is written


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_channels_move(kernels, n, x_step, data):
    x = np.arange(2 * 3 * (n * x_step + 2), dtype=np.float32).reshape(2, 3, -1)
    out_step = data.draw(st.integers(1, 4))
    out = np.full((2, 3, n * out_step), -1, np.float32)
    kernels.bind_move_channels(x[..., 1:], x_step, out, out_step, n)()
    expected = np.full_like(out, -1)
    expected[..., ::out_step] = x[..., 1 : 1 + (n - 1) * x_step + 1 : x_step]
    np.testing.assert_array_equal(out, expected)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_windows(kernels, data):
    sides = st.tuples(st.integers(1, 4), st.integers(1, 4))
    size, stride = data.draw(sides), data.draw(sides)
    padding = tuple(
        (data.draw(st.integers(0, k - 1)), data.draw(st.integers(0, k - 1))) for k in size
    )
    h, w = (data.draw(st.integers(k, k + 6)) for k in size)
    c = data.draw(st.integers(1, 20))
    x = np.random.default_rng(h + 9 * w).normal(size=(h, w, c)).astype(np.float32) - 3
    options = {"size": size, "stride": stride, "padding": padding}
    ceil_mode, counts_padding = data.draw(st.booleans()), data.draw(st.booleans())
    border = tuple(before for before, _ in padding)
    layer = layers.MaxPool("p", (), **options, ceil_mode=ceil_mode)
    expected = layer.forward([x[None]])[0]
    out = np.full((len(expected), expected.shape[1] + 3, c), np.nan, np.float32)
    place = {"left": 2, "columns": expected.shape[1]}
    kernels.bind_max_pool_any(x, size, stride, border, out, **place)()
    np.testing.assert_array_equal(out[:, 2:-1], expected)
    layer = layers.AveragePool(
        "p", (), **options, ceil_mode=ceil_mode, count_padding=counts_padding
    )
    counts = layer.window_counts(x.shape)
    kernels.bind_average_pool(x, size, stride, border, counts, out, 2)()
    expected = layer.forward([x[None].astype(np.float64)])[0]
    np.testing.assert_allclose(out[:, 2:-1], expected, rtol=2e-6)
    assert np.isnan(out[:, [0, 1, -1]]).all()


def test_layer_norm_of_constant_channels(kernels):
    x = np.full((1, 2, 33), 7.25, np.float32)
    out = np.empty_like(x)
    shift = np.arange(33, dtype=np.float32)
    kernels.bind_layer_norm(x, np.ones(33, np.float32), shift, 1e-6, out)()
    np.testing.assert_array_equal(out, np.broadcast_to(shift, x.shape))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_patches_of_any_windows(kernels, data):
    sides = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, stride, dilation = data.draw(sides), data.draw(sides), data.draw(sides)
    spans = [d * (k - 1) + 1 for k, d in zip(size, dilation)]
    h, w = (span + data.draw(st.integers(0, 5)) for span in spans)
    oh, ow = ((n - span) // s + 1 for n, span, s in zip((h, w), spans, stride))
    c = data.draw(st.integers(1, 4))
    left = data.draw(st.integers(0, c - 1))
    x = np.random.default_rng(0).normal(size=(h, w, c)).astype(np.float32)
    out = np.full((oh, ow, size[0], size[1] * (c - left)), np.nan, np.float32)
    kernels.bind_patches(x, (size, stride, dilation), 0, oh, left, c - left, out)()
    for y, u in np.ndindex(oh, ow):
        top, before = y * stride[0], u * stride[1]
        rows = slice(top, top + spans[0], dilation[0])
        columns = slice(before, before + spans[1], dilation[1])
        window = x[rows, columns, left:]
        np.testing.assert_array_equal(out[y, u].ravel(), window.ravel())
