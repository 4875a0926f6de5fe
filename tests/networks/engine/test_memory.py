"""Memory for maps: never handed out twice, used again, and no more than is needed."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.random_networks import he_parameters, random_images
from oracles.small_networks import network

from sklearn_decaf import _kernels
from sklearn_decaf.networks.architecture import Preprocessing
from sklearn_decaf.networks.engine import Plan, memory
from sklearn_decaf.networks.layers import LRN, Add, Concat, Conv, MaxPool, ReLU

compiled = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: plans run the reference itself"
)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40), st.integers(0, 5)), max_size=30))
def test_arena_never_hands_out_memory_twice(actions):
    arena, live = memory.Arena(), []
    for number, (take, size, which) in enumerate(actions):
        if take or not live:
            array = arena.take((size, 3))
            assert array.shape == (size, 3)
            assert array.dtype == np.float32
            assert array.ctypes.data % 64 == 0
            array.fill(number)
            live.append((array, number))
        else:
            arena.give_back(live.pop(which % len(live))[0])
        assert all((array == mark).all() for array, mark in live)


def test_arena_uses_memory_again():
    arena = memory.Arena()
    small, large = arena.take((4,)), arena.take((100,))
    arena.give_back(large)
    arena.give_back(small)
    assert np.shares_memory(arena.take((2, 2)), small)  # the smallest that fits
    assert np.shares_memory(arena.take((50,)), large)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 2), st.integers(0, 5)),
        max_size=30,
    )
)
def test_bordered_arrays_keep_their_zeros(actions):
    arena, live = memory.Arena(), []
    for number, (take, side, border, which) in enumerate(actions, 1):
        if take or not live:
            pads = ((border, 1), (0, border))
            array = arena.take_bordered(2, (side, 2, 3), pads)
            assert array.shape == (2, border + side + 1, 2 + border, 3)
            assert array.ctypes.data % 64 == 0
            inner = array[:, border : border + side, :2]
            inner.fill(0)
            assert not array.any()
            inner.fill(number)
            live.append((array, inner, number))
        else:
            arena.give_back(live.pop(which % len(live))[0])
        for array, inner, mark in live:
            assert (inner == mark).all()
            assert array.sum(dtype=np.float64) == mark * inner.size


def test_rows_that_have_left_a_window():
    """Or are not there yet: never are others taken for them."""
    maps = memory.Maps(1, (9, 2, 3), ((1, 1), (0, 0)))
    maps.allocate(memory.Arena(), 4)
    maps.base = 3  # rows 2 to 5
    for read in (maps.rows, lambda first, end: maps.image(0, first, end)):
        assert 4 in read(2, 6).shape
        for first, end in [(1, 3), (0, 1), (-1, 2), (5, 7), (7, 8), (4, 3)]:
            with pytest.raises(IndexError, match=f"rows {first} to {end} of a map of shape"):
                read(first, end)


def memory_of_a_run(architecture):
    """The most bytes that a new plan and a first run took, the result aside."""
    parameters, images = he_parameters(architecture), random_images(architecture, 1)
    tracemalloc.start()
    try:
        plan = Plan(architecture, parameters, architecture.layer_names[-1:])
        packed = tracemalloc.get_traced_memory()[0]
        plan.run(images)
        return tracemalloc.get_traced_memory()[1] - packed
    finally:
        tracemalloc.stop()


@compiled
def test_a_deep_network_needs_no_more_memory_than_a_shallow_one():
    """All that is fused, and all that is not, gives its memory back."""

    def deep(blocks):
        layers = [Conv("data0", filters=16, kernel_size=3, padding=1)]
        for i in range(blocks):
            before = f"data{i}"
            layers += [
                Conv(f"a{i}", filters=16, kernel_size=3, padding=1, double_precision=True),
                ReLU(f"b{i}"),
                Conv(f"c{i}", filters=16, kernel_size=5, padding="same", groups=16),
                ReLU(f"d{i}"),
                Conv(f"e{i}", filters=16),
                Add(f"f{i}", (f"e{i}", before)),
                Conv(f"g{i}", filters=8),
                Conv(f"h{i}", (f"f{i}",), filters=8, kernel_size=3, padding=1),
                ReLU(f"i{i}"),
                Concat(f"j{i}", (f"g{i}", f"i{i}")),
                MaxPool(f"k{i}", size=1, stride=1),
                LRN(f"data{i + 1}"),
            ]
        return network(*layers, preprocessing=Preprocessing(crop=64))

    smallest = 64 * 64 * 8 * 4  # bytes of the maps with 8 channels
    shallow, deeper = memory_of_a_run(deep(2)), memory_of_a_run(deep(12))
    assert deeper - shallow < 10 * smallest / 2  # less than any map that each block might keep
