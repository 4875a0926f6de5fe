"""The grouped stage: groups of images, threads, interrupts and forks change nothing."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracles.cut_networks import chain_of, images_of
from oracles.random_networks import he_parameters
from oracles.small_networks import assert_same_bits

from sklearn_decaf import _kernels
from sklearn_decaf.networks.engine import Limits, Plan
from sklearn_decaf.networks.engine import stage as stage_module
from sklearn_decaf.networks.layers import Add, Conv, Dense, MaxPool, ReLU

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: plans run the reference itself"
)


LIMITS = Limits(many_weights=2_000, weight_cost=1000)
GROUP = LIMITS.group_size


@pytest.fixture(scope="module")
def grouped():
    """A plan with a grouped stage, images, and their results."""
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
    parameters = he_parameters(architecture)
    plan = Plan(architecture, parameters, architecture.layer_names, limits=LIMITS)
    per_image, grouped = plan.stages
    assert per_image.max_images == 1
    assert grouped.max_images == GROUP
    assert [layer.name for layer in grouped.layers] == ["d", "e", "f", "g"]
    images = images_of(architecture, 2 * GROUP + 3)
    return plan, images, plan.run(images)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [0, 1, 2, 3, GROUP, GROUP + 1])
def test_a_grouped_stage_changes_nothing(grouped, n, n_threads):
    plan, images, expected = grouped
    assert_same_bits(plan.run(images[:n], n_threads), [values[:n] for values in expected])


def test_few_programs_serve_any_number_of_images(grouped):
    """Each has a workspace, which is kept."""
    plan, images, _ = grouped
    for n in range(1, 2 * GROUP):
        plan.run(images[:n])
    sizes = {n_images for n_images, n_parts, _ in plan.stages[1].idle if n_parts == 1}
    assert sizes == {2**i for i in range(GROUP.bit_length())}


def test_more_threads_than_images_of_a_grouped_stage(grouped):
    plan, images, expected = grouped
    n = GROUP + 2
    assert_same_bits(plan.run(images[:n], n + 5), [values[:n] for values in expected])


def test_several_callers_with_threads_at_once(grouped):
    plan, images, expected = grouped
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
def test_an_interrupt_leaves_a_plan_that_runs(grouped, runner, n_threads, n, monkeypatch):
    """It comes when a call list is complete, and its program is free for the next run."""
    plan, images, expected = grouped
    assert_same_bits(plan.run(images[:n], n_threads), [values[:n] for values in expected])

    def idle():
        return [
            {key: len(programs) for key, programs in stage.idle.items()} for stage in plan.stages
        ]

    before = idle()
    interrupts = [KeyboardInterrupt] * 2

    def interrupted(*arguments, **options):
        run(*arguments, **options)
        if interrupts:
            raise interrupts.pop()

    run = getattr(stage_module, runner)
    monkeypatch.setattr(stage_module, runner, interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            plan.run(images[:n], n_threads)
    assert not interrupts
    for part in (slice(n), slice(1), slice(2, 5)):
        assert_same_bits(plan.run(images[part], n_threads), [values[part] for values in expected])
    for counts, counts_before in zip(idle(), before):
        assert counts.items() >= counts_before.items()


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [1, 2, 3, GROUP + 1])
def test_a_profile_with_threads(grouped, n, n_threads):
    plan, images, _ = grouped
    profile = plan.profile(images[:n], n_threads)
    named = [layer for _, layers, _ in profile for layer in layers]
    assert sorted(named) == sorted(plan.architecture.layer_names)
    assert all(seconds >= 0 for _, _, seconds in profile)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(grouped):
    plan, images, expected = grouped
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
def test_a_pixel_that_is_not_a_number_is_seen(grouped, value):
    """And stays with its image."""
    plan, images, expected = grouped
    odd = images[:3].astype(np.float32)
    odd[1, 15, 15] = value
    for values, wanted in zip(plan.run(odd), expected):
        assert not np.isfinite(values[1]).all()
        np.testing.assert_array_equal(values[[0, 2]], wanted[[0, 2]])
    for values in plan.run(images[:3]):  # nothing of it is left in a buffer
        assert np.isfinite(values).all()
