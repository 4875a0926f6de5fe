"""The choice of an algorithm for each convolution."""

from __future__ import annotations

import pytest

from sklearn_decaf import _kernels
from sklearn_decaf._kernels._functions import WINOGRAD_SIZES
from sklearn_decaf.networks.architecture import INPUT
from sklearn_decaf.networks.engine import Limits
from sklearn_decaf.networks.engine.convolutions import choose_algorithm
from sklearn_decaf.networks.layers import Conv

pytestmark = pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="no compiled kernels")


def chosen(in_shape, *, exact=False, reads_image=False, **options):
    conv, settings = Conv("c", (INPUT,), **options), {"exact": exact, "limits": Limits()}
    out_shape = conv.output_shape(in_shape)
    return choose_algorithm(conv, in_shape, out_shape, reads_image=reads_image, **settings)


SAME3 = {"kernel_size": 3, "padding": 1}
FIRST = {"kernel_size": 11, "stride": 4, "reads_image": True}


@pytest.mark.parametrize(
    ("in_shape", "options", "kind"),
    [
        ((20, 20, 16), {"filters": 16, "groups": 16, **SAME3}, "depthwise"),
        ((20, 20, 16), {"filters": 16}, "matrix"),
        ((20, 20, 16), {"filters": 16, "stride": 2}, "matrix"),
        ((20, 20, 16), {"filters": 16, **SAME3}, "winograd"),
        ((20, 20, 32), {"filters": 16, "groups": 2, **SAME3}, "winograd"),
        ((20, 20, 16), {"filters": 16, "kernel_size": 5, "padding": 2}, "winograd"),
        ((20, 20, 16), {"filters": 16, "kernel_size": 7, "padding": 3}, "patches"),  # no F(m, 7)
        ((20, 20, 16), {"filters": 16, "kernel_size": 3, "stride": 2}, "patches"),
        ((20, 20, 16), {"filters": 12, **SAME3}, "patches"),  # 12 is no multiple of 8
        ((20, 20, 32), {"filters": 24, "groups": 2, **SAME3}, "patches"),
        ((20, 20, 4), {"filters": 16, **SAME3}, "patches"),  # few channels
        ((20, 20, 16), {"filters": 16, "groups": 4, **SAME3}, "patches"),
        ((3, 20, 16), {"filters": 16, **SAME3}, "patches"),  # lower than any tile
        ((14, 14, 512), {"filters": 512, **SAME3}, "winograd"),
        ((7, 7, 512), {"filters": 512, **SAME3}, "patches"),  # 38 MB of weights for four tiles
        ((7, 7, 512), {"filters": 512, "groups": 32, **SAME3}, "winograd"),
        ((227, 227, 3), {"filters": 96, **FIRST}, "winograd"),
        # only the pixels of the image can be written in blocks
        ((227, 227, 3), {"filters": 96, **FIRST, "reads_image": False}, "patches"),
        ((227, 227, 3), {"filters": 96, **FIRST, "groups": 3}, "patches"),
        ((227, 227, 3), {"filters": 96, **SAME3}, "patches"),
    ],
)
def test_choice(in_shape, options, kind):
    assert chosen(in_shape, **options).kind == kind
    exact = chosen(in_shape, exact=True, **options).kind
    assert exact == ("patches" if kind == "winograd" else kind)


@pytest.mark.parametrize(
    ("options", "kind", "double_kind"),
    [
        ({"groups": 16, **SAME3}, "depthwise", "depthwise"),
        (SAME3, "winograd", "double"),
        ({}, "matrix", "double"),
    ],
)
def test_double_precision(options, kind, double_kind):
    for exact in (False, True):
        double = chosen((20, 20, 16), filters=16, double_precision=True, exact=exact, **options)
        assert (double.kind, double.double) == (double_kind, kind == "depthwise")
    single = chosen((20, 20, 16), filters=16, **options)
    assert (single.kind, single.double) == (kind, False)


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("side", range(4, 40))
def test_no_tile_size_takes_far_fewer_multiplications(side, kernel_size):
    algorithm = chosen(
        (side, side, 16), filters=16, kernel_size=kernel_size, padding=kernel_size // 2
    )
    assert (algorithm.r, algorithm.block) == (kernel_size, 1)

    def multiplications(m):
        return (-(-side // m) * (m + kernel_size - 1)) ** 2

    sizes = WINOGRAD_SIZES
    fitting = [m for m, r in sizes if r == kernel_size and m <= side]
    # a smaller one rounds less, and may take a few more
    assert multiplications(algorithm.m) <= Limits().smaller_tile_cost * min(
        map(multiplications, fitting)
    )


def test_space_to_depth_of_a_first_layer():
    algorithm = chosen((227, 227, 3), filters=96, **FIRST)
    assert (algorithm.block, algorithm.r) == (4, 3)
