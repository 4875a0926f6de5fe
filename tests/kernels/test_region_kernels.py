"""Kernels on regions, parts of larger arrays, against NumPy on the same views."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.kernel_values import EPSILON, bounds, f32, needs_kernels, odd_values, seeds

from sklearn_decaf._kernels._arrays import Region, aligned_zeros

UNTOUCHED = 99

shapes = st.tuples(
    st.integers(1, 5),
    st.integers(1, 7),
    st.one_of(st.integers(1, 40), st.sampled_from([64, 131])),
)


@st.composite
def regions(draw, shape):
    """A view of the given shape inside a larger array, and that array."""
    before = [draw(st.integers(0, 3)) for _ in shape]
    after = [draw(st.integers(0, 3)) for _ in shape]
    steps = [draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 2])), 1]
    full = [b + (n - 1) * s + 1 + a for b, n, s, a in zip(before, shape, steps, after)]
    whole = aligned_zeros(full) if draw(st.booleans()) else np.zeros(full, np.float32)
    whole.fill(UNTOUCHED)
    inside = (slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(before, shape, steps))
    return whole[tuple(inside)], whole


def fill_in(view, seed, odd=()):
    """Random numbers, and odd ones at random places."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(view.shape, dtype=np.float32) * 4
    if odd:
        values.flat[rng.integers(0, values.size, len(odd))] = odd
    view[...] = values
    return values


def assert_rest_untouched(view, whole):
    """Nothing is written but the region."""
    kept = view.copy()
    view[...] = UNTOUCHED
    assert (whole == UNTOUCHED).all()
    view[...] = kept


# Results --------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), shapes, seeds, odd_values)
def test_copy(kernels, data, shape, seed, odd):
    (x, x_whole), (out, out_whole) = (data.draw(regions(shape)) for _ in range(2))
    values = fill_in(x, seed, odd)
    kernels.bind_copy(x, out)()
    np.testing.assert_array_equal(out, values)
    np.testing.assert_array_equal(x, values)
    assert_rest_untouched(out, out_whole)
    assert_rest_untouched(x, x_whole)


@settings(max_examples=150)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 70)),
    st.data(),
    seeds,
)
def test_copy_to_where_a_region_begins_earlier(kernels, shape, data, seed):
    """As a window of rows moves up: by some rows, or columns within the same rows."""
    rows, columns, _ = shape
    array = np.zeros(shape, np.float32)
    before = fill_in(array, seed)
    if data.draw(st.booleans()):
        shift = data.draw(st.integers(0, rows - 1))
        source, target = np.s_[shift:], np.s_[: rows - shift]
    else:
        shift = data.draw(st.integers(0, columns - 1))
        source, target = np.s_[:, shift:], np.s_[:, : columns - shift]
    kernels.bind_copy(array[source], array[target])()
    np.testing.assert_array_equal(array[target], before[source])


@settings(max_examples=100)
@given(
    st.data(),
    shapes,
    st.sampled_from([0, 1.5, -np.inf, np.inf, np.nan, 1e-40, 1e300]),
    st.booleans(),
)
def test_fill(kernels, data, shape, value, one_column):
    rows, columns, channels = shape
    if one_column:
        columns = 1
        view, whole = data.draw(regions((rows, 1, channels)))
    else:
        top, below = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
        whole = np.full((top + rows + below, columns, channels), UNTOUCHED, np.float32)
        view = whole[top : top + rows]
    kernels.bind_fill(view, value)()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(view, np.full((rows, columns, channels), value, np.float32))
    assert_rest_untouched(view, whole)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), shapes, bounds, seeds, odd_values, st.booleans())
def test_clip(kernels, data, shape, bound, seed, odd, in_place):
    x, x_whole = data.draw(regions(shape))
    out, out_whole = (x, x_whole) if in_place else data.draw(regions(shape))
    values = fill_in(x, seed, odd)
    kernels.bind_clip(x, *bound, out)()
    np.testing.assert_array_equal(out, np.clip(values, *bound))
    assert_rest_untouched(out, out_whole)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), shapes, bounds, seeds, odd_values, st.sampled_from(["apart", "a", "b", "twice"]))
def test_add_and_clip(kernels, data, shape, bound, seed, odd, where):
    (a, a_whole), (b, b_whole), (c, c_whole) = (data.draw(regions(shape)) for _ in range(3))
    first = fill_in(a, seed, odd)
    second = first if where == "twice" else fill_in(b, seed + 1, odd[::-1])
    b = a if where == "twice" else b
    out, whole = {"a": (a, a_whole), "b": (b, b_whole)}.get(where, (c, c_whole))
    kernels.bind_add_and_clip(a, b, *bound, out)()
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(out, np.clip(first + second, *bound))
    assert_rest_untouched(out, whole)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), shapes, seeds, st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-40])))
def test_average(kernels, data, shape, seed, odd):
    x, whole = data.draw(regions(shape))
    values = fill_in(x, seed, odd).astype(np.float64)
    out = np.full(shape[2] + 2, UNTOUCHED, np.float32)
    kernels.bind_average(x, out[1:-1])()
    with np.errstate(invalid="ignore"):
        expected = values.mean(axis=(0, 1))
        tolerance = (shape[0] + shape[1] + 1) * EPSILON * np.abs(values).mean(axis=(0, 1)) + 1e-44
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(out[1:-1][~finite], expected[~finite])
        assert (np.abs(out[1:-1] - expected)[finite] <= tolerance[finite]).all()
    assert out[0] == out[-1] == UNTOUCHED
    assert_rest_untouched(x, whole)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data(), shapes, seeds, odd_values)
def test_maximum(kernels, data, shape, seed, odd):
    x, _ = data.draw(regions(shape))
    values = fill_in(x, seed, odd * 3)
    out = np.full(shape[2] + 2, UNTOUCHED, np.float32)
    kernels.bind_maximum(x, out[1:-1])()
    np.testing.assert_array_equal(out[1:-1], values.max(axis=(0, 1)))
    assert out[0] == out[-1] == UNTOUCHED


@needs_kernels
def test_maximum_keeps_nan_at_every_position(kernels):
    for position in np.ndindex(3, 2):
        x, out = np.ones((3, 2, 33), np.float32), np.empty(33, np.float32)
        x[position][::2] = np.nan
        kernels.bind_maximum(x, out)()
        np.testing.assert_array_equal(np.isnan(out), np.arange(33) % 2 == 0)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 45)),
    pixels=st.sampled_from([np.uint8, np.float32]),
    mean_image=st.booleans(),
    flip=st.booleans(),
    rows=st.data(),
    seed=seeds,
    odd=st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 1e-40]), max_size=3),
)
def test_preprocess(kernels, size, pixels, mean_image, flip, rows, seed, odd):
    """Whole images and some of their rows, into a border."""
    (h, w), rng = size, np.random.default_rng(seed)
    image = rng.integers(0, 256, (h, w * 3)).astype(pixels)
    if odd and pixels == np.float32:
        image.flat[rng.integers(0, image.size, len(odd))] = odd
    mean = rng.uniform(90, 140, (h if mean_image else 1, w * 3)).astype(np.float32)
    std = rng.uniform(0.5, 60, w * 3).astype(np.float32)
    left, right, above, below = rng.integers(0, 4, 4)
    whole = np.full((above + h + below, left + w * 3 + right), UNTOUCHED, np.float32)
    out = whole[above : above + h, np.newaxis, left : left + w * 3]
    upright = image[::-1] if flip else image
    expected = (upright.astype(np.float32) - mean) / std
    kernels.bind_preprocess(image, mean, std, flip, out)()
    np.testing.assert_array_equal(out[:, 0], expected)
    assert_rest_untouched(out, whole)

    a = rows.draw(st.integers(0, h - 1))
    b = rows.draw(st.integers(a + 1, h))
    out.fill(UNTOUCHED)
    read = image[h - b : h - a] if flip else image[a:b]
    kernels.bind_preprocess(read, mean[a:b] if mean_image else mean, std, flip, out[a:b])()
    np.testing.assert_array_equal(out[a:b, 0], expected[a:b])
    assert_rest_untouched(out[a:b], whole)


# Regions --------------------------------------------------------------------------------------


@given(st.data(), shapes)
def test_a_region_says_where_a_view_lies(data, shape):
    view, _ = data.draw(regions(shape))
    view[...] = np.arange(view.size).reshape(shape)
    region = Region.of(view)
    y, u, c = np.ogrid[: shape[0], : shape[1], : shape[2]]
    places = region.start + y * region.row + u * region.column + c
    np.testing.assert_array_equal(region.whole[places], view)
    assert np.shares_memory(region.whole, view)


def views():
    """Regions in memory of every kind that NumPy knows, each of shape (3, 4, 5)."""
    shape = 3, 4, 5
    memory = bytearray(4 * 60 + 4)
    yield "its own memory", np.zeros(shape, np.float32)
    yield "a view of a view", np.zeros((9, 9, 9), np.float32)[2:, 1:][1:4, 2:6, 3:8]
    yield "transposed", np.zeros((4, 3, 5), np.float32).transpose(1, 0, 2)
    yield "Fortran's order below", np.zeros(shape[::-1], np.float32, order="F").T
    yield "a part of Fortran's order", np.zeros((7, 6, 5), np.float32, order="F").T[1:4, 1:5, 1:6]
    yield "bytes", np.zeros(4 * 60 + 4, np.uint8)[4:].view(np.float32).reshape(shape)
    yield "float64", np.zeros(31)[1:].view(np.float32).reshape(shape)
    yield "a buffer", np.frombuffer(memory, np.float32, 60, 4).reshape(shape)
    yield (
        "a part of a buffer",
        np.frombuffer(bytearray(4 * 5 * 6 * 7), np.float32).reshape(5, 6, 7)[1:4, 1:5, 2:],
    )
    yield (
        "steps of its own",
        np.lib.stride_tricks.as_strided(np.zeros(200, np.float32), shape, (160, 32, 4)),
    )
    yield "a subclass", np.zeros((3, 20), np.float32).view(np.recarray).reshape(shape)


@needs_kernels
@pytest.mark.parametrize("name", [name for name, _ in views()])
def test_regions_of_any_memory(kernels, name):
    """They are written to and read from, or refused; never is anything else."""
    view = dict(views())[name]
    values = np.arange(60, dtype=np.float32).reshape(view.shape)
    out = np.zeros_like(values)
    try:
        write, read = kernels.bind_copy(values, view), kernels.bind_copy(view, out)
    except ValueError as error:
        assert "region" in str(error)
        return
    write()
    np.testing.assert_array_equal(view, values)
    read()
    np.testing.assert_array_equal(out, values)


def test_a_memory_map_is_a_region(tmp_path):
    path = tmp_path / "numbers.npy"
    np.save(path, np.arange(60, dtype=np.float32).reshape(3, 4, 5))
    view = np.load(path, mmap_mode="r")[1:, :, 2:]
    region = Region.of(view)
    for y, u, c in np.ndindex(view.shape):
        assert region.whole[region.start + y * region.row + u * region.column + c] == view[y, u, c]


WRONG = {
    "float64": np.zeros((3, 4, 5)),
    "float16": np.zeros((3, 4, 5), np.float16),
    "int32": np.zeros((3, 4, 5), np.int32),
    "channels apart": np.zeros((3, 4, 10), np.float32)[..., ::2],
    "channels backwards": np.zeros((3, 4, 5), np.float32)[..., ::-1],
    "rows backwards": np.zeros((3, 4, 5), np.float32)[::-1],
    "columns backwards": np.zeros((3, 4, 5), np.float32)[:, ::-1],
    "Fortran": np.zeros((3, 4, 5), np.float32, order="F"),
    "no whole number from the start": np.zeros(4 * 60 + 1, np.uint8)[1:]
    .view(np.float32)
    .reshape(3, 4, 5),
}


@pytest.mark.parametrize("kind", WRONG)
def test_views_that_are_no_regions(kind):
    with pytest.raises(ValueError, match=r"a region needs .* of shape \(3, 4, 5\)"):
        Region.of(WRONG[kind])


@needs_kernels
@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize(
    "bind",
    [
        lambda k, x: k.bind_copy(x, f32(3, 4, 5)),
        lambda k, x: k.bind_copy(f32(3, 4, 5), x),
        lambda k, x: k.bind_fill(x, 0),
        lambda k, x: k.bind_clip(x, 0, 1, f32(3, 4, 5)),
        lambda k, x: k.bind_clip(f32(3, 4, 5), 0, 1, x),
        lambda k, x: k.bind_add_and_clip(x, f32(3, 4, 5), 0, 1, f32(3, 4, 5)),
        lambda k, x: k.bind_add_and_clip(f32(3, 4, 5), x, 0, 1, f32(3, 4, 5)),
        lambda k, x: k.bind_add_and_clip(f32(3, 4, 5), f32(3, 4, 5), 0, 1, x),
        lambda k, x: k.bind_average(x, f32(5)),
        lambda k, x: k.bind_maximum(x, f32(5)),
    ],
)
def test_views_that_are_no_regions_are_refused(kernels, bind, kind):
    with pytest.raises(ValueError, match="a region needs"):
        bind(kernels, WRONG[kind])


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("copy", (f32(3, 4, 5), f32(3, 4, 6))),
        ("copy", (f32(3, 4, 5), f32(2, 4, 5))),
        ("copy", (f32(3, 4, 5), f32(3, 5, 5))),
        ("copy", (f32(4, 5), f32(4, 5))),
        ("fill", (f32(3, 4, 6)[:, :, :5], 0)),
        ("fill", (f32(3, 8, 5)[:, ::2], 0)),
        ("clip", (f32(3, 4, 5), 0, 1, f32(3, 4, 6))),
        ("clip", (f32(4, 5), 0, 1, f32(4, 5))),
        ("add", (f32(3, 4, 5), f32(3, 4, 5), 0, 1, f32(3, 4, 6))),
        ("add", (f32(3, 4, 5), f32(3, 4, 6), 0, 1, f32(3, 4, 5))),
        ("add", (f32(3, 1, 5), f32(3, 4, 5), 0, 1, f32(3, 4, 5))),
        ("add", (f32(4, 5), f32(4, 5), 0, 1, f32(4, 5))),
        ("average", (f32(3, 4, 5), f32(4))),
        ("average", (f32(3, 4, 5), f32(1, 5))),
        ("average", (f32(0, 4, 5), f32(5))),
        ("maximum", (f32(3, 4, 5), f32(6))),
        ("maximum", (f32(3, 4, 5), f32(5, 1))),
        ("maximum", (f32(0, 4, 5), f32(5))),
        ("maximum", (f32(3, 0, 5), f32(5))),
        ("preprocess", (f32(4, 9), f32(2, 9), f32(9), False, f32(4, 1, 9))),
        ("preprocess", (f32(4, 9), f32(1, 6), f32(9), False, f32(4, 1, 9))),
        ("preprocess", (f32(4, 9), f32(1, 9), f32(3), False, f32(4, 1, 9))),
        ("preprocess", (f32(4, 9), f32(1, 9), f32(9), False, f32(3, 1, 9))),
        ("preprocess", (f32(4, 9), f32(1, 9), f32(9), False, f32(4, 3, 3))),
        ("preprocess", (f32(4, 9), f32(1, 9), f32(9), True, f32(4, 9))),
    ],
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    bind = getattr(kernels, "bind_add_and_clip" if name == "add" else f"bind_{name}")
    with pytest.raises(ValueError, match=rf"^{name}: the shapes do not belong together: "):
        bind(*arguments)


PREPROCESS = {
    "image": np.zeros((4, 9), np.uint8),
    "mean": f32(1, 9),
    "std": f32(9),
    "flip": False,
    "out": f32(4, 1, 9),
}


@needs_kernels
@pytest.mark.parametrize("name", ["image", "mean", "std", "out"])
@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.astype(np.float64),
        lambda array: array.astype(np.int64),
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array[..., ::-1],
    ],
)
def test_pixels_that_are_not_supported(kernels, name, change):
    """Nothing is computed from a copy, or into one."""
    given_ = {**PREPROCESS, name: change(PREPROCESS[name])}
    with pytest.raises((TypeError, ValueError), match=r"preprocess|a region needs"):
        kernels.bind_preprocess(**given_)


@needs_kernels
@pytest.mark.parametrize("name", ["average", "maximum"])
@pytest.mark.parametrize("out", [np.zeros(5), f32(10)[::2], f32(5)[::-1]], ids=str)
def test_results_that_are_not_supported(kernels, name, out):
    with pytest.raises(TypeError, match=name):
        getattr(kernels, f"bind_{name}")(f32(3, 4, 5), out)


@needs_kernels
def test_read_only_regions_are_read(kernels):
    x, out, pooled = f32(3, 4, 5), f32(3, 4, 5), f32(5)
    x.fill(2)
    x.flags.writeable = False
    kernels.bind_copy(x, out)()
    assert (out == 2).all()
    kernels.bind_clip(x, 0, 1, out)()
    assert (out == 1).all()
    kernels.bind_add_and_clip(x, x, 0, 9, out)()
    assert (out == 4).all()
    kernels.bind_average(x, pooled)()
    assert (pooled == 2).all()
    pixels, mean, std = np.full((4, 9), 7, np.uint8), np.ones((1, 9), np.float32), f32(9) + 2
    for array in (pixels, mean, std):
        array.flags.writeable = False
    image = f32(4, 1, 9)
    kernels.bind_preprocess(pixels, mean, std, True, image)()
    assert (image == 3).all()


@pytest.mark.slow
@needs_kernels
def test_a_call_keeps_the_memory_of_its_regions(kernels):
    whole, x = f32(6, 7, 8), f32(3, 4, 5)
    kept = weakref.ref(whole), weakref.ref(x)
    view = whole[1:4, 2:6, 3:]
    call, read = kernels.bind_copy(x, view), kernels.bind_add_and_clip(view, view, 0, 9, view)
    x.fill(3)
    del x, whole
    gc.collect()
    call()
    read()
    assert (view == 6).all()
    del view
    gc.collect()
    assert all(ref() is not None for ref in kept)
    call()
    del call
    gc.collect()
    assert [ref() is None for ref in kept] == [False, True]
    read()
    del read
    gc.collect()
    assert kept[0]() is None
