"""Strips, windows, tiles, late trunks, threads: however the work is cut, the bits are the same."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.random_networks import Oblong, architectures, assert_close, he_parameters

from sklearn_decaf import _kernels
from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Plan, convolutions, schedule
from sklearn_decaf.networks.engine import plan as plan_module
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    ReLU,
    Softmax,
)

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: the trunk is the reference itself"
)

# What decides how the work is cut, and values that cut networks of any size; the last ones cut
# nothing.
CUTS = {
    "schedule.STRIP_BYTES": (1, 3_000, 20_000, 10**7),
    "schedule.SMALL_MAP": (0, 0, 3_000, 10**7),
    "schedule.WINDOW_SHARE": (0.5, 0.75, 1.0, 0.0),
    "convolutions.TILE_BYTES": (1, 40_000, 10**7),
    "convolutions.PRODUCT_ROWS": (1, 7, 30, 10_000),
    "convolutions.WEIGHT_COST": (1, 30, 1000),
    "convolutions.MANY_WEIGHTS": (0, 30_000, 10**8),
    "plan.LATE_IMAGES": (1, 2, 16),
}
UNCUT = {name: values[-1] for name, values in CUTS.items()}
# small networks have few channels
FEW_CHANNELS = {"algorithms.WINOGRAD_MIN_CHANNELS": 1}
cuts = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CUTS.items()})


@contextmanager
def cut(limits):
    """The engine with other limits, for the time of a ``with`` statement."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**limits, **FEW_CHANNELS}.items():
            patch.setattr(f"sklearn_decaf.networks.engine.{name}", value)
        yield


@st.composite
def winograd_networks(draw):
    """Networks with all kinds of steps, large enough for Winograd's tiles, in chains."""
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    crop = draw(st.integers(20, 40))
    first = pick(
        {"kernel_size": 11, "stride": 4},
        {"kernel_size": 7, "stride": 2, "padding": 3},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 5, "padding": "same"},
        {"kernel_size": 3, "padding": 1},
    )
    layers = [Conv("first", (INPUT,), filters=8, **first), ReLU("first_relu", ("first",))]
    x, channels, count = "first_relu", 8, 0

    def add(kind, *inputs, **options):
        nonlocal count
        count += 1
        layers.append(kind(f"{kind.__name__.lower()}{count}", inputs, **options))
        return layers[-1].name

    def conv(source, depth, filters):
        size = pick(1, 3, 3, 5)
        groups = pick(1, 1, 2) if depth % 16 == filters % 16 == 0 else 1
        double = pick(False, False, True)
        return add(
            Conv, source, filters=filters, kernel_size=size, padding=size // 2, groups=groups,
            double_precision=double,
        )  # fmt: skip

    pools = 0
    for _ in range(draw(st.integers(1, 5))):
        kind = pick("conv", "conv", "depthwise", "pool", "lrn", "residual", "concat")
        if kind == "conv":
            filters = pick(8, 16, 12)
            x, channels = conv(x, channels, filters), filters
        elif kind == "depthwise":
            x = add(
                Conv, x, filters=channels, kernel_size=pick(3, 5), padding="same", groups=channels
            )
        elif kind == "pool" and pools < 2 and crop > 30:
            x, pools = add(MaxPool, x, size=3, stride=pick(1, 2)), pools + 1
        elif kind == "lrn":
            x = add(LRN, x, alpha=0.02)
        elif kind == "residual":
            x = add(Add, conv(conv(x, channels, channels), channels, channels), x)
        elif kind == "concat":
            members = conv(x, channels, 8), add(ReLU, conv(x, channels, 16))
            x, channels = add(Concat, *members), 24
        if draw(st.booleans()):
            x = add(ReLU, x)
    ending = pick("map", "average", "both", "flat")
    if ending in ("average", "both"):
        pooled = add(GlobalAveragePool, x)
        x = add(Concat, pooled, add(GlobalMaxPool, x)) if ending == "both" else pooled
    if ending != "map":
        x = add(Softmax, add(Dense, x, units=10))
    preprocessing = Preprocessing(crop=crop, mean=(100.0, 120.0, 140.0))
    return pick(Architecture, Oblong)("random", tuple(layers), preprocessing, decaf_layers={})


def images_of(architecture, n, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *architecture.input_shape)).astype(dtype)


def assert_same_bits(actual, expected):
    assert len(actual) == len(expected)
    for values, wanted in zip(actual, expected):
        np.testing.assert_array_equal(values, wanted, strict=True)


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
    names = architecture.layer_names
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    outputs = data.draw(st.one_of(st.just(names[-1:]), some, st.just(names)))
    everything = reference.forward(architecture, parameters, images, names, np.float64)
    with cut(UNCUT):
        expected = Plan(architecture, parameters, outputs, exact=exact).run(images)
    assert_close(architecture, dict(zip(outputs, expected)), everything, 2e-5, random=True)
    with cut(limits):
        plan = Plan(architecture, parameters, outputs, exact=exact)
        assert_same_bits(plan.run(images, n_threads), expected)
        assert_same_bits(plan.run(images, n_threads), expected)  # windows begin at the top again
        assert_same_bits(plan.run(images[-1:]), [values[-1:] for values in expected])
        assert_same_bits(plan.run(images.astype(np.float32), n_threads), expected)
        for name, values in zip(outputs, expected):
            alone = Plan(architecture, parameters, [name], exact=exact).run(images, n_threads)
            assert_same_bits(alone, [values])


@settings(deadline=None, max_examples=50)
@given(winograd_networks(), cuts, st.booleans(), st.integers(1, 3))
def test_a_profile_names_each_layer_once(architecture, limits, exact, n):
    parameters, images = he_parameters(architecture), images_of(architecture, n)
    with cut(limits):
        plan = Plan(architecture, parameters, architecture.layer_names[-1:], exact=exact)
        before = plan.run(images)
        profile = plan.profile(images)
        assert_same_bits(plan.run(images), before)
    assert profile[0][:2] == (INPUT, ())
    named = [layer for _, layers, _ in profile for layer in layers]
    assert sorted(named) == sorted(architecture.layer_names)
    assert len({name for name, _, _ in profile}) == len(profile)
    for name, layers, seconds in profile:
        assert seconds >= 0
        assert name in (layers or (INPUT,))


# Strips ---------------------------------------------------------------------------------------


def chain_of(layers, crop=40):
    return Architecture("chain", tuple(layers), Preprocessing(crop=crop), {})


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
SMALL = {**UNCUT, "schedule.STRIP_BYTES": 4_000, "schedule.SMALL_MAP": 0}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("strip_bytes", [1, 4_000, 50_000, 10**7])
def test_each_row_is_computed_once_and_after_what_it_reads(strip_bytes, exact, monkeypatch):
    """Strips follow one another, are cut as asked, and read nothing that is not there."""
    chains = []
    whole = schedule.schedule

    def remember(chain, kept, arena):
        chains.append(chain)
        return whole(chain, kept, arena)

    monkeypatch.setattr("sklearn_decaf.networks.engine.program.schedule", remember)
    with cut(SMALL):
        plan = Plan(CHAIN, he_parameters(CHAIN), ["f"], exact=exact)
        plan.run(images_of(CHAIN, 1))
    (chain,) = chains
    monkeypatch.setattr(schedule, "STRIP_BYTES", strip_bytes)
    plan = schedule.strips(chain)
    total = sum(step.nbytes for step in chain)
    assert len(plan) == min(max(1, round(total / strip_bytes)), chain[-1].height)
    done = {step.output: 0 for step in chain}
    for ranges in plan:
        for step in chain:
            first, end = ranges[step.output]
            assert first == done[step.output] <= end <= step.height
            done[step.output] = end
            if end > first:
                for source in step.sources:
                    assert done.get(source, np.inf) >= step.rows_needed(end)
    assert done == {step.output: step.height for step in chain}


@pytest.mark.parametrize("exact", [False, True])
def test_windows_save_memory(exact):
    """Of a map that is only read within a chain, a part of the rows is kept."""

    def rows(limits):
        with cut(limits):
            plan = Plan(CHAIN, he_parameters(CHAIN), ["f"], exact=exact)
            plan.run(images_of(CHAIN, 1))
            ((program,),) = plan._idle.values()
        return program._values["b"].array.shape[1]

    assert rows({**SMALL, "schedule.WINDOW_SHARE": 0.0}) >= 40
    assert rows({**SMALL, "schedule.WINDOW_SHARE": 0.9}) < 0.9 * 40


# Threads ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late():
    """A plan with a late trunk, images, and their results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "MANY_WEIGHTS", 2_000)
        patch.setattr(convolutions, "WEIGHT_COST", 1000)
        architecture = chain_of(
            [
                Conv("a", filters=8, kernel_size=3),
                ReLU("b"),
                MaxPool("c"),
                Conv("d", filters=16, kernel_size=3, padding=1),
                ReLU("e"),
                Conv("f", filters=16, kernel_size=3, padding=1),
                Add("g", ("f", "e")),
                Dense("h", units=33),
            ],
            crop=30,
        )
        plan = Plan(architecture, he_parameters(architecture), architecture.layer_names)
        assert [layer.name for layer in plan._late] == ["d", "e", "f", "g"]
        images = images_of(architecture, 2 * plan_module.LATE_IMAGES + 3)
        yield plan, images, plan.run(images)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 3, plan_module.LATE_IMAGES, plan_module.LATE_IMAGES + 1])
def test_a_late_trunk_changes_nothing(late, n, n_threads):
    plan, images, expected = late
    assert_same_bits(plan.run(images[:n], n_threads), [values[:n] for values in expected])


def test_few_programs_serve_any_number_of_images(late):
    """Each has a workspace, which is kept."""
    plan, images, _ = late
    for n in range(1, 2 * plan_module.LATE_IMAGES):
        plan.run(images[:n])
    sizes = {
        n_images for stage, n_images, n_parts, _ in plan._idle if (stage, n_parts) == ("late", 1)
    }
    assert sizes == {2**i for i in range(plan_module.LATE_IMAGES.bit_length())}


def test_more_threads_than_images_of_a_late_trunk(late):
    plan, images, expected = late
    n = plan_module.LATE_IMAGES + 2
    assert_same_bits(plan.run(images[:n], n + 5), [values[:n] for values in expected])


def test_several_callers_with_threads_at_once(late):
    plan, images, expected = late
    together = threading.Barrier(4)

    def work(i):
        together.wait(30)
        for n in (1, 2, 3):
            part = slice(i, i + n)
            assert_same_bits(plan.run(images[part], 1 + (i + n) % 4), [e[part] for e in expected])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.parametrize(
    ("runner", "n_threads", "n"), [("run_items", 3, 7), ("run_shared", 3, 2), ("run_shared", 1, 3)]
)
def test_an_interrupt_leaves_a_plan_that_runs(late, runner, n_threads, n, monkeypatch):
    """It comes when a tape is complete, and its program is free for the next run."""
    plan, images, expected = late
    assert_same_bits(plan.run(images[:n], n_threads), [values[:n] for values in expected])
    idle = {key: len(programs) for key, programs in plan._idle.items()}
    interrupts = [KeyboardInterrupt] * 2

    def interrupted(*arguments, **options):
        run(*arguments, **options)
        if interrupts:
            raise interrupts.pop()

    run = getattr(plan_module, runner)
    monkeypatch.setattr(plan_module, runner, interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            plan.run(images[:n], n_threads)
    assert not interrupts
    for part in (slice(n), slice(1), slice(2, 5)):
        assert_same_bits(plan.run(images[part], n_threads), [values[part] for values in expected])
    assert all(len(plan._idle[key]) == number for key, number in idle.items())


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 3, plan_module.LATE_IMAGES + 1])
def test_a_profile_with_threads(late, n, n_threads):
    plan, images, _ = late
    profile = plan.profile(images[:n], n_threads)
    named = [layer for _, layers, _ in profile for layer in layers]
    assert sorted(named) == sorted(plan.architecture.layer_names)
    assert all(seconds >= 0 for _, _, seconds in profile)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(late):
    plan, images, expected = late
    plan.run(images[:1], 3)
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a deadlock ends, as a failure
        try:
            assert_same_bits(plan.run(images[:2], 3), [values[:2] for values in expected])
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_that_is_not_a_number_is_seen(late, value):
    """And stays with its image."""
    plan, images, expected = late
    odd = images[:3].astype(np.float32)
    odd[1, 15, 15] = value
    for values, wanted in zip(plan.run(odd), expected):
        assert not np.isfinite(values[1]).all()
        np.testing.assert_array_equal(values[[0, 2]], wanted[[0, 2]])
    for values in plan.run(images[:3]):  # nothing of it is left in a buffer
        assert np.isfinite(values).all()


def test_the_random_networks_have_all_that_is_cut():
    """Or the tests above would show nothing."""
    found = set()

    @settings(deadline=None, max_examples=60, derandomize=True, database=None)
    @given(winograd_networks())
    def look(architecture):
        limits = {**SMALL, "schedule.WINDOW_SHARE": 0.9, "convolutions.MANY_WEIGHTS": 20_000}
        with cut(limits):
            last = architecture.layer_names[-1:]
            for exact in (False, True):
                plan = Plan(architecture, he_parameters(architecture), last, exact=exact)
                plan.run(images_of(architecture, 1))
                for algorithm in (packed.algorithm for packed in plan._packed.values()):
                    found.update({algorithm.kind, f"block {algorithm.block}"})
                    found.add((algorithm.m, algorithm.r))
                if plan._late:
                    found.add("late")
                for programs in plan._idle.values():
                    for maps in programs[0]._values.values():
                        if maps.storage.array.shape[1] < maps.height:
                            found.add("window")

    look()
    kinds = {
        "depthwise",
        "double",
        "matrix",
        "winograd",
        "patches",
        "late",
        "window",
        "block 4",
    }
    assert found >= {*kinds, *_kernels._functions.WINOGRAD_SIZES}
