"""Shapes and arrays that kernels refuse, as they would read or write foreign memory."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.kernel_values import f32, multiply, needs_kernels, normal, run, windows_of

from sklearn_decaf._kernels.places import Place, Rows, TileRows

# F(4, 3) of a map of 4 x 9: 1 x 3 tiles
W32 = ((3, 3), (2, 2), (1, 1))  # windows of 3 x 3, two apart


ONE_ROW = TileRows(4, 3, (4, 9), 0, 1)


@needs_kernels
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(3, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 7, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 6), f32(5), 1, 0, 1, f32(2, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(4), 1, 0, 1, f32(2, 6, 5))),
        ("depthwise", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 0, 0, 1, f32(2, 6, 5))),
        ("depthwise_double", (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 7, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(3, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 5, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 6))),
        ("max_pool", (f32(4, 8, 5), 0, 2, f32(2, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 0, f32(2, 4, 5))),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 5), 1, 4)),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 4, 5), -1, 4)),
        ("max_pool", (f32(4, 8, 5), 3, 2, f32(2, 9, 5), 1)),
        ("lrn", (f32(1, 4, 8), 4, 1.0, 0.75, 1.0, f32(1, 4, 8))),
        ("lrn", (f32(1, 4, 8), -1, 1.0, 0.75, 1.0, f32(1, 4, 8))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 4, 9))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(2, 4, 8))),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 4, 8), 1)),
        ("lrn", (f32(1, 4, 8), 5, 1.0, 0.75, 1.0, f32(1, 5, 8), -1)),
        ("patches", (f32(5, 7, 3), W32, 0, 3, 0, 3, f32(3, 3, 3, 9))),  # rows
        ("patches", (f32(5, 7, 3), W32, 1, 2, 0, 3, f32(2, 3, 3, 9))),
        ("patches", (f32(5, 7, 3), W32, 0, 2, 0, 3, f32(2, 4, 3, 9))),  # columns
        ("patches", (f32(5, 7, 3), W32, 0, 2, 1, 3, f32(2, 3, 3, 9))),  # channels
        ("patches", (f32(5, 7, 3), W32, 0, 2, -1, 2, f32(2, 3, 3, 6))),
        ("patches", (f32(5, 7, 3), W32, 0, 2, 0, 3, f32(1, 3, 3, 9))),  # out
        ("patches", (f32(5, 7, 3), W32, 0, 2, 0, 3, f32(2, 3, 3, 8))),
        ("patches", (f32(5, 7, 3), W32, -1, 2, 0, 3, f32(2, 3, 3, 9))),
        ("winograd_input", (ONE_ROW, f32(6, 11, 5), 0, f32(36, 2, 5))),  # few tiles
        ("winograd_input", (TileRows(4, 3, (4, 9), 0, 1, 1), f32(6, 11, 5), 0, f32(36, 3, 5))),
        ("winograd_input", (TileRows(4, 3, (4, 9), 0, 2), f32(6, 11, 5), 0, f32(36, 6, 5))),
        ("winograd_input", (TileRows(4, 3, (4, 9), 1, 1), f32(6, 11, 5), 0, f32(36, 3, 5))),
        ("winograd_input", (ONE_ROW, f32(6, 11, 5), 1, f32(36, 3, 5))),
        ("winograd_input", (ONE_ROW, f32(6, 11, 5), -1, f32(36, 3, 5))),
        ("winograd_input", (ONE_ROW, f32(5, 11, 5), 0, f32(36, 3, 5))),  # small map
        ("winograd_input", (ONE_ROW, f32(6, 10, 5), 0, f32(36, 3, 5))),
        ("winograd_input", (TileRows(4, 3, (3, 9), 0, 1), f32(6, 11, 5), 0, f32(36, 3, 5))),
        ("winograd_input", (ONE_ROW, f32(6, 11, 5), 0, f32(35, 3, 5))),
        ("winograd_input", (ONE_ROW, f32(6, 11, 5), 0, f32(36, 3, 4))),
        (
            "winograd_input",
            (TileRows(3, 3, (4, 9), 0, 1), f32(6, 11, 5), 0, f32(25, 3, 5)),
        ),  # no F(3, 3)
        ("winograd_output", (ONE_ROW, f32(36, 2, 5), f32(5), Place(f32(4, 9, 5)))),
        ("winograd_output", (ONE_ROW, f32(36, 3, 5), f32(4), Place(f32(4, 9, 5)))),
        ("winograd_output", (ONE_ROW, f32(36, 3, 5), f32(5), Place(f32(3, 9, 5)))),
        ("winograd_output", (ONE_ROW, f32(36, 3, 5), f32(5), Place(f32(4, 8, 5)))),
        ("winograd_output", (ONE_ROW, f32(36, 3, 5), f32(5), Place(f32(4, 9, 4)))),
        *(
            ("winograd_output", (ONE_ROW, f32(36, 3, 5), f32(5), Place(f32(4, 9, 5), at)))
            for at in [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        ),
        (  # it adds no residual
            "winograd_output",
            (ONE_ROW, f32(36, 3, 5), f32(5), Place(f32(4, 9, 5), residual=f32(4, 9, 5))),
        ),
    ],
)
def test_shapes_that_do_not_fit(kernels, name, arguments):
    bind = getattr(kernels, f"bind_{name}")
    with pytest.raises(ValueError, match=rf"^{name}: the shapes do not belong together: "):
        bind(*arguments)


MATMUL = {
    "x": f32(2, 3, 5),
    "start": 0,
    "row_step": 15,
    "column_step": 5,
    "shape": (2, 3),
    "bias": f32(8),
    "out": f32(2, 3, 8),
    "at": (0, 0, 0),
    "residual": None,
}


def bind_matmul(kernels, **changed):
    """The product of two matrices, (6, 5) and (5, 8), with other arguments."""
    given_ = {**MATMUL, **changed}
    rows = Rows(*(given_[name] for name in ("x", "start", "row_step", "column_step", "shape")))
    place = Place(given_["out"], given_["at"], given_["residual"])
    packed = kernels.pack_matrix(f32(1, 5, 8))
    return kernels.bind_matmul(rows, packed, place, given_["bias"], (0.0, 1.0))


@needs_kernels
@pytest.mark.parametrize(
    "changed",
    [
        {"x": f32(29)},
        {"start": 1},
        {"start": -1},
        {"row_step": 16},
        {"row_step": -15},
        {"column_step": 6},
        {"column_step": -5},
        {"bias": f32(7)},
        {"bias": f32(9)},
        {"out": f32(1, 3, 8)},
        {"out": f32(2, 2, 8)},
        {"out": f32(2, 3, 7)},
        {"at": (1, 0, 0)},
        {"at": (0, 1, 0)},
        {"at": (0, 0, 1)},
        {"at": (-1, 0, 0)},
        {"at": (0, -1, 0)},
        {"at": (0, 0, -1)},
        {"shape": (3, 3)},
        {"shape": (2, 4)},
        {"shape": (0, 3)},
        {"shape": (2, 0)},
        {"residual": f32(2, 3, 7)},
        {"residual": f32(2, 4, 8)},
    ],
    ids=str,
)
def test_products_that_do_not_fit(kernels, changed):
    bind_matmul(kernels)
    with pytest.raises(ValueError, match=r"^matmul: the shapes do not belong together: "):
        bind_matmul(kernels, **changed)


def unsupported(shape):
    """Arrays of a shape that no kernel takes, by what is wrong with them."""
    return {
        "float64": np.zeros(shape),
        "float16": np.zeros(shape, np.float16),
        "int32": np.zeros(shape, np.int32),
        "strided": np.zeros((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2],
        "reversed": np.zeros(shape, np.float32)[::-1],
        "Fortran": np.zeros(shape, np.float32, order="F"),
    }


TWO_ROWS = TileRows(4, 3, (8, 9), 0, 2)
CALLS = {
    "depthwise": (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 6, 5)),
    "depthwise_double": (f32(4, 8, 5), f32(3, 3, 5), f32(5), 1, 0, 1, f32(2, 6, 5)),
    "max_pool": (f32(4, 8, 5), 3, 2, f32(2, 4, 5)),
    "patches": (f32(5, 7, 3), W32, 0, 2, 0, 3, f32(2, 3, 3, 9)),
    "lrn": (f32(2, 4, 8), 5, 1.0, 0.75, 1.0, f32(2, 4, 8)),
    "winograd_input": (TWO_ROWS, f32(10, 11, 5), 0, f32(36, 6, 5)),
    "winograd_output": (TWO_ROWS, f32(36, 6, 5), f32(5), Place(f32(8, 9, 5))),
}
KINDS = tuple(unsupported((2, 2)))


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        (name, place)
        for name, arguments in CALLS.items()
        for place, value in enumerate(arguments)
        if isinstance(value, np.ndarray | Place)
    ],
)
def test_arrays_that_are_not_supported(kernels, name, place, kind):
    """They are refused: nothing is computed from a copy, or into one."""
    arguments = list(CALLS[name])
    if isinstance(arguments[place], Place):
        wrong = unsupported(arguments[place].out.shape)[kind]
        arguments[place] = Place(wrong)
    else:
        arguments[place] = wrong = unsupported(arguments[place].shape)[kind]
    if (name, place, kind) == ("patches", 6, "float64"):
        pytest.skip("patches may be float64")
    if (name, kind) == ("depthwise", "reversed"):
        pytest.skip("rows of maps may have any steps")
    if wrong.dtype == np.float32 and wrong.flags.c_contiguous:
        pytest.skip("a vector is as it should be in any order")
    with pytest.raises((TypeError, ValueError), match=name):
        getattr(kernels, f"bind_{name}")(*arguments)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["x", "bias", "out", "residual"])
def test_products_of_arrays_that_are_not_supported(kernels, name, kind):
    whole = {**MATMUL, "residual": f32(2, 3, 8)}
    wrong = unsupported(whole[name].shape)[kind]
    if wrong.dtype == np.float32 and wrong.flags.c_contiguous:
        pytest.skip("a vector is as it should be in any order")
    with pytest.raises((TypeError, ValueError), match="matmul"):
        bind_matmul(kernels, **{**whole, name: wrong})


@needs_kernels
@pytest.mark.parametrize("kind", ["strided", "reversed", "Fortran"])
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_into_arrays_that_are_not_supported(kernels, kind, channels):
    out = unsupported((2, 3, 3, 3 * channels))[kind]
    with pytest.raises(ValueError, match="patches"):
        run(kernels, "patches", f32(5, 7, 3), W32, 0, 2, 0, channels, out)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_of_maps_that_are_not_supported(kernels, kind, channels):
    x = unsupported((5, 7, 3))[kind]
    with pytest.raises((TypeError, ValueError), match="patches"):
        kernels.bind_patches(x, W32, 0, 2, 0, channels, f32(2, 3, 3, 3 * channels))


@needs_kernels
@pytest.mark.parametrize("channels", [2, 3])
def test_patches_in_double_precision(kernels, channels):
    x = normal(np.random.default_rng(0), 5, 7, 3)
    out = np.empty((2, 3, 3, 3 * channels))
    run(kernels, "patches", x, W32, 0, 2, 0, channels, out)
    windows = windows_of(x, 3, 3, 2, 2, 3)[..., :channels]
    np.testing.assert_array_equal(out, windows.reshape(out.shape))


@needs_kernels
def test_read_only_inputs(kernels):
    # weights are memory-mapped read-only
    x, bias, taps, packed = f32(3, 8, 5), f32(5), f32(3, 3, 5), kernels.pack_matrix(f32(1, 5, 8))
    filled = f32(8)
    for array in (x, bias, taps, filled, *(panels for _, panels in packed)):
        array.flags.writeable = False
    run(kernels, "depthwise", x, taps, bias, 1, 0, 6, f32(1, 6, 5))
    run(kernels, "max_pool", x, 3, 2, f32(1, 3, 5))
    run(kernels, "lrn", x, 5, 1e-4, 0.75, 1.0, f32(3, 8, 5))
    run(kernels, "patches", x, W32, 0, 1, 0, 5, f32(1, 3, 3, 15))
    residual = f32(3, 8, 8)
    residual.flags.writeable = False
    out = f32(3, 8, 8)
    multiply(kernels, Rows(x, 0, 40, 5, (3, 8)), packed, Place(out, residual=residual), filled)
