"""Strips, windows, tiles, stages, threads: however the work is cut, the bits are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.cut_networks import (
    SMALL,
    UNCUT,
    chain_of,
    cuts,
    images_of,
    residual_network,
    winograd_networks,
)
from oracles.random_networks import architectures, assert_close, he_parameters, outputs_of
from oracles.small_networks import assert_same_bits

from sklearn_decaf import _kernels
from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import INPUT
from sklearn_decaf.networks.engine import Limits, Plan, program
from sklearn_decaf.networks.engine.convolutions import PackedConv
from sklearn_decaf.networks.engine.fusion import FusedConv, fuse
from sklearn_decaf.networks.engine.schedule import strip_ranges
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Conv,
    Dense,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Multiply,
    ReLU,
    Sigmoid,
)

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: plans run the reference itself"
)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
    st.one_of(winograd_networks(), winograd_networks(), architectures()),
    st.data(),
    cuts,
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_the_bits_are_the_same_however_the_work_is_cut(
    architecture, data, limits, exact, n, n_threads
):
    """And close to the reference, in strips, windows, blocks of tiles, stages and threads."""
    parameters, images = he_parameters(architecture), images_of(architecture, n)
    outputs = data.draw(outputs_of(architecture))
    names = architecture.layer_names
    everything = reference.forward(architecture, parameters, images, names, np.float64)

    def prepare(outputs, limits):
        return Plan(architecture, parameters, outputs, exact=exact, limits=limits)

    expected = prepare(outputs, UNCUT).run(images)
    assert_close(architecture, dict(zip(outputs, expected)), everything, 2e-5, random=True)
    plan = prepare(outputs, limits)
    assert_same_bits(plan.run(images, n_threads), expected)
    assert_same_bits(plan.run(images, n_threads), expected)  # windows begin at the top again
    assert_same_bits(plan.run(images[-1:]), [values[-1:] for values in expected])
    assert_same_bits(plan.run(images.astype(np.float32), n_threads), expected)
    for name, values in zip(outputs, expected):
        assert_same_bits(prepare([name], limits).run(images, n_threads), [values])


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(winograd_networks(), st.data(), cuts, st.booleans(), st.integers(1, 3))
def test_a_profile_names_each_layer_once(architecture, data, limits, exact, n):
    parameters, images = he_parameters(architecture), images_of(architecture, n)
    outputs = data.draw(outputs_of(architecture))
    plan = Plan(architecture, parameters, outputs, exact=exact, limits=limits)
    before = plan.run(images)
    profile = plan.profile(images)
    assert_same_bits(plan.run(images), before)
    assert profile[0][:2] == (INPUT, ())
    named = [layer for _, layers, _ in profile for layer in layers]
    # a convolution that is wanted with and without its normalisation is computed twice
    needed = architecture.ancestors(outputs)
    assert {layer.name for layer in needed} >= set(named)
    # an identity is nothing, unless it has to be copied
    computed = {layer.name for layer in needed if not isinstance(layer, Identity)}
    assert set(named) >= computed
    assert len({name for name, _, _ in profile}) == len(profile)
    for name, layers, seconds in profile:
        assert seconds >= 0
        assert name in (layers or (INPUT,))


# Strips ---------------------------------------------------------------------------------------


CHAIN = chain_of(
    [
        Conv("a", filters=8, kernel_size=3, padding=1),
        ReLU("b"),
        Conv("c", filters=8, kernel_size=5, padding=2),
        MaxPool("d", size=3, stride=2),
        LRN("e"),
        Conv("f", filters=8, kernel_size=3, padding=1),
    ]
)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("strip_bytes", [1, 4_000, 50_000, 10**7])
def test_each_row_is_computed_once_and_after_what_it_reads(strip_bytes, exact, monkeypatch):
    """Strips follow one another, are cut as asked, and read nothing that is not there."""
    chains = []
    whole = program.schedule_chain

    def remember(chain, *given):
        chains.append(chain)
        return whole(chain, *given)

    monkeypatch.setattr(program, "schedule_chain", remember)
    plan = Plan(CHAIN, he_parameters(CHAIN), ["f"], exact=exact, limits=SMALL)
    plan.run(images_of(CHAIN, 1))
    (chain,) = chains
    strips = strip_ranges(chain, Limits(strip_bytes=strip_bytes))
    total = sum(step.nbytes for step in chain)
    assert len(strips) == min(max(1, round(total / strip_bytes)), chain[-1].height)
    done = {step.output: 0 for step in chain}
    for ranges in strips:
        for step in chain:
            first, end = ranges[step.output]
            assert first == done[step.output] <= end <= step.height
            done[step.output] = end
            if end > first:
                for read in step.reads:
                    assert done.get(read.source, np.inf) >= read.rows_needed(end)
    assert done == {step.output: step.height for step in chain}


@pytest.mark.parametrize("exact", [False, True])
def test_windows_save_memory(exact):
    """Of a map that is only read within a chain, a part of the rows is kept."""

    def rows(limits):
        plan = Plan(CHAIN, he_parameters(CHAIN), ["f"], exact=exact, limits=limits)
        plan.run(images_of(CHAIN, 1))
        (stage,) = plan.stages
        ((compiled,),) = stage.idle.values()
        return compiled.maps["b"].array.shape[1]

    assert rows(replace(SMALL, window_share=0.0)) >= 40
    assert rows(replace(SMALL, window_share=0.9)) < 0.9 * 40


# Residuals --------------------------------------------------------------------------------------


def windows_of(plan):
    """The layers of which only a window of rows was kept."""
    return {
        name
        for stage in plan.stages
        for programs in stage.idle.values()
        for name, maps in programs[0].maps.items()
        if maps.storage.array.shape[1] < maps.height
    }


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("projected_last", [False, True])
@pytest.mark.parametrize(("projection", "stride"), [(1, 2), (3, 2), (5, 2), (1, 3), (3, 3)])
def test_a_strided_projection_in_strips(projection, stride, projected_last, exact):
    """The other branch, in a window, is read row by row, not with the projection's stride."""
    architecture = residual_network(
        projection=projection, stride=stride, projected_last=projected_last, crop=95, filters=8
    )
    parameters, images = he_parameters(architecture), images_of(architecture, 2)
    outputs = ["block2", "average"]
    expected = Plan(architecture, parameters, outputs, exact=exact, limits=UNCUT).run(images)
    everything = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    assert_close(architecture, dict(zip(outputs, expected)), everything, 1e-5, random=True)
    limits = replace(UNCUT, strip_bytes=2_000, small_map=0, window_share=0.9, tile_bytes=1)
    plan = Plan(architecture, parameters, outputs, exact=exact, limits=limits)
    assert_same_bits(plan.run(images), expected)
    assert_same_bits(plan.run(images, n_threads=3), expected)
    assert windows_of(plan) >= {"c4" if projected_last else "projection"}


@pytest.mark.parametrize(("kernel_size", "padding"), [(1, 1), (1, 3), (3, 3), (5, 6)])
@pytest.mark.parametrize("exact", [False, True])
def test_a_border_that_is_read_before_any_row(kernel_size, padding, exact):
    """It is zero again when a program runs for the next image."""
    wide = {"kernel_size": kernel_size, "padding": padding}
    architecture = chain_of(
        [
            Conv("a", filters=8, kernel_size=3),
            ReLU("b"),
            Conv("c", filters=8, **wide),
            Conv("d", filters=8, kernel_size=1, stride=2),
        ]
    )
    parameters, images = he_parameters(architecture), images_of(architecture, 3)
    expected = Plan(architecture, parameters, ["d"], exact=exact, limits=UNCUT).run(images)
    everything = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    assert_close(architecture, {"d": expected[0]}, everything, 1e-5, random=True)
    limits = replace(UNCUT, strip_bytes=1, small_map=0, window_share=0.9, tile_bytes=1)
    plan = Plan(architecture, parameters, ["d"], exact=exact, limits=limits)
    assert_same_bits(plan.run(images), expected)
    assert "b" in windows_of(plan)


@pytest.mark.parametrize("stride", [2, 3, 5])
@pytest.mark.parametrize("padding", [0, ((0, 1), (1, 0)), 1])
@pytest.mark.parametrize("exact", [False, True])
def test_rows_between_windows_are_read_by_nobody(padding, stride, exact):
    """A copy with a border of its own leaves them out: they may be out of memory."""
    architecture = chain_of(
        [
            Conv("a", filters=8, kernel_size=3),
            Conv("b", ("a",), filters=8, kernel_size=3, padding=1),
            Add("c", ("b", "a")),
            ReLU("d"),
            Conv("e", filters=8, kernel_size=1, stride=(stride, 1), padding=padding),
            Conv("f", filters=3, kernel_size=3, padding=1),
        ]
    )
    parameters, images = he_parameters(architecture), images_of(architecture, 3)
    expected = Plan(architecture, parameters, ["f"], exact=exact, limits=UNCUT).run(images)
    everything = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    assert_close(architecture, {"f": expected[0]}, everything, 1e-5, random=True)
    limits = replace(UNCUT, strip_bytes=1, small_map=0, window_share=0.9, tile_bytes=1)
    plan = Plan(architecture, parameters, ["f"], exact=exact, limits=limits)
    assert_same_bits(plan.run(images), expected)
    assert windows_of(plan)


def test_factors_of_channels_are_read_whole():
    """A map of one row is not left behind by the rows that it is multiplied with."""
    architecture = chain_of(
        [
            Conv("a", filters=8, kernel_size=3),
            GlobalAveragePool("b"),
            Dense("c", units=8),
            Sigmoid("d"),
            Multiply("e", ("a", "d")),
            Conv("f", filters=8, kernel_size=3, padding=1),
        ]
    )
    parameters, images = he_parameters(architecture), images_of(architecture, 2)
    expected = Plan(architecture, parameters, ["f"], limits=UNCUT).run(images)
    limits = replace(UNCUT, strip_bytes=1, small_map=0, window_share=1.0)
    assert_same_bits(Plan(architecture, parameters, ["f"], limits=limits).run(images), expected)


def test_a_strided_projection_of_photographs():
    """In strips of the size that users have; smaller maps and weights would end the chain."""
    architecture = residual_network(
        projection=1, stride=2, projected_last=True, crop=225, filters=64
    )
    parameters, images = he_parameters(architecture), images_of(architecture, 1)
    names = architecture.layer_names
    everything = reference.forward(architecture, parameters, images, names, np.float64)
    limits = Limits(small_map=320 * 1024, chain_weights=10**8)
    plan = Plan(architecture, parameters, ["average"], limits=limits)
    actual = {"average": plan.run(images)[0]}
    assert_close(architecture, actual, everything, 1e-5, random=True)
    assert "c4" in windows_of(plan)
    assert_same_bits(Plan(architecture, parameters, ["average"]).run(images), [actual["average"]])


@pytest.mark.slow
def test_the_random_networks_have_all_that_is_cut():
    """Or the tests above would show nothing."""
    found = set()

    @settings(deadline=None, max_examples=60, derandomize=True, database=None)
    @given(winograd_networks())
    def look(architecture):
        limits = replace(SMALL, window_share=0.9, many_weights=20_000)
        last, parameters = architecture.layer_names[-1:], he_parameters(architecture)
        for exact in (False, True):
            plan = Plan(architecture, parameters, last, exact=exact, limits=limits)
            plan.run(images_of(architecture, 1))
            if len(plan.stages) == 2:
                found.add("grouped")
            for stage in plan.stages:
                for packed in stage.packed.values():
                    if isinstance(packed, PackedConv):
                        algorithm = packed.algorithm
                        found.update({algorithm.kind, f"block {algorithm.block}"})
                        found.add((algorithm.m, algorithm.r))
            fused = fuse(architecture, architecture.ancestors(last), last)
            for layer in fused:
                if isinstance(layer, FusedConv) and layer.has_residual:
                    strided = layer.conv.stride > 1 and layer.residual in windows_of(plan)
                    found.add("strided residual, in a window" if strided else "residual")
            if windows_of(plan):
                found.add("window")

    look()
    kinds = {
        "depthwise",
        "double",
        "matrix",
        "winograd",
        "patches",
        "grouped",
        "window",
        "residual",
        "strided residual, in a window",
        "block 4",
    }
    assert found >= {*kinds, *_kernels._functions.WINOGRAD_SIZES}
