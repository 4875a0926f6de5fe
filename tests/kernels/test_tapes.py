"""Tapes of bound kernels, and what runs them without Python: order, threads, items, and errors."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_decaf
from sklearn_decaf import _kernels
from sklearn_decaf._kernels.calls import Call, Tape, run_items, run_shared

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels, so nothing to run"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
THREADS = [1, 2, 3, 4, 9, 40]
C = 3  # channels


def f32(*shape):
    return np.zeros(shape, np.float32)


def add(a, b, out):
    return _kernels.kernels.bind_add_and_clip(a, b, -np.inf, np.inf, out)


class Chain:
    """A tape that adds 1 for each of its phases, if they run in order and completely.

    Each unit of a phase reads what all units of the phase before wrote: their average, plus 1.
    It also counts its runs.
    """

    def __init__(self, widths=(5, 1, 4, 0, 7)):
        kernels = _kernels.kernels
        self.x, self.result = f32(1, 1, C), f32(C)
        self.counts = [f32(width, 1, 1, 1) for width in widths]
        self.added = sum(width > 0 for width in widths)
        ones, phases, before = np.ones((1, 1, C), np.float32), [], self.x
        for width, counts in zip(widths, self.counts):
            after, phase = np.full((width, 1, C), np.nan, np.float32), []
            for count, own in zip(counts, after):
                average = f32(C)
                phase.append(
                    [
                        kernels.bind_average(before, average),
                        add(average.reshape(1, 1, C), ones, own.reshape(1, 1, C)),
                        add(count, ones[..., :1], count),
                    ]
                )
            phases.append(phase)
            before = after if width else before
        phases.append([[kernels.bind_average(before, self.result)]])
        self.tape = Tape(phases, [self.x], [self.result])

    def runs(self):
        """How often the units ran, all the same number of times."""
        found = {int(count) for counts in self.counts for count in counts.ravel()}
        assert len(found) <= 1
        return found.pop() if found else None


def items_of(n):
    """Items, and an array for their results."""
    x = np.arange(n * C, dtype=np.float32).reshape(n, 1, 1, C)
    return x, np.full((n, C), np.nan, np.float32)


def assert_added(x, results, number):
    np.testing.assert_array_equal(results, x.reshape(results.shape) + number)


# Order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("n", [0, 1, 2, 15])
def test_threads_share_the_units(n, n_threads):
    chain, (x, results) = Chain(), items_of(n)
    for times in (1, 2):
        results.fill(np.nan)
        run_shared(chain.tape, n_threads, [x], [results], n)
        assert_added(x, results, chain.added)
        assert chain.runs() == times * n


@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize("n", [0, 1, 2, 15])
def test_threads_share_the_items(n, n_threads):
    chains, (x, results) = [Chain() for _ in range(n_threads)], items_of(n)
    for times in (1, 2):
        results.fill(np.nan)
        run_items([chain.tape for chain in chains], [x], [results], n)
        assert_added(x, results, chains[0].added)
        assert sum(chain.runs() for chain in chains) == times * n


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(1, 6),
    st.integers(0, 9),
    st.booleans(),
)
def test_tapes_of_any_shape(widths, n_threads, n, shared):
    x, results = items_of(n)
    chains = [Chain(widths) for _ in range(1 if shared else n_threads)]
    if shared:
        run_shared(chains[0].tape, n_threads, [x], [results], n)
    else:
        run_items([chain.tape for chain in chains], [x], [results], n)
    assert_added(x, results, chains[0].added)
    if any(widths):
        assert sum(chain.runs() for chain in chains) == n


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_thousands_of_phases(n_threads):
    """Threads that meet so often would show it if one could be early or late."""
    chain, (x, results) = Chain([n_threads, 1, 2 * n_threads + 1] * 400), items_of(3)
    run_shared(chain.tape, n_threads, [x], [results], 3)
    assert_added(x, results, 1200)
    assert chain.runs() == 3


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("phases", [[], [[]], [[[]]], [[], [[], []]]], ids=str)
def test_tapes_without_calls(phases, n_threads):
    """What goes in comes out, where that is the same array."""
    (x, _), buffer = items_of(4), f32(1, 1, C)
    results = np.full_like(x, np.nan)
    tape = Tape(phases, [buffer], [buffer])
    run_shared(tape, n_threads, [x], [results], 4)
    assert_added(x, results, 0)
    tapes = [Tape(phases, [own], [own]) for own in f32(n_threads, 1, 1, C)]
    results.fill(np.nan)
    run_items(tapes, [x], [results], 4)
    assert_added(x, results, 0)
    run_shared(Tape(phases), n_threads)
    run_shared(Tape(phases), n_threads, n=0)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_several_inputs_and_outputs(n_threads):
    """Of any type and size, also of none."""
    rng = np.random.default_rng(0)
    kinds = [((4, 3), np.uint8), ((5,), np.float64), ((0, 2), np.float32), ((1,), np.int16)]
    sources = [rng.integers(0, 200, (6, *shape)).astype(dtype) for shape, dtype in kinds]
    for shared in (True, False):
        tapes = []
        for _ in range(1 if shared else n_threads):
            inside = [np.zeros(shape, dtype) for shape, dtype in kinds]
            tapes.append(Tape([], inside, [inside[k] for k in (2, 1, 3, 0)]))
        targets = [np.zeros_like(sources[k]) for k in (2, 1, 3, 0)]
        if shared:
            run_shared(tapes[0], n_threads, sources, targets, 6)
        else:
            run_items(tapes, sources, targets, 6)
        for k, target in zip((2, 1, 3, 0), targets):
            np.testing.assert_array_equal(target, sources[k], strict=True)


def test_read_only_sources():
    chain, (x, results) = Chain(), items_of(3)
    x.flags.writeable = False
    run_shared(chain.tape, 2, [x], [results], 3)
    assert_added(x, results, chain.added)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_seconds_are_added_to_those_of_each_phase(n_threads):
    chain, (x, results) = Chain(), items_of(9)
    seconds = np.full(chain.tape.n_phases, 1000.0)
    begun = time.perf_counter()
    for _ in range(3):
        run_shared(chain.tape, n_threads, [x], [results], 9, seconds)
    whole = time.perf_counter() - begun
    assert (seconds >= 1000).all()
    assert 0 < (seconds - 1000).sum() <= whole + 1e-6
    assert_added(x, results, chain.added)


def test_a_bound_call_can_be_called_and_be_part_of_tapes():
    one, total = np.ones((1, 1, 1), np.float32), f32(1, 1, 1)
    call = add(total, one, total)
    assert isinstance(call, Call)
    call()
    tape, other = Tape([[[call, call]], [[call]]]), Tape([[[call]]])
    assert total == 1
    run_shared(tape, 2)
    run_shared(other, 1, n=5)
    assert total == 1 + 3 + 5


# Errors ---------------------------------------------------------------------------------------


def runner():
    from sklearn_decaf._kernels import runner

    return runner


def capsules():
    """Capsules that are not bound calls."""
    import datetime

    return [Chain().tape.compiled, datetime.datetime_CAPI]


def no_calls():
    return [None, 7, "call", print, lambda: None, Chain().tape, *capsules()]


def test_what_is_no_bound_call_cannot_be_run():
    call = add(f32(1, 1, 1), f32(1, 1, 1), f32(1, 1, 1))
    for wrong in (*no_calls(), call):  # the capsule inside is wanted
        with pytest.raises((TypeError, ValueError)):
            runner().run_call(wrong)
        with pytest.raises((TypeError, ValueError)):
            runner().tape([[[call.bound, wrong]]], [], [])
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
def test_tapes_that_cannot_be(arguments):
    with pytest.raises((TypeError, ValueError, BufferError)):
        runner().tape(*arguments)


def test_inputs_have_to_be_writeable_and_outputs_need_not():
    fixed = f32(2)
    fixed.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        Tape([], [fixed], [])
    result = f32(3, 2)
    fixed.flags.writeable = True
    fixed.fill(4)
    fixed.flags.writeable = False
    run_shared(Tape([], [], [fixed]), 2, [], [result], 3)
    assert (result == 4).all()
    result.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        run_shared(Tape([], [], [fixed]), 2, [], [result], 3)


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
            lambda *given: run_shared(chain.tape, 2, *given),
            lambda *given: run_items([chain.tape, Chain().tape], *given),
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
            runner().run([chain.tape.compiled], 2, 4, sources, targets, None)
    assert chain.runs() == 0
    assert np.isnan(results).all()
    run_shared(chain.tape, 2, [x], [results], 4)
    assert_added(x, results, chain.added)


@pytest.mark.parametrize("n_threads", [0, -1, -(2**31), 2**31, 2**80, 1.5, None, "2"])
def test_threads_that_cannot_be(n_threads):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        run_shared(Tape([]), n_threads)


@pytest.mark.parametrize("n", [2**63, -(2**63) - 1, 1.5, None])
def test_numbers_of_items_that_cannot_be(n):
    with pytest.raises((TypeError, OverflowError)):
        run_shared(Tape([]), 2, n=n)


def test_tapes_have_to_be_one_or_one_a_thread():
    tapes = [Chain().tape.compiled for _ in range(3)]
    for given_, n_threads in [([], 1), ([], 0), (tapes, 2), (tapes, 4), (tapes[:2], 1)]:
        with pytest.raises(ValueError, match="one tape is wanted, or one a thread"):
            runner().run(given_, n_threads, 0, [f32(0)], [f32(0)], None)
    for wrong in (None, 7, [7], [None], [tapes[0], 7], [add(*f32(3, 1, 1, 1)).bound]):
        with pytest.raises((TypeError, ValueError)):
            runner().run(wrong, 1, 0, [], [], None)


def test_seconds_that_do_not_fit():
    chain, (x, results) = Chain(), items_of(1)
    n = chain.tape.n_phases
    fixed = np.zeros(n)
    fixed.flags.writeable = False
    for seconds in (np.zeros(n - 1), np.zeros(n + 1), np.zeros(n, np.float32), np.zeros(0)):
        with pytest.raises(ValueError, match="one number a phase of one tape"):
            run_shared(chain.tape, 2, [x], [results], 1, seconds)
    for seconds in (np.zeros(2 * n)[::2], fixed, [0.0] * n, 7):
        with pytest.raises((TypeError, ValueError, BufferError)):
            run_shared(chain.tape, 2, [x], [results], 1, seconds)
    with pytest.raises(ValueError, match="one number a phase of one tape"):
        runner().run(
            [chain.tape.compiled, Chain().tape.compiled], 2, 1, [x], [results], np.zeros(n)
        )
    assert chain.runs() == 0


THREADS_THAT_CANNOT_START = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_tapes import Chain, assert_added, items_of
from sklearn_decaf._kernels.calls import run_items, run_shared

chain, others, (x, results) = Chain(), [Chain() for _ in range(50)], items_of(50)
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 64 * 2**20,) * 2)  # for a few stacks of 8 MB
run_shared(chain.tape, 50, [x], [results], 50)
assert_added(x, results, chain.added)
assert chain.runs() == 50
results.fill(np.nan)
run_items([other.tape for other in others], [x], [results], 50)
assert_added(x, results, chain.added)
assert sum(other.runs() for other in others) == 50
for n_threads in (2**31 - 1, 2**27):  # no memory for a list of them
    try:
        run_shared(chain.tape, n_threads, [x], [results], 50)
    except (RuntimeError, MemoryError):
        pass
    assert_added(x, results, chain.added)
"""


def run_python(code, *arguments):
    environment = dict(os.environ)
    folder = Path(sklearn_decaf.__file__).parents[1]
    if "site-packages" not in str(folder):  # a bare source tree
        environment["PYTHONPATH"] = str(folder)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=Path(sys.executable).parent,  # not the repository
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_threads_that_cannot_be_started_are_done_without():
    done = run_python(THREADS_THAT_CANNOT_START, str(Path(__file__).parent))
    assert done.returncode == 0, done.stderr


# Memory ---------------------------------------------------------------------------------------


def test_arrays_live_as_long_as_the_calls_and_tapes_that_use_them():
    a, b, out, result = f32(1, 1, C), f32(1, 1, C), f32(1, 1, C), f32(2, C)
    a.fill(2)
    b.fill(3)
    kept = [weakref.ref(array) for array in (a, b, out)]
    tape = Tape([[[add(a, b, out)]]], [], [out])
    del a, b, out
    gc.collect()
    assert all(ref() is not None for ref in kept)
    run_shared(tape, 2, [], [result], 2)
    assert (result == 5).all()
    del tape
    gc.collect()
    assert all(ref() is None for ref in kept)


def test_counts_of_references_are_as_before():
    a, out, x, results, seconds = f32(1, 1, C), f32(1, 1, C), f32(4, C), f32(4, C), np.zeros(1)
    call = add(a, a, out)
    objects = [a, out, x, results, seconds, call.bound]

    def counts():
        gc.collect()
        return [sys.getrefcount(each) for each in objects]

    before = counts()
    tape = Tape([[[call]]], [a], [out])
    with_tape = counts()
    for _ in range(100):
        run_shared(tape, 2, [x], [results], 4, seconds)
        call()
        for wrong in (
            lambda: run_shared(tape, 2, [x], [results], 3, seconds),
            lambda: run_shared(tape, 2, [x], [results, 7], 4, seconds),
            lambda: run_shared(tape, 2, [x], [results], 4, np.zeros(2)),
            lambda: run_shared(tape, 2, [x, 7], [results], 4),
            lambda: run_shared(tape, 0, [x], [results], 4),
            lambda: runner().run([tape.compiled, 7], 2, 4, [x], [results], None),
            lambda: runner().tape([[[call.bound, a]]], [a], [out]),
            lambda: runner().tape([[[call.bound], 7]], [a], [out]),
            lambda: runner().tape([[[call.bound]]], [a], [out, 7]),
            lambda: runner().tape([[[call.bound]]], [a, 7], [out]),
            lambda: runner().run_call(tape.compiled),
            lambda: _kernels.kernels._elementwise.fill(a, 0),
        ):
            with pytest.raises((TypeError, ValueError)):
                wrong()
    assert counts() == with_tape
    wrong = tape = None
    assert counts() == before
    call = None
    del objects[-1]
    assert counts() == [before[0] - 2, before[1] - 1, *before[2:-1]]


LEAKS = """
import gc, resource, sys, tracemalloc
sys.path.insert(0, sys.argv[1])
from test_tapes import Chain, items_of
from sklearn_decaf._kernels.calls import run_items, run_shared

x, results = items_of(2)

def work(n):
    for _ in range(n):
        chains = [Chain((4, 3, 4)) for _ in range(2)]
        run_shared(chains[0].tape, 2, [x], [results], 2)
        run_items([chain.tape for chain in chains], [x], [results], 2)

work(200)
gc.collect()
tracemalloc.start()
work(100)
gc.collect()
traced = tracemalloc.get_traced_memory()[0]
tracemalloc.stop()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(700)
print(traced, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux counts it")
def test_thousands_of_tapes_leave_nothing():
    """About 70 calls each time: a leak of 100 bytes a call would be 5 MB."""
    done = run_python(LEAKS, str(Path(__file__).parent))
    assert done.returncode == 0, done.stderr
    traced, kilobytes = map(int, done.stdout.split())
    assert traced < 20_000
    assert kilobytes < 2_500


# Python meanwhile -----------------------------------------------------------------------------


class LongRun:
    """A run in another thread that can be watched: its items are ready one after another."""

    def __init__(self, n=3000, n_threads=2):
        size = 100, 10, 60
        x, inside = f32(*size), f32(1)
        add_up = [add(x, np.ones(size, np.float32), x) for _ in range(3)]
        copies = _kernels.kernels.bind_copy(x[:1, :1, :1], inside.reshape(1, 1, 1))
        self.tape = Tape([[[call]] for call in add_up] + [[[copies]]], [], [inside])
        self.ready, self.n, self.n_threads = f32(n, 1), n, n_threads

    def __call__(self):
        run_shared(self.tape, self.n_threads, [], [self.ready], self.n)

    def is_halfway(self):
        return self.ready[0, 0] > 0 and self.ready[-1, 0] == 0

    def is_complete(self):
        return bool((np.diff(self.ready[:, 0]) == 3).all())


def while_halfway(n_threads, action, attempts=20):
    """What an action returned in the middle of a run of another thread, and that run."""
    for attempt in range(attempts):
        long = LongRun(500 * 2 ** min(attempt, 5), n_threads)
        thread = threading.Thread(target=long)
        thread.start()
        try:
            while thread.is_alive() and not long.is_halfway():
                pass
            if long.is_halfway():
                result = action()
                if long.is_halfway():  # and it still is
                    return result, long
        finally:
            thread.join()
    raise AssertionError("nothing else ran while a tape did")


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_interpreter_lock_is_released(n_threads):
    total, long = while_halfway(n_threads, lambda: sum(range(1000)))
    assert total == 499_500
    assert long.is_complete()


def test_a_single_call_releases_the_interpreter_lock():
    for attempt in range(20):
        out = f32(2000 * 2 ** min(attempt, 5), 10, 500)
        call, seen = _kernels.kernels.bind_fill(out, 1), False
        thread = threading.Thread(target=call)
        thread.start()
        while thread.is_alive() and not seen:
            seen = out[0, 0, 0] == 1 and out[-1, -1, -1] == 0
        thread.join()
        assert (out == 1).all()
        if seen:
            return
    raise AssertionError("nothing else ran while a call did")


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_several_callers_at_once(n_threads):
    """Each with tapes of its own."""
    together = threading.Barrier(4)

    def work(k):
        x, results = items_of(30 + k)
        chain, chains = Chain(), [Chain() for _ in range(n_threads)]
        together.wait(30)
        for times in range(1, 11):
            results.fill(np.nan)
            run_shared(chain.tape, n_threads, [x], [results], len(x))
            assert_added(x, results, chain.added)
            results.fill(np.nan)
            run_items([each.tape for each in chains], [x], [results], len(x))
            assert_added(x, results, chain.added)
            assert chain.runs() == sum(each.runs() for each in chains) == times * len(x)
            Chain()  # bound and given up while others run

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_threads_are_gone_after_a_run():
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("needs Linux's /proc")
    chain, (x, results) = Chain(), items_of(3)
    before = len(list(tasks.iterdir()))
    for _ in range(5):
        run_shared(chain.tape, 9, [x], [results], 3)
        assert len(list(tasks.iterdir())) <= before


@pytest.fixture
def interrupts():
    """Interrupts are raised, though a process in the background may have been told not to."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_comes_when_the_run_is_complete():
    assert threading.current_thread() is threading.main_thread()
    long = LongRun(1500)

    def interrupt():
        while long.ready[0, 0] == 0:
            time.sleep(0.0001)
        _thread.interrupt_main()

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        long()
        watcher.join()
        time.sleep(60)  # if the run was over before
    watcher.join()
    assert long.is_complete()
    last = long.ready[-1, 0]
    long()  # the tape goes on where it stopped
    assert long.is_complete()
    assert long.ready[0, 0] == last + 3


def in_a_child(work):
    """Whether some work succeeds in a forked process."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a deadlock ends, as a failure
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def use_tapes(chain):
    """Run a tape made before, and new ones, with threads."""
    x, results = items_of(20)
    for n_threads in (1, 2, 3):
        results.fill(np.nan)
        run_shared(chain.tape, n_threads, [x], [results], 20)
        assert_added(x, results, chain.added)
        others = [Chain() for _ in range(n_threads)]
        results.fill(np.nan)
        run_items([other.tape for other in others], [x], [results], 20)
        assert_added(x, results, chain.added)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_runs_tapes():
    chain = Chain()
    use_tapes(chain)
    assert in_a_child(lambda: use_tapes(chain))
    use_tapes(chain)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_a_process_forked_in_the_middle_of_a_run_runs_tapes(n_threads):
    chain = Chain()
    fine, long = while_halfway(n_threads, lambda: in_a_child(lambda: use_tapes(chain)))
    assert fine
    assert long.is_complete()
