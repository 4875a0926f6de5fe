"""Threads that run call lists without Python: started, watched, interrupted and forked."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from oracles.call_chains import Chain, add, assert_added, f32, items_of
from oracles.processes import TESTS, run_python

from sklearn_decaf import _kernels
from sklearn_decaf._kernels.calls import CallList, run_items, run_shared

pytestmark = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels, so nothing to run"
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


THREADS_THAT_CANNOT_START = """
import resource, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from oracles.call_chains import Chain, assert_added, items_of
from sklearn_decaf._kernels.calls import run_items, run_shared

chain, others, (x, results) = Chain(), [Chain() for _ in range(50)], items_of(50)
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 64 * 2**20,) * 2)  # for a few stacks of 8 MB
run_shared(chain.call_list, 50, [x], [results], 50)
assert_added(x, results, chain.added)
assert chain.runs() == 50
results.fill(np.nan)
run_items([other.call_list for other in others], [x], [results], 50)
assert_added(x, results, chain.added)
assert sum(other.runs() for other in others) == 50
for n_threads in (2**31 - 1, 2**27):  # no memory for a list of them
    try:
        run_shared(chain.call_list, n_threads, [x], [results], 50)
    except (RuntimeError, MemoryError):
        pass
    assert_added(x, results, chain.added)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_threads_that_cannot_be_started_are_done_without():
    done = run_python(THREADS_THAT_CANNOT_START, str(TESTS))
    assert done.returncode == 0, done.stderr


LEAKS = """
import ctypes, gc, resource, sys, tracemalloc
sys.path.insert(0, sys.argv[1])
from oracles.call_chains import Chain, items_of
from sklearn_decaf._kernels.calls import run_items, run_shared

x, results = items_of(2)

# of glibc's mallinfo2: `hblkhd` and `uordblks` are the bytes in use
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if mallinfo is not None:
    mallinfo.restype = MallInfo

def memory():
    if mallinfo is None:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    info = mallinfo()
    return info.hblkhd + info.uordblks

def work(n):
    for _ in range(n):
        chains = [Chain((4, 3, 4)) for _ in range(2)]
        run_shared(chains[0].call_list, 2, [x], [results], 2)
        run_items([chain.call_list for chain in chains], [x], [results], 2)

work(200)
gc.collect()
tracemalloc.start()
work(100)
gc.collect()
traced = tracemalloc.get_traced_memory()[0]
tracemalloc.stop()
before = memory()
work(700)
gc.collect()
print(traced, memory() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux counts it")
def test_thousands_of_call_lists_leave_nothing():
    """About 70 calls each time: a leak of 100 bytes a call would be 5 MB.

    Where the C library counts what is in use (glibc 2.33 and newer), that is asked: an emulator of
    another machine keeps memory for every thread that ended.
    """
    done = run_python(LEAKS, str(TESTS))
    assert done.returncode == 0, done.stderr
    traced, held = map(int, done.stdout.split())
    assert traced < 20_000
    assert held < 2_500_000


# Python meanwhile -----------------------------------------------------------------------------


class LongRun:
    """A run in another thread that can be watched: its items are ready one after another."""

    def __init__(self, n=3000, n_threads=2):
        size = 100, 10, 60
        x, inside = f32(*size), f32(1)
        add_up = [add(x, np.ones(size, np.float32), x) for _ in range(3)]
        copies = _kernels.kernels.bind_copy(x[:1, :1, :1], inside.reshape(1, 1, 1))
        self.call_list = CallList([[[call]] for call in add_up] + [[[copies]]], [], [inside])
        self.ready, self.n, self.n_threads = f32(n, 1), n, n_threads

    def __call__(self):
        run_shared(self.call_list, self.n_threads, [], [self.ready], self.n)

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
    raise AssertionError("nothing else ran while a call list did")


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
    """Each with call lists of its own."""
    together = threading.Barrier(4)

    def work(k):
        x, results = items_of(30 + k)
        chain, chains = Chain(), [Chain() for _ in range(n_threads)]
        together.wait(30)
        for times in range(1, 11):
            results.fill(np.nan)
            run_shared(chain.call_list, n_threads, [x], [results], len(x))
            assert_added(x, results, chain.added)
            results.fill(np.nan)
            run_items([each.call_list for each in chains], [x], [results], len(x))
            assert_added(x, results, chain.added)
            assert chain.runs() == sum(each.runs() for each in chains) == times * len(x)
            Chain()  # bound and given up while others run

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def threads_of_this_process() -> set[Path]:
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("needs Linux's /proc")
    return set(tasks.iterdir())


def test_no_more_threads_are_kept_than_there_are_processors():
    before = threads_of_this_process()
    chain, (x, results) = Chain(), items_of(3)
    for _ in range(5):
        run_shared(chain.call_list, 40, [x], [results], 3)
        assert_added(x, results, chain.added)
    deadline = time.monotonic() + 30
    while len(threads_of_this_process() - before) > os.cpu_count():  # those that end take a moment
        assert time.monotonic() < deadline
        time.sleep(0.01)


KEPT_THREADS = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from oracles.call_chains import Chain, items_of
from sklearn_decaf._kernels.calls import run_shared

tasks = Path("/proc/self/task")
before = set(tasks.iterdir())
chain, (x, results) = Chain([3]), items_of(3)
run_shared(chain.call_list, 2, [x], [results], 3)
(kept,) = set(tasks.iterdir()) - before
for pause in (0, 0.02):
    time.sleep(pause)
    run_shared(chain.call_list, 2, [x], [results], 3)
    assert set(tasks.iterdir()) - before == {kept}
lines = (kept / "status").read_text().splitlines()
(blocked,) = (int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
print(bin(blocked & 0x7FFFFFFF).count("1"))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_thread_is_kept_and_takes_no_signals():
    """All of the first 31 but two, SIGKILL and SIGSTOP, which nobody can refuse."""
    done = run_python(KEPT_THREADS, str(TESTS))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 29


ENDS = """
import os, signal, sys, threading, time
sys.path.insert(0, sys.argv[1])
from oracles.call_chains import Chain, items_of
from sklearn_decaf._kernels.calls import run_shared

chain, (x, results) = Chain([3]), items_of(3)
def work():
    run_shared(chain.call_list, 3, [x], [results], 3)
work()
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("pause", [0, 0.05])
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("os._exit(3)", 3),
        ("raise SystemExit('no')", 1),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15, marks=needs_fork),
        ("threading.Thread(target=work).start()", 0),
        ("threading.Thread(target=lambda: [work() for _ in iter(int, 1)], daemon=True).start()", 0),
    ],
)
def test_a_process_ends_while_threads_wait_for_work(pause, ending, code):
    done = run_python(ENDS + ending, str(TESTS), str(pause))
    assert done.returncode == code, done.stderr


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
    long()  # the call list goes on where it stopped
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


def use_call_lists(chain):
    """Run a call list made before, and new ones, with threads."""
    x, results = items_of(20)
    for n_threads in (1, 2, 3):
        results.fill(np.nan)
        run_shared(chain.call_list, n_threads, [x], [results], 20)
        assert_added(x, results, chain.added)
        others = [Chain() for _ in range(n_threads)]
        results.fill(np.nan)
        run_items([other.call_list for other in others], [x], [results], 20)
        assert_added(x, results, chain.added)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("pause", [0, 0.05])
def test_a_forked_process_runs_call_lists(pause):
    """While the threads of this one look for work, and while they sleep."""
    chain = Chain()
    for _ in range(3):
        use_call_lists(chain)
        time.sleep(pause)
        assert in_a_child(lambda: use_call_lists(chain) or time.sleep(pause))
    use_call_lists(chain)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forks_again():
    chain = Chain()
    use_call_lists(chain)

    def work():
        use_call_lists(chain)
        assert in_a_child(lambda: use_call_lists(chain))

    assert in_a_child(work)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_a_process_forked_in_the_middle_of_a_run_runs_call_lists(n_threads):
    chain = Chain()
    fine, long = while_halfway(n_threads, lambda: in_a_child(lambda: use_call_lists(chain)))
    assert fine
    assert long.is_complete()
