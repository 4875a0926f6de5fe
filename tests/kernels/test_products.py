"""Matrix products of packed matrices against NumPy in float64."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.kernel_values import (
    EPSILON,
    assert_close,
    bounds,
    multiply,
    needs_kernels,
    normal,
    seeds,
)

from sklearn_decaf._kernels.places import Place, Rows
from sklearn_decaf._kernels.tiles import TILES


def rows_of(x, start, row_step, column_step, depth, groups, rows, columns):
    """The left matrices of a product, (groups, rows, columns, depth)."""
    g, y, u, k = np.ogrid[:groups, :rows, :columns, :depth]
    return x.reshape(-1)[start + (g * rows + y) * row_step + u * column_step + k]


def width_of(packed):
    first, panels = packed[-1]
    return first + panels.shape[1] * panels.shape[3] * panels.shape[4]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    groups=st.integers(1, 3),
    depth=st.one_of(st.integers(1, 20), st.sampled_from([64, 147])),
    width=st.one_of(st.integers(1, 80), st.sampled_from([96, 128, 200])),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 40)),
    start=st.integers(0, 9),
    steps=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    spare=st.tuples(*[st.integers(0, 3)] * 6),
    then=st.sampled_from(["nothing", "bias", "residual"]),
    bound=bounds,
    dtype=st.sampled_from([np.float32, np.float32, np.float64]),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40]), max_size=3),
)
def test_matmul(
    kernels, groups, depth, width, shape, start, steps, spare, then, bound, dtype, seed, odd
):
    rng = np.random.default_rng(seed)
    (rows, columns), (row_step, column_step) = shape, steps
    last = (groups * rows - 1) * row_step + (columns - 1) * column_step
    if dtype == np.float64 and then == "nothing":
        then = "bias"
    x = normal(rng, start + last + depth, odd=odd).astype(dtype)
    matrix = normal(rng, groups, depth, width).astype(dtype)
    packed = kernels.pack_matrix(matrix)
    full = width_of(packed)
    assert full == -(-width // 8) * 8
    filled = np.pad(matrix, ((0, 0), (0, 0), (0, full - width)))
    top, below, left, right, offset, after = spare
    out_shape = (top + groups * rows + below, left + columns + right, offset + full + after)
    bias = None if then == "nothing" else normal(rng, full).astype(dtype)
    residual = normal(rng, *out_shape) if then == "residual" else None
    place = np.s_[top : top + groups * rows, left : left + columns, offset : offset + full]

    lefts = rows_of(x, start, row_step, column_step, depth, groups, rows, columns)
    with np.errstate(invalid="ignore"):
        wide = np.einsum("gyuk,gkn->gyun", lefts.astype(np.float64), filled)
        magnitude = np.einsum("gyuk,gkn->gyun", np.abs(lefts).astype(np.float64), np.abs(filled))
        wide = wide.reshape(groups * rows, columns, full)
        magnitude = magnitude.reshape(wide.shape)
        if bias is not None:
            wide, magnitude = wide + bias, magnitude + np.abs(bias)
        if residual is not None:
            wide = wide + residual[place]
            magnitude = magnitude + np.abs(residual[place])
        if bias is not None:
            wide = np.clip(wide, *bound)

    out = np.full(out_shape, 99, np.float32)
    left_rows = Rows(x, start, row_step, column_step, shape)
    multiply(kernels, left_rows, packed, Place(out, (top, left, offset), residual), bias, bound)
    with np.errstate(invalid="ignore"):
        tolerance = (depth + 2) * np.finfo(dtype).eps * magnitude + depth * 1e-44
        if dtype == np.float64:  # and rounded once
            tolerance += EPSILON / 2 * np.abs(wide)
        assert_close(out[place], wide, tolerance)
    untouched = np.ones(out_shape, bool)
    untouched[place] = False
    assert (out[untouched] == 99).all()

    # any row alone has the same bits
    g, y, u = (int(rng.integers(size)) for size in (groups, rows, columns))
    alone = np.full((1, 1, full), 99, np.float32)
    at = np.s_[top + g * rows + y, left + u, offset : offset + full]
    own = None if residual is None else np.ascontiguousarray(residual[at]).reshape(1, 1, full)
    one_row = Rows(x, start + (g * rows + y) * row_step + u * column_step, 0, 0, (1, 1))
    panels_of_group = [(first, panels[g : g + 1]) for first, panels in packed]
    multiply(kernels, one_row, panels_of_group, Place(alone, residual=own), bias, bound)
    np.testing.assert_array_equal(alone[0, 0], out[at])


@needs_kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("then", ["nothing", "bias", "residual"])
def test_every_tile_gives_the_same_bits(kernels, then, dtype, monkeypatch):
    """Whatever height of a tile is chosen, for rows that it divides and that it does not."""
    if dtype == "float64" and then == "nothing":
        pytest.skip("sums in double precision always get a bias")
    rng = np.random.default_rng(0)
    depth, most = 37, 45
    every = [tile for tile in TILES[kernels.kernel_set] if tile.dtype == dtype]
    tried = set()
    for width in {tile.width for tile in every}:
        x = normal(rng, most * depth).astype(dtype)
        matrix = normal(rng, 1, depth, 2 * width).astype(dtype)
        bias = None if then == "nothing" else normal(rng, 2 * width).astype(dtype)
        residuals = normal(rng, 1, most, 2 * width)
        results = []
        for tile in every:
            if tile.width != width:
                continue
            folder = f"sklearn_decaf._kernels.{kernels.kernel_set}"
            function = getattr(import_module(f"{folder}.{tile.module}"), tile.module)
            only = {np.dtype(dtype): {width: [(tile, function)]}}
            monkeypatch.setattr(kernels, "_matmuls", only)
            packed = kernels.pack_matrix(matrix)
            for columns in (tile.rows, 2 * tile.rows, 2 * tile.rows + 1, most):
                residual = np.ascontiguousarray(residuals[:, :columns])
                out = np.empty((1, columns, 2 * width), np.float32)
                place = Place(out, residual=residual if then == "residual" else None)
                rows = Rows(x, 0, 0, depth, (1, columns))
                multiply(kernels, rows, packed, place, bias, (-1.0, 1e4))
                results.append(out)
            tried.add(tile)
        for out in results:
            np.testing.assert_array_equal(out, results[-1][:, : out.shape[1]])
    assert tried == set(every)


@needs_kernels
def test_packed_panels_begin_at_cache_lines_and_hold_the_matrix(kernels):
    rng = np.random.default_rng(0)
    for columns in (1, 8, 15, 16, 24, 31, 33, 40, 72):
        matrix = normal(rng, 2, 5, columns)
        parts = []
        for first, panels in kernels.pack_matrix(matrix):
            assert panels.ctypes.data % 64 == 0
            assert first == sum(part.shape[-1] for part in parts)
            groups, _, depth, _, _ = panels.shape
            flat = panels.transpose(0, 2, 1, 3, 4).reshape(groups, depth, -1)
            parts.append(flat)
        whole = np.concatenate(parts, axis=-1)
        np.testing.assert_array_equal(whole[..., :columns], matrix)
        assert not whole[..., columns:].any()
        assert whole.shape[-1] == -(-columns // 8) * 8


@needs_kernels
def test_products_of_denormal_numbers(kernels):
    x = np.full((1, 9, 4), 1e-40, np.float32)
    packed = kernels.pack_matrix(np.ones((1, 4, 8), np.float32))
    out = np.empty((1, 9, 8), np.float32)
    multiply(kernels, Rows(x, 0, 0, 4, (1, 9)), packed, Place(out))
    assert (out == np.float32(1e-40) * 4).all()
