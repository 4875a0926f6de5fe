"""Depthwise convolutions, poolings, normalisation and patches against float64 references."""

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
    needs_kernels,
    normal,
    odd_values,
    run,
    seeds,
    windows_of,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    kernel=st.one_of(
        st.sampled_from([(3, 3), (5, 5), (7, 7)]), st.tuples(st.integers(1, 7), st.integers(1, 7))
    ),
    stride=st.sampled_from([1, 1, 2, 2, 3]),
    out=st.tuples(st.integers(1, 9), st.integers(1, 13)),
    spare=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    channels=channel_counts,
    bound=bounds,
    seed=seeds,
    odd=odd_values,
    name=st.sampled_from(["depthwise", "depthwise_double"]),
)
def test_depthwise(kernels, kernel, stride, out, spare, channels, bound, seed, odd, name):
    rng = np.random.default_rng(seed)
    shape = [(o - 1) * stride + k + s for o, k, s in zip(out, kernel, spare)]
    x = normal(rng, *shape, channels, odd=[value for value in odd if abs(value) != 3e38])
    taps, bias = normal(rng, *kernel, channels), normal(rng, channels)
    windows = windows_of(x.astype(np.float64), *kernel, stride, *out)
    with np.errstate(invalid="ignore"):
        products = windows * taps
        expected = np.clip(products.sum(axis=(2, 3)) + bias, *bound)
        magnitude = np.abs(products).sum(axis=(2, 3)) + np.abs(bias)
        rounded = 1 if name == "depthwise_double" else kernel[0] * kernel[1] + 1
        tolerance = rounded * EPSILON * magnitude
    result = np.full((*out, channels), 99, np.float32)
    run(kernels, name, x, taps, bias, stride, *bound, result)
    assert_close(result, expected, tolerance)


@needs_kernels
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("channels", [37, 300])  # one part of the channels, and several
def test_depthwise_gives_the_same_bits_whatever_the_width(kernels, size, stride, channels):
    """Kernels for one, four and seven outputs at a time add up alike."""
    rng = np.random.default_rng(0)
    x, taps = normal(rng, size, 20 * stride + size, channels), normal(rng, size, size, channels)
    bias, wide = normal(rng, channels), np.empty((1, 21, channels), np.float32)
    run(kernels, "depthwise", x, taps, bias, stride, 0, 6, wide)
    for columns in (1, 2, 3, 4, 5, 7, 8, 11, 14):
        out = np.empty((1, columns, channels), np.float32)
        part = np.ascontiguousarray(x[:, : (columns - 1) * stride + size])
        run(kernels, "depthwise", part, taps, bias, stride, 0, 6, out)
        np.testing.assert_array_equal(out, wide[:, :columns])


@needs_kernels
def test_depthwise_double_rounds_once(kernels):
    # the large terms cancel: in float32 nothing would be left of the small one
    x = np.zeros((3, 6, 8), np.float32)
    x[0], x[1, 1:5], x[2] = 1e6, 1e-3, -1e6
    for stride, columns in ((1, 4), (2, 2), (3, 2)):
        out = np.empty((1, columns, 8), np.float32)
        taps = np.ones((3, 3, 8), np.float32)
        run(
            kernels,
            "depthwise_double",
            x,
            taps,
            np.zeros(8, np.float32),
            stride,
            -np.inf,
            np.inf,
            out,
        )
        taken = [
            x[1, v * stride : v * stride + 3, 0].astype(np.float64).sum() for v in range(columns)
        ]
        np.testing.assert_allclose(out[0, :, 0], taken, rtol=2e-7)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.sampled_from([1, 2, 3, 3, 3, 4, 5, 7]),
    stride=st.integers(1, 4),
    ceil=st.booleans(),
    channels=channel_counts,
    beside=st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    seed=seeds,
    odd=odd_values,
)
def test_max_pool(kernels, shape, size, stride, ceil, channels, beside, seed, odd):
    rng = np.random.default_rng(seed)
    x = normal(rng, *shape, channels, odd=odd * 5)
    if ceil:  # every window that starts inside, clipped to the map
        out = [-(-side // stride) for side in shape]
    else:
        out = [max(side - size, 0) // stride + 1 for side in shape]
    expected = np.empty((*out, channels), np.float32)
    for y in range(out[0]):
        for u in range(out[1]):
            top, left = y * stride, u * stride
            expected[y, u] = x[top : top + size, left : left + size].max(axis=(0, 1))
    left, right = beside or (0, 0)
    expected = np.pad(expected, ((0, 0), (left, right), (0, 0)), constant_values=99)
    result = np.full_like(expected, 99)
    place = {} if beside is None else {"left": left, "columns": out[1]}
    run(kernels, "max_pool", x, size, stride, result, **place)
    np.testing.assert_array_equal(result, expected)


@needs_kernels
@pytest.mark.parametrize("size", [2, 3])
def test_max_pool_keeps_nan_at_every_place_of_the_window(kernels, size):
    for i in range(size):
        for j in range(size):
            x = np.ones((size, size, 33), np.float32)
            x[i, j, ::2] = np.nan
            out = np.empty((1, 1, 33), np.float32)
            run(kernels, "max_pool", x, size, 2, out)
            np.testing.assert_array_equal(np.isnan(out[0, 0]), np.arange(33) % 2 == 0)


@needs_kernels
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_max_pool_is_a_rank_filter(kernels, size):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = normal(np.random.default_rng(0), 17, 12, 19)
    out = np.empty_like(x)
    run(kernels, "max_pool", x, size, 1, out)
    filtered = ndimage.maximum_filter(
        x, size=(size, size, 1), mode="nearest", origin=(-((size - 1) // 2), -((size - 1) // 2), 0)
    )
    if size % 2:  # scipy centres even windows differently
        np.testing.assert_array_equal(out, filtered)
    np.testing.assert_array_equal(
        out[: 18 - size, : 13 - size],
        np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1)).max(axis=(3, 4)),
    )


@pytest.mark.slow
@settings(max_examples=150)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    beside=st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    channels=channel_counts,
    size=st.sampled_from([5, 5, 1, 3, 7, 9]),
    alpha=st.sampled_from([1e-4, 1.0, 0.3]),
    beta=st.sampled_from([0.75, 0.75, 0.5, 1.0, 0.6]),
    k=st.sampled_from([1.0, 2.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-40]), max_size=3),
)
def test_lrn(kernels, shape, beside, channels, size, alpha, beta, k, scale, seed, odd):
    rng = np.random.default_rng(seed)
    x = normal(rng, *shape, channels, odd=odd) * np.float32(scale)
    wide = x.astype(np.float64)
    expected = np.empty_like(wide)
    with np.errstate(invalid="ignore"):
        for ch in range(channels):
            first, last = max(ch - size // 2, 0), min(ch + size // 2, channels - 1)
            total = (wide[..., first : last + 1] ** 2).sum(axis=-1)
            expected[..., ch] = wide[..., ch] / (k + alpha / size * total) ** beta
    left, right = beside or (0, 0)
    out = np.full((shape[0], left + shape[1] + right, channels), 99, np.float32)
    run(kernels, "lrn", x, size, alpha, beta, k, out, **({} if beside is None else {"left": left}))
    within = slice(left, left + shape[1])
    assert (np.delete(out, np.r_[within], axis=1) == 99).all()
    with np.errstate(invalid="ignore"):
        assert_close(out[:, within], expected, 16 * EPSILON * np.abs(expected) + 1e-44)


@needs_kernels
def test_lrn_is_that_of_the_onnx_specification(kernels):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    # as many images as channels: onnx 1.23's evaluator loops over one for the other
    channels = 40
    shape = [channels, channels, 1, 1]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("LRN", ["x"], ["y"], size=5, alpha=1e-4, beta=0.75, bias=2.0)],
        "lrn",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    x = normal(np.random.default_rng(0), channels, channels) * np.float32(100)
    evaluator = ReferenceEvaluator(onnx.helper.make_model(graph))
    (expected,) = evaluator.run(None, {"x": x.reshape(shape)})
    out = np.empty((1, *x.shape), np.float32)
    run(kernels, "lrn", x[np.newaxis], 5, 1e-4, 0.75, 2.0, out)
    np.testing.assert_allclose(out[0], expected.reshape(x.shape), rtol=2e-6)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 6),
    stride=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7)),
    spare=st.tuples(*[st.integers(0, 3)] * 3),
    channels=st.integers(1, 20),
    part=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=seeds,
    odd=odd_values,
)
def test_patches(kernels, size, stride, shape, spare, channels, part, seed, odd):
    rng = np.random.default_rng(seed)
    (rows, columns), (first, below, right) = shape, spare
    before, after = part
    hp, wp = (first + rows - 1) * stride + size + below, (columns - 1) * stride + size + right
    x = normal(rng, hp, wp, before + channels + after, odd=odd)
    windows = windows_of(x, size, size, stride, first + rows, columns)[first:]
    expected = windows[..., before : before + channels].reshape(
        rows, columns, size, size * channels
    )
    out = np.full((rows + 1, columns, size, size * channels), 99, np.float32)
    windows = ((size, size), (stride, stride), (1, 1))
    run(kernels, "patches", x, windows, first, rows, before, channels, out)
    np.testing.assert_array_equal(out[:rows], expected)
    assert (out[rows] == 99).all()


@needs_kernels
def test_binding_computes_nothing_and_a_call_may_run_again(kernels):
    """A call reads its arrays when it runs: not as they were before."""
    rng = np.random.default_rng(0)
    x, taps, out = normal(rng, 5, 9, 6), normal(rng, 3, 3, 6), np.full((3, 7, 6), 99, np.float32)
    bias = normal(rng, 6)
    call = kernels.bind_depthwise(x, taps, bias, 1, -np.inf, np.inf, out)
    assert (out == 99).all()
    for array in (x, x, taps, bias):
        windows = windows_of(x, 3, 3, 1, 3, 7)
        expected = (windows * taps).sum(axis=(2, 3)) + bias
        assert call() is None
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
        array[...] = normal(rng, *array.shape)
