"""Gradients of activations, pools and normalisation against the layers' own, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.kernel_values import (
    EPSILON,
    assert_close,
    bounds,
    channel_counts,
    f32,
    inside,
    is_same_around,
    needs_kernels,
    normal,
    run,
    seeds,
)

from sklearn_decaf._kernels._layer_gradients import SLOPES_FROM_OUTPUTS
from sklearn_decaf.networks import layers
from sklearn_decaf.training._solvers import SGD, AdamW

sides = st.tuples(st.integers(1, 9), st.integers(1, 9))


def gradients(layer, x, gradient, *parameters):
    """Those of a layer by one map (h, w, c) and by its parameters; the output too. float64."""
    maps = [x[np.newaxis].astype(np.float64)]
    parameters = [parameter.astype(np.float64) for parameter in parameters]
    output = layer.forward(maps, parameters)
    found = layer.backward(maps, parameters, output, gradient[np.newaxis].astype(np.float64))
    return found[0][0][0], found[1], output[0]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sides, channel_counts, bounds, st.booleans(), seeds)
def test_clip_gradient(kernels, shape, channels, bound, accumulate, seed):
    rng = np.random.default_rng(seed)
    gradient, output = inside(rng, *shape, channels), inside(rng, *shape, channels)
    output[...] = np.clip(3 * output, *bound)
    if seed % 2:
        output[0, 0, 0] = np.nan
    sums = normal(rng, channels)
    before, whole = sums.astype(np.float64), gradient.base.copy()
    with np.errstate(invalid="ignore"):
        expected = gradient * ((output > bound[0]) & (output < bound[1]))
    run(kernels, "clip_gradient", gradient, output, bound, sums, accumulate)
    np.testing.assert_array_equal(gradient, expected)
    assert is_same_around(gradient, whole)
    total = expected.sum(axis=(0, 1), dtype=np.float64) + accumulate * before
    magnitude = abs(expected).sum(axis=(0, 1)) + abs(before)
    assert_close(sums, total, sum(shape) * EPSILON * magnitude)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sides, channel_counts, st.booleans(), seeds)
def test_sums_of_channels(kernels, shape, channels, accumulate, seed):
    rng = np.random.default_rng(seed)
    gradient, x = inside(rng, *shape, channels), inside(rng, *shape, channels)
    centre, slope = normal(rng, channels), normal(rng, channels)
    before = normal(rng, channels)
    share = (sum(shape) + 2) * EPSILON

    sums = before.copy()
    run(kernels, "channel_sums", gradient, sums, accumulate)
    expected = gradient.sum(axis=(0, 1), dtype=np.float64) + accumulate * before
    assert_close(sums, expected, share * (abs(gradient).sum(axis=(0, 1)) + abs(before)))

    sums = before.copy()
    run(kernels, "channel_products", gradient, x, centre, sums, accumulate)
    products = gradient * (x.astype(np.float64) - centre)
    expected = products.sum(axis=(0, 1)) + accumulate * before
    magnitude = (abs(gradient) * (abs(x) + abs(centre))).sum(axis=(0, 1)) + abs(before)
    assert_close(sums, expected, share * magnitude)

    sums = before.copy()
    by_x, (by_slope,), _ = gradients(layers.PReLU("prelu"), x, gradient, slope)
    magnitude = abs(gradient * x).sum(axis=(0, 1)) + abs(before)
    whole = gradient.base.copy()
    run(kernels, "prelu_gradient", gradient, x, slope, sums, accumulate)
    assert_close(gradient, by_x, EPSILON * abs(by_x) + 1e-44)
    assert_close(sums, by_slope + accumulate * before, share * magnitude)
    assert is_same_around(gradient, whole)


ACTIVATIONS = {
    "elu": (layers.ELU("a", alpha=0.7), 0.7),
    "gelu": (layers.GELU("a"),),
    "gelu_tanh": (layers.GELU("a", approximate=True),),
    "hard_sigmoid": (layers.HardSigmoid("a", slope=0.2), 0.2),
    "hard_swish": (layers.HardSwish("a"),),
    "leaky_relu": (layers.LeakyReLU("a", slope=-0.2), -0.2),
    "sigmoid": (layers.Sigmoid("a"),),
    "silu": (layers.SiLU("a"),),
    "tanh": (layers.Tanh("a"),),
}


@needs_kernels
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("channels", [5, 16, 120])
def test_activation_gradient(kernels, name, channels):
    rng = np.random.default_rng(0)
    layer, *constants = ACTIVATIONS[name]
    x, gradient = inside(rng, 6, 7, channels), inside(rng, 6, 7, channels)
    x *= 5
    x[0, 0, :4] = 100, -100, 1e-30, -1e30
    whole = gradient.base.copy()
    expected, _, output = gradients(layer, x, gradient)
    values = output.astype(np.float32) if name in SLOPES_FROM_OUTPUTS else x
    magnitude = abs(gradient)
    run(kernels, "activation_gradient", name, gradient, values, *constants)
    assert_close(gradient, expected, 1e-6 * magnitude)
    assert is_same_around(gradient, whole)


@needs_kernels
@pytest.mark.parametrize(
    "name", sorted(set(ACTIVATIONS) - {"hard_sigmoid", "hard_swish", "leaky_relu"})
)
def test_activation_gradient_keeps_nan(kernels, name):
    gradient, values = f32(1, 1, 40) + 1, f32(1, 1, 40)
    values[0, 0, [3, 39]] = np.nan
    run(kernels, "activation_gradient", name, gradient, values, *ACTIVATIONS[name][1:])
    assert np.isnan(gradient[0, 0]).nonzero()[0].tolist() in ([3, 39], [])
    if name != "elu":
        assert np.isnan(gradient).any()


pools = st.tuples(
    sides,  # of the map
    st.tuples(st.integers(1, 4), st.integers(1, 4)),  # of a window
    st.tuples(st.integers(1, 3), st.integers(1, 3)),  # strides
    st.tuples(*[st.integers(0, 3)] * 4),  # border
    st.booleans(),  # ceil mode
)


def pool_of(kind, pool, **options):
    """A layer and the sides of its input, from which at least one window is taken."""
    shape, size, stride, border, ceil_mode = pool
    top, bottom, left, right = (min(b, size[i // 2] - 1) for i, b in enumerate(border))
    shape = max(shape[0], size[0]), max(shape[1], size[1])
    padding = (top, bottom), (left, right)
    return kind("p", size=size, stride=stride, padding=padding, ceil_mode=ceil_mode, **options), (
        shape
    )


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(pools, channel_counts, st.booleans(), st.booleans(), seeds)
def test_max_pool_gradient(kernels, pool, channels, ties, accumulate, seed):
    rng = np.random.default_rng(seed)
    layer, shape = pool_of(layers.MaxPool, pool)
    x, out = inside(rng, *shape, channels), inside(rng, *shape, channels)
    if ties:
        x[...] = np.round(x)
    gradient = normal(rng, *layer.output_shape(x.shape))
    expected, _, output = gradients(layer, x, gradient)
    magnitude, _, _ = gradients(layer, x, abs(gradient))
    if accumulate:
        expected, magnitude = expected + out, magnitude + abs(out)
    whole = out.base.copy()
    (top, _), (left, _) = layer.padding
    arguments = x, output.astype(np.float32), layer.size, layer.stride, (top, left), gradient, out
    run(kernels, "max_pool_gradient", *arguments, accumulate)
    assert_close(out, expected, 20 * EPSILON * magnitude)
    assert is_same_around(out, whole)


@needs_kernels
def test_max_pool_gradient_goes_where_a_nan_came_from(kernels):
    x = np.arange(1, 41, dtype=np.float32).reshape(2, 1, 20)
    x[0, 0, 3] = x[1, 0, 18] = np.nan
    out, gradient = f32(2, 1, 20), f32(1, 1, 20) + 1
    output = x.max(axis=(0, 1), keepdims=True)
    run(kernels, "max_pool_gradient", x, output, (2, 1), (2, 1), (0, 0), gradient, out)
    expected = f32(2, 1, 20)
    expected[1] = 1
    expected[:, 0, 3] = 1, 0
    np.testing.assert_array_equal(out, expected)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(pools, channel_counts, st.booleans(), st.booleans(), seeds)
def test_average_pool_gradient(kernels, pool, channels, count_padding, accumulate, seed):
    rng = np.random.default_rng(seed)
    layer, shape = pool_of(layers.AveragePool, pool, count_padding=count_padding)
    out = inside(rng, *shape, channels)
    gradient = inside(rng, *layer.output_shape(out.shape))
    expected, _, _ = gradients(layer, out, gradient)
    magnitude, _, _ = gradients(layer, out, abs(gradient))
    if accumulate:
        expected, magnitude = expected + out, magnitude + abs(out)
    whole = out.base.copy()
    (top, _), (left, _) = layer.padding
    counts = layer.window_counts(out.shape)
    arguments = layer.size, layer.stride, (top, left), counts, gradient, out
    run(kernels, "average_pool_gradient", *arguments, accumulate)
    assert_close(out, expected, 20 * EPSILON * magnitude)
    assert is_same_around(out, whole)


@needs_kernels
@pytest.mark.parametrize("channels", [1, 4, 96, 37])
@pytest.mark.parametrize(
    "constants",
    [(5, 1e-4, 0.75, 1.0), (5, 2.0, 0.75, 2.0), (3, 1.0, 0.75, 1.0), (5, 0.5, 0.6, 1.0)],
)
def test_lrn_gradient(kernels, channels, constants):
    rng = np.random.default_rng(0)
    x, gradient, out = (inside(rng, 4, 5, channels) for _ in range(3))
    size, alpha, beta, k = constants
    layer = layers.LRN("lrn", size=size, alpha=alpha, beta=beta, k=k)
    expected, _, _ = gradients(layer, x, gradient)
    whole = out.base.copy()
    run(kernels, "lrn_gradient", x, gradient, *constants, out)
    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=2e-6)
    assert is_same_around(out, whole)
    # in place
    run(kernels, "lrn_gradient", x, gradient, *constants, gradient)
    np.testing.assert_array_equal(gradient, out)


@needs_kernels
@pytest.mark.parametrize("channels", [1, 5, 96, 37])
@pytest.mark.parametrize("accumulate", [False, True])
def test_layer_norm_gradient(kernels, channels, accumulate):
    rng = np.random.default_rng(0)
    x, gradient = inside(rng, 4, 5, channels) + 3, inside(rng, 4, 5, channels)
    scale, by_scale, by_shift = (normal(rng, channels) for _ in range(3))
    layer = layers.LayerNorm("norm", epsilon=1e-3)
    by_x, sums, _ = gradients(layer, x, gradient, scale, by_shift)
    expected = [new + accumulate * old for new, old in zip(sums, (by_scale, by_shift))]
    whole = gradient.base.copy()
    arguments = x, scale, 1e-3, gradient, by_scale, by_shift, accumulate
    run(kernels, "layer_norm_gradient", *arguments)
    np.testing.assert_allclose(gradient, by_x, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose([by_scale, by_shift], expected, rtol=1e-5, atol=1e-5)
    assert is_same_around(gradient, whole)


@needs_kernels
@pytest.mark.parametrize("n", [1, 20, 1000])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_step(kernels, n, nesterov):
    rng = np.random.default_rng(0)
    values, velocity = normal(rng, n), f32(n)
    wide = {"w": values.astype(np.float64)}
    solver = SGD(momentum=0.9, nesterov=nesterov)
    for _ in range(4):
        gradient = normal(rng, n)
        run(kernels, "sgd_step", values, velocity, gradient, 0.1, 0.9, nesterov)
        solver.update(wide, {"w": gradient.astype(np.float64)}, 0.1)
    np.testing.assert_allclose(values, wide["w"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(velocity, solver.state["w"]["velocity"], rtol=1e-6, atol=1e-6)


@needs_kernels
@pytest.mark.parametrize("n", [1, 20, 1000])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_step(kernels, n, decay):
    rng = np.random.default_rng(0)
    values, mean, square = normal(rng, n), f32(n), f32(n)
    wide = {"w": values.astype(np.float64)}
    solver = AdamW(weight_decay={"w": decay}, beta_1=0.8, beta_2=0.99, epsilon=1e-4)
    for step in range(1, 5):
        gradient = normal(rng, n)
        arguments = values, mean, square, gradient, step, 0.1, (0.8, 0.99), 1e-4, decay
        run(kernels, "adam_step", *arguments)
        solver.update(wide, {"w": gradient.astype(np.float64)}, 0.1)
    np.testing.assert_allclose(values, wide["w"], rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(mean, solver.state["w"]["mean"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(square, solver.state["w"]["square"], rtol=1e-5, atol=1e-6)


POOL = (2, 2), (2, 2), (0, 0)
WRONG = {
    "clip_gradient": [
        (f32(3, 3, 2), f32(3, 3, 3), (0, 6), f32(2)),
        (f32(3, 3, 2), f32(3, 3, 2), (0, 6), f32(3)),
    ],
    "channel_sums": [(f32(3, 3, 2), f32(3))],
    "channel_products": [
        (f32(3, 3, 2), f32(3, 2, 2), f32(2), f32(2)),
        (f32(3, 3, 2), f32(3, 3, 2), f32(1), f32(2)),
        (f32(3, 3, 2), f32(3, 3, 2), f32(2), f32(3)),
    ],
    "prelu_gradient": [
        (f32(3, 3, 2), f32(3, 3, 1), f32(2), f32(2)),
        (f32(3, 3, 2), f32(3, 3, 2), f32(1), f32(2)),
        (f32(3, 3, 2), f32(3, 3, 2), f32(2), f32(1)),
    ],
    "activation_gradient": [("silu", f32(3, 3, 2), f32(3, 3, 3))],
    "max_pool_gradient": [
        (f32(4, 4, 2), f32(3, 2, 2), *POOL, f32(3, 2, 2), f32(4, 4, 2)),
        (f32(4, 4, 2), f32(2, 2, 2), *POOL, f32(2, 2, 3), f32(4, 4, 2)),
        (f32(4, 4, 2), f32(2, 2, 2), *POOL, f32(2, 2, 2), f32(4, 5, 2)),
        (f32(4, 4, 2), f32(2, 2, 3), *POOL, f32(2, 2, 3), f32(4, 4, 2)),
    ],
    "average_pool_gradient": [
        (*POOL, (f32(2), f32(2)), f32(3, 2, 2), f32(4, 4, 2)),
        (*POOL, (f32(2), f32(1)), f32(2, 2, 2), f32(4, 4, 2)),
        (*POOL, (f32(2), f32(2)), f32(2, 2, 2), f32(4, 4, 3)),
    ],
    "sgd_step": [(f32(5), f32(4), f32(5), 0.1, 0.9), (f32(5), f32(5), f32(4), 0.1, 0.9)],
    "adam_step": [(f32(5), f32(5), f32(4), f32(5), 1, 0.1, (0.9, 0.99), 1e-8)],
    "layer_norm_gradient": [
        (f32(2, 2, 8), f32(8), 1e-5, f32(2, 1, 8), f32(8), f32(8)),
        (f32(2, 2, 8), f32(8), 1e-5, f32(2, 2, 8), f32(7), f32(8)),
        (f32(2, 2, 8), f32(8), 1e-5, f32(2, 2, 8), f32(8), f32(7)),
        (f32(2, 2, 8), f32(7), 1e-5, f32(2, 2, 8), f32(8), f32(8)),
    ],
    "lrn_gradient": [
        (f32(2, 2, 8), f32(2, 2, 7), 5, 1e-4, 0.75, 1.0, f32(2, 2, 8)),
        (f32(2, 2, 8), f32(2, 2, 8), 4, 1e-4, 0.75, 1.0, f32(2, 2, 8)),
        (f32(2, 2, 8), f32(2, 2, 8), 5, 1e-4, 0.75, 1.0, f32(1, 2, 8)),
    ],
}


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name, every in WRONG.items() for each in every]
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    with pytest.raises(ValueError, match="the shapes do not belong together"):
        getattr(kernels, f"bind_{name}")(*arguments)
