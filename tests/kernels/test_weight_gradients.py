"""Gradients of convolutions and products for them, against NumPy in float64."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles.kernel_values import (
    EPSILON,
    assert_close,
    channel_counts,
    f32,
    inside,
    is_same_around,
    matrices,
    needs_kernels,
    normal,
    places_of_tiles,
    run,
    seeds,
    windows_of,
)

from sklearn_decaf._kernels.places import WINOGRAD_SIZES, TileRows, tiles_apart
from sklearn_decaf.networks.layers import Conv

sides = st.tuples(st.integers(1, 20), st.integers(1, 20))
few = st.tuples(st.integers(1, 3), st.integers(1, 3))
widths = st.one_of(st.integers(1, 80), st.sampled_from([96, 200]))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    groups=st.one_of(st.none(), st.integers(1, 3)),
    rows=st.one_of(
        st.tuples(st.integers(1, 500)),
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
        st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 12)),
    ),
    channels=widths,
    filters=widths,
    accumulate=st.booleans(),
    seed=seeds,
)
def test_transposed_product(kernels, groups, rows, channels, filters, accumulate, seed):
    rng = np.random.default_rng(seed)
    stack = () if groups is None else (groups,)
    left, right = inside(rng, *stack, *rows, channels), inside(rng, *stack, *rows, filters)
    out = inside(rng, *stack, channels, filters)
    before, whole = out.astype(np.float64), out.base.copy()
    run(kernels, "transposed_product", left, right, out, accumulate)
    n = groups or 1
    a = left.reshape(n, -1, channels).astype(np.float64)
    b = right.reshape(n, -1, filters).astype(np.float64)
    expected = (a.transpose(0, 2, 1) @ b).reshape(out.shape)
    magnitude = (abs(a).transpose(0, 2, 1) @ abs(b)).reshape(out.shape)
    if accumulate:
        expected, magnitude = expected + before, magnitude + abs(before)
    depth = np.prod(rows)
    assert_close(out, expected, (depth + 2) * EPSILON * magnitude)
    assert is_same_around(out, whole)

    # parts of the result have the same bits
    first, last = sorted(rng.integers(0, channels + 1, 2))
    start, end = sorted(rng.integers(0, filters + 1, 2))
    if first < last and start < end:
        part = before[..., first:last, start:end].astype(np.float32)
        arguments = left[..., first:last], right[..., start:end], part
        run(kernels, "transposed_product", *arguments, accumulate)
        np.testing.assert_array_equal(part, out[..., first:last, start:end])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 2),
    size=st.tuples(st.integers(1, 11), st.integers(1, 5)),
    counts=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    strides=few,
    dilation=few,
    channels=st.integers(1, 20),
    filters=st.integers(1, 40),
    accumulate=st.booleans(),
    view=st.booleans(),
    seed=seeds,
)
def test_kernel_gradient(
    kernels, n, size, counts, strides, dilation, channels, filters, accumulate, view, seed
):
    rng = np.random.default_rng(seed)
    shape = [
        (count - 1) * s + d * (k - 1) + 1 for count, s, d, k in zip(counts, strides, dilation, size)
    ]
    x = inside(rng, n, *shape, channels) if view else normal(rng, n, *shape, channels)
    gradient = normal(rng, n, *counts, filters)
    out = normal(rng, *size, channels, filters)
    conv = Conv("conv", filters=filters, kernel_size=size, stride=strides, dilation=dilation)
    zeros, none = np.zeros(out.shape), np.zeros(filters)
    wide = [x.astype(np.float64), gradient.astype(np.float64)]
    _, (expected, _) = conv.backward(wide[:1], [zeros, none], np.zeros(0), wide[1])
    _, (magnitude, _) = conv.backward([abs(wide[0])], [zeros, none], np.zeros(0), abs(wide[1]))
    if accumulate:
        expected, magnitude = expected + out, magnitude + abs(out)
    windows = size, strides, dilation
    for task in kernels.bind_kernel_gradient(x, windows, gradient, out, accumulate):
        for call in task:
            call()
    assert_close(out, expected, (n * np.prod(counts) + 2) * EPSILON * magnitude)


DEPTHWISE = st.one_of(
    st.sampled_from([((k, k), (s, s), (1, 1)) for k in (3, 5, 7) for s in (1, 2)]),
    st.tuples(few, few, few),
)


def depthwise_gradients(windows, x, kernel, gradient, pads):
    """By input and by kernel, float64, of a depthwise convolution without a bias."""
    size, strides, dilation = windows
    channels = x.shape[-1]
    conv = Conv(
        "conv", filters=channels, kernel_size=size, stride=strides, dilation=dilation,
        groups=channels, padding=pads,
    )  # fmt: skip
    parameters = [kernel[:, :, np.newaxis].astype(np.float64), np.zeros(channels)]
    wide = [array[np.newaxis].astype(np.float64) for array in (x, gradient)]
    (by_x,), (by_kernel, _) = conv.backward(wide[:1], parameters, np.zeros(0), wide[1])
    return by_x[0], by_kernel[:, :, 0]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    windows=DEPTHWISE,
    counts=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=channel_counts,
    accumulate=st.booleans(),
    seed=seeds,
)
def test_depthwise_kernel_gradient(kernels, windows, counts, channels, accumulate, seed):
    rng = np.random.default_rng(seed)
    shape = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(counts, *windows)]
    x, gradient = inside(rng, *shape, channels), inside(rng, *counts, channels)
    out = inside(rng, *windows[0], channels)
    before, whole = out.astype(np.float64), out.base.copy()
    none = ((0, 0), (0, 0))
    kernel = np.zeros(out.shape)
    _, expected = depthwise_gradients(windows, x, kernel, gradient, none)
    _, magnitude = depthwise_gradients(windows, abs(x), kernel, abs(gradient), none)
    if accumulate:
        expected, magnitude = expected + before, magnitude + abs(before)
    run(kernels, "depthwise_kernel_gradient", x, windows, gradient, out, accumulate)
    assert_close(out, expected, (np.prod(counts) + 2) * EPSILON * magnitude)
    assert is_same_around(out, whole)


@needs_kernels
def test_depthwise_kernel_gradient_of_a_large_map(kernels):
    """In bands of rows."""
    rng = np.random.default_rng(0)
    windows = (3, 3), (1, 1), (1, 1)
    x, gradient, out = normal(rng, 72, 62, 40), normal(rng, 70, 60, 40), f32(3, 3, 40)
    _, expected = depthwise_gradients(windows, x, out, gradient, ((0, 0), (0, 0)))
    run(kernels, "depthwise_kernel_gradient", x, windows, gradient, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-3)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    windows=DEPTHWISE,
    shape=sides,
    border=st.tuples(*[st.integers(0, 3)] * 4),
    channels=channel_counts,
    seed=seeds,
)
def test_depthwise_input_gradient(kernels, windows, shape, border, channels, seed):
    rng = np.random.default_rng(seed)
    pads = border[:2], border[2:]
    counts = [
        (n + sum(pad) - d * (k - 1) - 1) // s + 1 for n, pad, k, s, d in zip(shape, pads, *windows)
    ]
    assume(min(counts) >= 1)
    size, strides, dilation = windows
    gradient, kernel = inside(rng, *counts, channels), inside(rng, *size, channels)
    out = inside(rng, *shape, channels)
    whole = out.base.copy()
    x = np.zeros((*shape, channels))
    expected, _ = depthwise_gradients(windows, x, kernel, gradient, pads)
    magnitude, _ = depthwise_gradients(windows, x, abs(kernel), abs(gradient), pads)
    corner = pads[0][0], pads[1][0]
    arguments = gradient, kernel, strides, dilation, corner, out
    run(kernels, "depthwise_input_gradient", *arguments)
    assert_close(out, expected, (np.prod(size) + 2) * EPSILON * magnitude)
    assert is_same_around(out, whole)


winograd_sizes = st.sampled_from(WINOGRAD_SIZES)
extra = st.integers(0, 13)  # pixels of a map beyond one tile


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(winograd_sizes, st.tuples(extra, extra), channel_counts, st.integers(0, 3), seeds)
def test_winograd_output_gradient(kernels, sizes_, beyond, filters, start, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n = m + r - 1
    h, w = (m + more for more in beyond)
    gradient = inside(rng, h, w, filters)
    across, down = -(-w // m), -(-h // m)
    transform = matrices(m, r)[0].T  # (n, m)
    seen = np.zeros((h, w), bool)
    taken = np.zeros((down * across, m, m, filters))
    for t, (y, u) in enumerate(places_of_tiles((h, w), m)):
        new = ~seen[y : y + m, u : u + m]
        taken[t][new] = gradient[y : y + m, u : u + m][new]
        seen[y : y + m, u : u + m] = True
    assert seen.all()
    expected = np.einsum("iy,tyuc,ju->ijtc", transform, taken, transform)
    magnitude = np.einsum("iy,tyuc,ju->ijtc", abs(transform), abs(taken), abs(transform))
    tiles = np.full((n * n, start + down * across + 1, filters), 99, np.float32)
    cut = int(rng.integers(0, down + 1))
    for first, end in ((0, cut), (cut, down)):
        if first < end:
            tile_rows = TileRows(m, r, (h, w), first, end - first, start + first * across)
            run(kernels, "winograd_output_gradient", tile_rows, gradient, tiles)
    values = tiles[:, start : start + down * across].reshape(expected.shape)
    assert_close(values, expected, 2 * n * EPSILON * magnitude)
    assert (tiles[:, :start] == 99).all()
    assert (tiles[:, -1] == 99).all()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(winograd_sizes, st.integers(1, 5), channel_counts, st.booleans(), seeds)
def test_winograd_kernels(kernels, sizes_, channels, filters, accumulate, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n, transform = m + r - 1, matrices(m, r)[1]  # (n, r)
    kernel = inside(rng, r, r, channels, filters)
    points = f32(n * n, channels, filters)
    run(kernels, "winograd_kernel", kernel, m, r, points)
    expected = np.einsum("iy,yucf,ju->ijcf", transform, kernel, transform, dtype=np.float64)
    size = np.einsum("iy,yucf,ju->ijcf", abs(transform), abs(kernel), abs(transform))
    assert_close(points.reshape(expected.shape), expected, 2 * r * EPSILON * size + 1e-44)

    products = inside(rng, n * n, channels, filters)
    square = products.reshape(n, n, channels, filters)
    expected = np.einsum("iy,ijcf,ju->yucf", transform, square, transform, dtype=np.float64)
    size = np.einsum("iy,ijcf,ju->yucf", abs(transform), abs(square), abs(transform))
    if accumulate:
        expected, size = expected + kernel, size + abs(kernel)
    run(kernels, "winograd_kernel_gradient", products, m, r, kernel, accumulate)
    assert_close(kernel, expected, 2 * n * EPSILON * size + 1e-44)


@needs_kernels
@pytest.mark.parametrize(("m", "r"), WINOGRAD_SIZES)
@pytest.mark.parametrize("beyond", [(0, 0), (3, 6), (9, 10)])
def test_winograd_gradient_is_that_of_the_convolution(kernels, m, r, beyond):
    rng = np.random.default_rng(0)
    (h, w), n, channels, filters = (m + beyond[0], m + beyond[1]), m + r - 1, 6, 20
    x, gradient = normal(rng, h + r - 1, w + r - 1, channels), normal(rng, h, w, filters)
    count = -(-h // m) * -(-w // m)
    tile_rows = TileRows(m, r, (h, w), 0, -(-h // m))
    inputs, outputs = f32(n * n, count, channels), f32(n * n, count, filters)
    run(kernels, "winograd_input", tile_rows, x, 0, inputs)
    run(kernels, "winograd_output_gradient", tile_rows, gradient, outputs)
    products, found = f32(n * n, channels, filters), f32(r, r, channels, filters)
    run(kernels, "transposed_product", inputs, outputs, products)
    run(kernels, "winograd_kernel_gradient", products, m, r, found)
    windows = windows_of(x.astype(np.float64), r, r, 1, h, w)  # (h, w, r, r, c)
    expected = np.einsum("yuijc,yuf->ijcf", windows, gradient)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < (2e-5 if r == 5 else 6e-6)


@given(st.integers(1, 2000), st.sampled_from([1, 3, 16, 24, 32, 64, 96, 128, 256, 512, 1000]))
def test_tiles_are_apart(n_tiles, channels):
    room = tiles_apart(n_tiles, channels)
    assert n_tiles <= room <= n_tiles + 2
    if 4 * channels % 2048:  # else no number of tiles helps
        assert 4 * room * channels % 2048


WRONG = {
    "transposed_product": [
        (f32(5, 3), f32(6, 4), f32(3, 4)),
        (f32(5, 3), f32(5, 4), f32(3, 5)),
        (f32(5, 3), f32(5, 4), f32(4, 4)),
        (f32(0, 3), f32(0, 4), f32(3, 4)),
        (f32(2, 5, 3), f32(2, 5, 4), f32(3, 3, 4)),
        (f32(2, 2, 2, 5, 3), f32(2, 2, 2, 5, 4), f32(3, 4)),
        (f32(3), f32(4), f32(3, 4)),
    ],
    "kernel_gradient": [
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(4, 3, 4), f32(3, 3, 2, 4)),
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 4, 4), f32(3, 3, 2, 4)),
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 3, 4), f32(3, 2, 2, 4)),
        (f32(5, 5, 2), ((3, 3), (0, 1), (1, 1)), f32(3, 3, 4), f32(3, 3, 2, 4)),
        (f32(2, 5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 3, 4), f32(3, 3, 2, 4)),
    ],
    "depthwise_kernel_gradient": [
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(4, 3, 2), f32(3, 3, 2)),
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 4, 2), f32(3, 3, 2)),
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 3, 3), f32(3, 3, 2)),
        (f32(5, 5, 2), ((3, 3), (1, 1), (1, 1)), f32(3, 3, 2), f32(3, 3, 3)),
        (f32(5, 5, 2), ((3, 3), (1, 0), (1, 1)), f32(3, 3, 2), f32(3, 3, 2)),
    ],
    "depthwise_input_gradient": [
        (f32(3, 3, 2), f32(3, 3, 3), (1, 1), (1, 1), (0, 0), f32(5, 5, 2)),
        (f32(3, 3, 2), f32(3, 3, 2), (1, 1), (1, 1), (0, 0), f32(5, 5, 3)),
        (f32(3, 3, 2), f32(3, 3, 2), (0, 1), (1, 1), (0, 0), f32(5, 5, 2)),
        (f32(3, 3, 2), f32(3, 3, 2), (1, 1), (1, 1), (0, -1), f32(5, 5, 2)),
    ],
    "winograd_output_gradient": [
        (TileRows(4, 3, (4, 9), 0, 1), f32(4, 9, 5), f32(36, 2, 5)),
        (TileRows(4, 3, (4, 9), 0, 1), f32(4, 8, 5), f32(36, 3, 5)),
        (TileRows(4, 3, (4, 9), 0, 2), f32(4, 9, 5), f32(36, 6, 5)),
        (TileRows(4, 3, (4, 9), 0, 1), f32(4, 9, 5), f32(36, 3, 4)),
    ],
    "winograd_kernel_gradient": [
        (f32(35, 2, 5), 4, 3, f32(3, 3, 2, 5)),
        (f32(25, 2, 5), 3, 3, f32(3, 3, 2, 5)),
        (f32(36, 2, 5), 4, 3, f32(3, 3, 2, 4)),
    ],
    "winograd_kernel": [
        (f32(3, 3, 2, 5), 4, 3, f32(36, 2, 4)),
        (f32(5, 5, 2, 5), 4, 3, f32(36, 2, 5)),
    ],
}


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, each) for name, every in WRONG.items() for each in every]
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    with pytest.raises(ValueError, match="the shapes do not belong together"):
        getattr(kernels, f"bind_{name}")(*arguments)


@needs_kernels
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", ["float64", "int32", "strided", "read-only"])
def test_arrays_that_are_not_supported(kernels, place, kind):
    arguments = [f32(5, 3), f32(5, 4), f32(3, 4)]
    if kind == "strided":
        arguments[place] = np.repeat(arguments[place], 2, axis=1)[:, ::2]
    elif kind == "read-only":
        arguments[place].flags.writeable = False
    else:
        arguments[place] = arguments[place].astype(kind)
    if kind == "read-only" and place < 2:
        run(kernels, "transposed_product", *arguments)
        return
    with pytest.raises(TypeError, match=rf"^transposed_product: argument {place + 1} must be an"):
        kernels.bind_transposed_product(*arguments)


@needs_kernels
def test_calls_keep_their_arrays(kernels):
    left, right, out = f32(40, 30) + 1, f32(40, 50) + 2, f32(30, 50)
    call = kernels.bind_transposed_product(left[::2], right[::2], out)
    kept = weakref.ref(left)
    del left, right
    gc.collect()
    call()
    assert (out == 40).all()
    assert kept() is not None
    del call
    gc.collect()
    assert kept() is None
