"""Call lists: what runs in which order, what fits them, and how long their arrays live."""

from __future__ import annotations

import gc
import sys
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.call_chains import THREADS, C, Chain, add, assert_added, f32, items_of

from sklearn_decaf import _kernels
from sklearn_decaf._kernels.calls import Call, CallList, run_items, run_shared

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels, so nothing to run"
)


# Order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("n", [0, 1, 2, 15])
def test_threads_share_the_tasks(n, n_threads):
    chain, (x, results) = Chain(), items_of(n)
    for times in (1, 2):
        results.fill(np.nan)
        run_shared(chain.call_list, n_threads, [x], [results], n)
        assert_added(x, results, chain.added)
        assert chain.runs() == times * n


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("n", [0, 1, 2, 15])
def test_threads_share_the_items(n, n_threads):
    chains, (x, results) = [Chain() for _ in range(n_threads)], items_of(n)
    for times in (1, 2):
        results.fill(np.nan)
        run_items([chain.call_list for chain in chains], [x], [results], n)
        assert_added(x, results, chains[0].added)
        assert sum(chain.runs() for chain in chains) == times * n


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(1, 6),
    st.integers(0, 9),
    st.booleans(),
)
def test_call_lists_of_any_shape(widths, n_threads, n, shared):
    x, results = items_of(n)
    chains = [Chain(widths) for _ in range(1 if shared else n_threads)]
    if shared:
        run_shared(chains[0].call_list, n_threads, [x], [results], n)
    else:
        run_items([chain.call_list for chain in chains], [x], [results], n)
    assert_added(x, results, chains[0].added)
    if any(widths):
        assert sum(chain.runs() for chain in chains) == n


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_thousands_of_phases(n_threads):
    """Threads that meet so often would show it if one could be early or late."""
    chain, (x, results) = Chain([n_threads, 1, 2 * n_threads + 1] * 400), items_of(3)
    run_shared(chain.call_list, n_threads, [x], [results], 3)
    assert_added(x, results, 1200)
    assert chain.runs() == 3


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("phases", [[], [[]], [[[]]], [[], [[], []]]], ids=str)
def test_call_lists_without_calls(phases, n_threads):
    """What goes in comes out, where that is the same array."""
    (x, _), buffer = items_of(4), f32(1, 1, C)
    results = np.full_like(x, np.nan)
    call_list = CallList(phases, [buffer], [buffer])
    run_shared(call_list, n_threads, [x], [results], 4)
    assert_added(x, results, 0)
    call_lists = [CallList(phases, [own], [own]) for own in f32(n_threads, 1, 1, C)]
    results.fill(np.nan)
    run_items(call_lists, [x], [results], 4)
    assert_added(x, results, 0)
    run_shared(CallList(phases), n_threads)
    run_shared(CallList(phases), n_threads, n=0)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_several_inputs_and_outputs(n_threads):
    """Of any type and size, also of none."""
    rng = np.random.default_rng(0)
    kinds = [((4, 3), np.uint8), ((5,), np.float64), ((0, 2), np.float32), ((1,), np.int16)]
    sources = [rng.integers(0, 200, (6, *shape)).astype(dtype) for shape, dtype in kinds]
    for shared in (True, False):
        call_lists = []
        for _ in range(1 if shared else n_threads):
            inside = [np.zeros(shape, dtype) for shape, dtype in kinds]
            call_lists.append(CallList([], inside, [inside[k] for k in (2, 1, 3, 0)]))
        targets = [np.zeros_like(sources[k]) for k in (2, 1, 3, 0)]
        if shared:
            run_shared(call_lists[0], n_threads, sources, targets, 6)
        else:
            run_items(call_lists, sources, targets, 6)
        for k, target in zip((2, 1, 3, 0), targets):
            np.testing.assert_array_equal(target, sources[k], strict=True)


def test_read_only_sources():
    chain, (x, results) = Chain(), items_of(3)
    x.flags.writeable = False
    run_shared(chain.call_list, 2, [x], [results], 3)
    assert_added(x, results, chain.added)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_seconds_are_added_to_those_of_each_phase(n_threads):
    chain, (x, results) = Chain(), items_of(9)
    seconds = np.full(chain.call_list.n_phases, 1000.0)
    begun = time.perf_counter()
    for _ in range(3):
        run_shared(chain.call_list, n_threads, [x], [results], 9, seconds)
    whole = time.perf_counter() - begun
    assert (seconds >= 1000).all()
    assert 0 < (seconds - 1000).sum() <= whole + 1e-6
    assert_added(x, results, chain.added)


def test_a_bound_call_can_be_called_and_be_part_of_call_lists():
    one, total = np.ones((1, 1, 1), np.float32), f32(1, 1, 1)
    call = add(total, one, total)
    assert isinstance(call, Call)
    call()
    call_list, other = CallList([[[call, call]], [[call]]]), CallList([[[call]]])
    assert total == 1
    run_shared(call_list, 2)
    run_shared(other, 1, n=5)
    assert total == 1 + 3 + 5


# Errors ---------------------------------------------------------------------------------------


def runner():
    from sklearn_decaf._kernels import runner

    return runner


def capsules():
    """Capsules that are not bound calls."""
    import datetime

    return [Chain().call_list.compiled, datetime.datetime_CAPI]


def no_calls():
    return [None, 7, "call", print, lambda: None, Chain().call_list, *capsules()]


def test_what_is_no_bound_call_cannot_be_run():
    call = add(f32(1, 1, 1), f32(1, 1, 1), f32(1, 1, 1))
    for wrong in (*no_calls(), call):  # the capsule inside is wanted
        with pytest.raises((TypeError, ValueError)):
            runner().run_call(wrong)
        with pytest.raises((TypeError, ValueError)):
            runner().call_list([[[call.bound, wrong]]], [], [])
    for wrong in no_calls():
        with pytest.raises((TypeError, ValueError)):
            Call(wrong)()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ([],),
        ([], []),
        ([], [], [], []),
        (None, [], []),
        (7, [], []),
        ([7], [], []),
        ([[7]], [], []),
        ([[[7]]], [], []),
        ([], None, []),
        ([], [], 3),
        ([], [None], []),
        ([], ["text"], []),
        ([], [f32(4, 4)[:, ::2]], []),
        ([], [f32(4, 4)[::-1]], []),
        ([], [f32(4, 4).T], []),
        ([], [], [f32(4, 4)[:, ::2]]),
        ([], [], [[1.0]]),
    ],
)
def test_call_lists_that_cannot_be(arguments):
    with pytest.raises((TypeError, ValueError, BufferError)):
        runner().call_list(*arguments)


def test_inputs_have_to_be_writeable_and_outputs_need_not():
    fixed = f32(2)
    fixed.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        CallList([], [fixed], [])
    result = f32(3, 2)
    fixed.flags.writeable = True
    fixed.fill(4)
    fixed.flags.writeable = False
    run_shared(CallList([], [], [fixed]), 2, [], [result], 3)
    assert (result == 4).all()
    result.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        run_shared(CallList([], [], [fixed]), 2, [], [result], 3)


def test_sources_and_targets_have_to_fit():
    chain, (x, results) = Chain(), items_of(4)
    for sources, targets, n in [
        ([], [results], 4),
        ([x], [], 4),
        ([x, x], [results], 4),
        ([x], [results, results], 4),
        ([x[:3]], [results], 4),
        ([x], [results[:3]], 4),
        ([x], [results], 3),
        ([x], [results], 5),
        ([x], [results], 0),
        ([x], [results], -4),
        ([x.astype(np.float64)], [results], 4),
        ([x[..., :2].copy()], [results], 4),
        ([x[:0]], [results[:0]], 2**62),  # bytes that a product of sizes cannot hold
        ([x[:0]], [results[:0]], 2**63 // C),
    ]:
        for run in (
            lambda *given: run_shared(chain.call_list, 2, *given),
            lambda *given: run_items([chain.call_list, Chain().call_list], *given),
        ):
            with pytest.raises(ValueError, match="do not fit the inputs or outputs"):
                run(sources, targets, n)
    for sources, targets in [
        ([x[:, :, :, ::-1]], [results]),
        ([x], [results[::-1]]),
        ([x], [np.asfortranarray(results)]),
        ([x], [None]),
        ([3], [results]),
        (3, [results]),
    ]:
        with pytest.raises((TypeError, ValueError, BufferError)):
            runner().run([chain.call_list.compiled], 2, 4, sources, targets, None)
    assert chain.runs() == 0
    assert np.isnan(results).all()
    run_shared(chain.call_list, 2, [x], [results], 4)
    assert_added(x, results, chain.added)


@pytest.mark.parametrize("n_threads", [0, -1, -(2**31), 2**31, 2**80, 1.5, None, "2"])
def test_threads_that_cannot_be(n_threads):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        run_shared(CallList([]), n_threads)


@pytest.mark.parametrize("n", [2**63, -(2**63) - 1, 1.5, None])
def test_numbers_of_items_that_cannot_be(n):
    with pytest.raises((TypeError, OverflowError)):
        run_shared(CallList([]), 2, n=n)


def test_call_lists_have_to_be_one_or_one_a_thread():
    lists = [Chain().call_list.compiled for _ in range(3)]
    for given_, n_threads in [
        ([], 1),
        ([], 0),
        (lists, 2),
        (lists, 4),
        (lists[:2], 1),
    ]:
        with pytest.raises(ValueError, match="one call list is wanted, or one a thread"):
            runner().run(given_, n_threads, 0, [f32(0)], [f32(0)], None)
    for wrong in (None, 7, [7], [None], [lists[0], 7], [add(*f32(3, 1, 1, 1)).bound]):
        with pytest.raises((TypeError, ValueError)):
            runner().run(wrong, 1, 0, [], [], None)


def test_seconds_that_do_not_fit():
    chain, (x, results) = Chain(), items_of(1)
    n = chain.call_list.n_phases
    fixed = np.zeros(n)
    fixed.flags.writeable = False
    for seconds in (np.zeros(n - 1), np.zeros(n + 1), np.zeros(n, np.float32), np.zeros(0)):
        with pytest.raises(ValueError, match="one number a phase of one call list"):
            run_shared(chain.call_list, 2, [x], [results], 1, seconds)
    for seconds in (np.zeros(2 * n)[::2], fixed, [0.0] * n, 7):
        with pytest.raises((TypeError, ValueError, BufferError)):
            run_shared(chain.call_list, 2, [x], [results], 1, seconds)
    with pytest.raises(ValueError, match="one number a phase of one call list"):
        runner().run(
            [chain.call_list.compiled, Chain().call_list.compiled],
            2,
            1,
            [x],
            [results],
            np.zeros(n),
        )
    assert chain.runs() == 0


# Memory ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_arrays_live_as_long_as_the_calls_and_call_lists_that_use_them():
    a, b, out, result = f32(1, 1, C), f32(1, 1, C), f32(1, 1, C), f32(2, C)
    a.fill(2)
    b.fill(3)
    kept = [weakref.ref(array) for array in (a, b, out)]
    call_list = CallList([[[add(a, b, out)]]], [], [out])
    del a, b, out
    gc.collect()
    assert all(ref() is not None for ref in kept)
    run_shared(call_list, 2, [], [result], 2)
    assert (result == 5).all()
    del call_list
    gc.collect()
    assert all(ref() is None for ref in kept)


@pytest.mark.slow
def test_counts_of_references_are_as_before():
    a, out, x, results, seconds = f32(1, 1, C), f32(1, 1, C), f32(4, C), f32(4, C), np.zeros(1)
    call = add(a, a, out)
    objects = [a, out, x, results, seconds, call.bound]

    def counts():
        gc.collect()
        return [sys.getrefcount(each) for each in objects]

    before = counts()
    call_list = CallList([[[call]]], [a], [out])
    with_list = counts()
    for _ in range(100):
        run_shared(call_list, 2, [x], [results], 4, seconds)
        call()
        for wrong in (
            lambda: run_shared(call_list, 2, [x], [results], 3, seconds),
            lambda: run_shared(call_list, 2, [x], [results, 7], 4, seconds),
            lambda: run_shared(call_list, 2, [x], [results], 4, np.zeros(2)),
            lambda: run_shared(call_list, 2, [x, 7], [results], 4),
            lambda: run_shared(call_list, 0, [x], [results], 4),
            lambda: runner().run([call_list.compiled, 7], 2, 4, [x], [results], None),
            lambda: runner().call_list([[[call.bound, a]]], [a], [out]),
            lambda: runner().call_list([[[call.bound], 7]], [a], [out]),
            lambda: runner().call_list([[[call.bound]]], [a], [out, 7]),
            lambda: runner().call_list([[[call.bound]]], [a, 7], [out]),
            lambda: runner().run_call(call_list.compiled),
            lambda: _kernels.kernels._elementwise.fill(a, 0),
        ):
            with pytest.raises((TypeError, ValueError)):
                wrong()
    assert counts() == with_list
    wrong = call_list = None
    assert counts() == before
    call = None
    del objects[-1]
    assert counts() == [before[0] - 2, before[1] - 1, *before[2:-1]]
