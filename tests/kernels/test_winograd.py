"""Winograd's transforms against their definition, and whole convolutions against SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.kernel_values import (
    EPSILON,
    assert_close,
    bounds,
    channel_counts,
    matrices,
    multiply,
    needs_kernels,
    normal,
    places_of_tiles,
    seeds,
)

from sklearn_decaf._kernels._functions import WINOGRAD_SIZES
from sklearn_decaf._kernels.places import Place, Rows, TileRows

winograd_sizes = st.sampled_from(WINOGRAD_SIZES)
extra = st.integers(0, 13)  # pixels of a map beyond one tile


def strips_of(down, rng):
    """Rows of tiles cut anywhere: [(first, rows), ...]"""
    cuts = sorted({0, down, *rng.integers(0, down + 1, rng.integers(0, 3)).tolist()})
    return [(a, b - a) for a, b in itertools.pairwise(cuts)]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(winograd_sizes, st.tuples(extra, extra), channel_counts, st.integers(0, 3), seeds)
def test_winograd_input(kernels, sizes_, beyond, channels, start, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n = m + r - 1
    h, w = (m + more for more in beyond)
    x = normal(rng, h + r - 1, w + r - 1, channels)
    _, _, transform = matrices(m, r)
    places = places_of_tiles((h, w), m)
    across, down = -(-w // m), -(-h // m)
    taken = np.stack([x[y : y + n, u : u + n] for y, u in places]).astype(np.float64)
    expected = np.einsum("iy,tyuc,ju->ijtc", transform, taken, transform)
    magnitude = np.einsum("iy,tyuc,ju->ijtc", abs(transform), abs(taken), abs(transform))
    tiles = np.full((n * n, start + len(places) + 1, channels), 99, np.float32)
    for first, rows in strips_of(down, rng):
        base = int(rng.integers(0, min(first * m, h - m) + 1))
        end = min((first + rows) * m, h) + r - 1
        end = int(rng.integers(end, h + r))
        window = np.ascontiguousarray(x[base:end])
        tile_rows = TileRows(m, r, (h, w), first, rows, start + first * across)
        kernels.bind_winograd_input(tile_rows, window, base, tiles)()
    values = tiles[:, start : start + len(places)].reshape(expected.shape)
    assert_close(values, expected, 2 * n * EPSILON * magnitude)
    assert (tiles[:, :start] == 99).all()
    assert (tiles[:, -1] == 99).all()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    winograd_sizes,
    st.tuples(extra, extra),
    channel_counts,
    st.tuples(*[st.integers(0, 3)] * 6),
    bounds,
    seeds,
)
def test_winograd_output(kernels, sizes_, beyond, filters, spare, bound, seed):
    (m, r), rng = sizes_, np.random.default_rng(seed)
    n = m + r - 1
    h, w = (m + more for more in beyond)
    transform, _, _ = matrices(m, r)
    across, down = -(-w // m), -(-h // m)
    start, top, left, right, offset, after = spare
    products = normal(rng, n * n, start + across * down, filters)
    bias = normal(rng, filters)
    square = products[:, start:].reshape(n, n, -1, filters).astype(np.float64)
    made = np.einsum("yi,ijtc,uj->tyuc", transform, square, transform) + bias
    magnitude = np.einsum("yi,ijtc,uj->tyuc", abs(transform), abs(square), abs(transform))
    expected, tolerance = np.empty((2, h, w, filters))
    for t, (y, u) in enumerate(places_of_tiles((h, w), m)):  # later ones win
        expected[y : y + m, u : u + m] = np.clip(made[t], *bound)
        tolerance[y : y + m, u : u + m] = 2 * n * EPSILON * (magnitude[t] + np.abs(bias))
    shape = (top + h + 1, left + w + right, offset + filters + after)
    out = np.full(shape, 99, np.float32)
    for first, rows in strips_of(down, rng):
        tile_rows = TileRows(m, r, (h, w), first, rows, start + first * across)
        place = Place(out, (top, left, offset))
        kernels.bind_winograd_output(tile_rows, products, bias, place, bound)()
    inside = np.s_[top : top + h, left : left + w, offset : offset + filters]
    assert_close(out[inside], expected, tolerance)
    untouched = np.ones(shape, bool)
    untouched[inside] = False
    assert (out[untouched] == 99).all()

    # with a negative row, the map's first rows are not there
    first = int(rng.integers(0, down))
    away = int(rng.integers(0, min(first * m, h - m) + 1))
    rest = np.full((h - away, w, filters), 99, np.float32)
    tile_rows = TileRows(m, r, (h, w), first, down - first, start + first * across)
    place = Place(rest, (-away, 0, 0))
    kernels.bind_winograd_output(tile_rows, products, bias, place, bound)()
    begin = min(first * m, h - m)
    np.testing.assert_array_equal(rest[begin - away :], out[inside][begin:])


def winograd(kernels, m, r, x, kernel, bias, bound=(-np.inf, np.inf)):
    """A convolution of a padded map (h + r - 1, w + r - 1, c) by F(m, r)."""
    h, w = (side - r + 1 for side in x.shape[:2])
    n, c, filters = m + r - 1, *kernel.shape[2:]
    _, transform, _ = matrices(m, r)
    weights = np.einsum("iy,yucf,ju->ijcf", transform, kernel.astype(np.float64), transform)
    weights = weights.reshape(n * n, c, filters).astype(np.float32)
    down, t = -(-h // m), -(-h // m) * -(-w // m)
    tiles, products = np.empty((n * n, t, c), np.float32), np.empty((n * n, t, filters), np.float32)
    tile_rows = TileRows(m, r, (h, w), 0, down)
    kernels.bind_winograd_input(tile_rows, x, 0, tiles)()
    rows = Rows(tiles, 0, t * c, c, (1, t))
    multiply(kernels, rows, kernels.pack_matrix(weights), Place(products))
    out = np.full((h, w, filters), 99, np.float32)
    kernels.bind_winograd_output(tile_rows, products, bias, Place(out), bound)()
    return out


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(winograd_sizes, st.tuples(extra, extra), st.integers(1, 12), bounds, seeds)
def test_winograd_is_a_correlation(kernels, sizes_, beyond, channels, bound, seed):
    signal = pytest.importorskip("scipy.signal")
    (m, r), rng = sizes_, np.random.default_rng(seed)
    x = normal(rng, *(m + more + r - 1 for more in beyond), channels)
    kernel, bias = normal(rng, r, r, channels, 8), normal(rng, 8)
    wide, taps = x.astype(np.float64), kernel.astype(np.float64)
    expected = np.stack(
        [
            sum(
                signal.correlate2d(wide[..., c], taps[:, :, c, f], "valid") for c in range(channels)
            )
            for f in range(8)
        ],
        axis=-1,
    )
    actual = winograd(kernels, m, r, x, kernel, bias, bound)
    scale = np.abs(x).max() * np.abs(kernel).sum(axis=(0, 1, 2)).max()
    np.testing.assert_allclose(actual, np.clip(expected + bias, *bound), rtol=0, atol=3e-6 * scale)


@needs_kernels
@pytest.mark.parametrize(("m", "r"), WINOGRAD_SIZES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_winograd_keeps_what_is_not_a_number(kernels, m, r, value):
    """Windows with it give NaN or infinity, and it goes no further than its tiles."""
    rng = np.random.default_rng(0)
    h = w = 4 * m
    x, kernel = normal(rng, h + r - 1, w + r - 1, 3), normal(rng, r, r, 3, 8)
    y, u = m + r, 2 * m + r
    x[y, u, 1] = value
    out = winograd(kernels, m, r, x, kernel, np.zeros(8, np.float32))
    wrong = ~np.isfinite(out)
    assert wrong[y - r + 1 : y + 1, u - r + 1 : u + 1].all()
    tiles = wrong.reshape(4, m, 4, m, 8).any(axis=(1, 3, 4))
    reached = [
        (row, column)
        for row in range(4)
        for column in range(4)
        if row * m <= y < (row + 1) * m + r - 1 and column * m <= u < (column + 1) * m + r - 1
    ]
    assert {tuple(place) for place in np.argwhere(tiles).tolist()} == set(reached)
