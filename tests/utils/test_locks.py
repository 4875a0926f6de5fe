"""Locks and a fork in another thread: no child waits for a thread that it does not have."""

from __future__ import annotations

import ast
import gc
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import sklearn_decaf
from sklearn_decaf._utils.locks import Lock, cached_attribute
from sklearn_decaf._utils.parallel import single_threaded_blas

PACKAGE = Path(sklearn_decaf.__file__).parent

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
# what holds a lock of its own, which a fork in another thread leaves locked
LOCKING = {
    *("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"),
    *("allocate_lock", "cached_property", "Queue", "LifoQueue", "PriorityQueue"),
}


def calls_of_locks():
    """(file, line, name) wherever the package uses one of the names above."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = any(
            isinstance(node, ast.ImportFrom) and (node.module or "").endswith("locks")
            for node in ast.walk(tree)
        )
        for node in ast.walk(tree):
            name = getattr(node, "attr", getattr(node, "id", None))
            if isinstance(node, ast.Attribute | ast.Name) and name in LOCKING:
                yield path.relative_to(PACKAGE).as_posix(), node.lineno, name, own


# made anew for each use, so that a fork has nothing to find locked
NEW_EACH_TIME = {("networks/engine/training/ordered_sum.py", "Condition")}


def test_all_locks_are_those_that_survive_a_fork():
    foreign = [
        f"{path}:{line}: {name}"
        for path, line, name, own in calls_of_locks()
        if path != "_utils/locks.py"
        and not (own and name == "Lock")
        and (path, name) not in NEW_EACH_TIME
    ]
    assert foreign == []


@pytest.mark.parametrize("reentrant", [False, True])
def test_one_thread_at_a_time(reentrant):
    lock, inside = Lock(reentrant=reentrant), []

    def enter():
        for _ in range(200):
            with lock:
                inside.append(threading.get_ident())
                assert lock.locked()
                inside.append(threading.get_ident())

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == 1600 and inside[::2] == inside[1::2]
    assert not lock.locked()


def test_reentrant():
    lock = Lock(reentrant=True)
    with lock:
        with lock:
            assert lock.locked()
        assert lock.locked()
    assert not lock.locked()


def test_released_by_an_error():
    lock = Lock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked()


def exit_code_of_child(work) -> int:
    """Exit code of a forked child that works; one that hangs is killed after a minute."""
    import signal

    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python's, of forks beside threads
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_lock_of_another_thread_is_free_in_the_child(reentrant):
    lock, taken, leave = Lock(reentrant=reentrant), threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            assert leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(60)

    def work():
        assert not lock.locked()
        with lock:
            pass

    assert exit_code_of_child(work) == 0
    assert lock.locked()  # still, here
    leave.set()
    thread.join()


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_lock_of_the_thread_that_forks_is_its_own_in_the_child(reentrant):
    lock = Lock(reentrant=reentrant)

    def work():
        assert lock.locked()
        lock.__exit__()
        assert not lock.locked()
        with lock:
            pass

    with lock:
        assert exit_code_of_child(work) == 0


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_limit_on_blas_in_a_child():
    """Others' limits end with the next user's, and the forking thread's own with its block."""
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with single_threaded_blas():
            entered.set()
            assert leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(60)

    def work():
        with single_threaded_blas():
            assert single_threaded_blas.active
        assert not single_threaded_blas.active

    assert exit_code_of_child(work) == 0
    leave.set()
    thread.join()
    with single_threaded_blas():
        assert exit_code_of_child(lambda: single_threaded_blas._users.total() == 1 or 1 / 0) == 0


# Takes photographs through everything that has a lock; holds all locks in a thread; forks.
FORK = """
import os, signal, sys, tempfile, threading, warnings
import numpy as np
from pathlib import Path
from PIL import Image

warnings.simplefilter("ignore")  # Python's of forks beside threads; that of missing kernels
from sklearn_decaf._utils import locks

made = set()  # (file, line) of each lock
plain_init = locks.Lock.__init__

def init(self, **options):
    caller = sys._getframe(1)
    made.add((caller.f_code.co_filename, caller.f_lineno))
    plain_init(self, **options)

locks.Lock.__init__ = init

from sklearn_decaf import ActivationCache, DeCAFTransformer
from sklearn_decaf._cache.key_locks import KeyLocks
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.images import read_image
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.weights.loading import load_weights
from sklearn_decaf.networks.weights.parameters import FileParameters

folder = Path(tempfile.mkdtemp())
photos = list(load_sample_photos().images[:4])
crops = np.zeros((4, 227, 227, 3), np.uint8)
cache = ActivationCache(folder / "cache")
parameters = FileParameters(["a"], lambda: {"a": np.ones(3)})
net = load_weights("squeezenet1_1")
training = TrainingPlan(net.architecture, dict(net.parameters), "fire2", trainable=["conv1"])
layer = {"weights": "squeezenet1_1", "pooling": "avg", "n_jobs": 2}

def work(name):
    pictures = [Image.fromarray(photo) for photo in photos]
    DeCAFTransformer("pool1", cache=cache, **layer).transform(photos[:2])
    # another picture, so that something is computed
    DeCAFTransformer("pool1", cache=cache, **layer).transform([photos[2][: 50 + len(name)]] * 3)
    DeCAFTransformer("fire2", **layer).transform(pictures)
    GISTTransformer(image_size=32, n_jobs=2).transform(photos)
    Image.fromarray(photos[0]).save(folder / "opened.png")
    pictures.append(Image.open(folder / "opened.png"))  # reading goes back to its file
    for picture in pictures:
        read_image(picture)
    load_weights("efficientnet_lite0")
    training.gradients(crops, lambda scores, part: (0.0, np.ones_like(scores)), n_threads=2)
    training.refresh()
    parameters["a"]
    parameters.let_go(["a"])
    with KeyLocks(str(folder / "claims")) as key_locks:
        assert key_locks.acquire(name.ljust(32).encode())
    assert len(cache) > 0
    cache.close()

work("before")
everything = list(locks._locks)
taken, leave = threading.Event(), threading.Event()

def hold():
    for lock in everything:
        lock.__enter__()
    taken.set()
    leave.wait()
    for lock in everything:
        lock.__exit__()

thread = threading.Thread(target=hold)
thread.start()
taken.wait()
child = os.fork()
if child == 0:
    signal.alarm(100)
    work("in the child")
    os._exit(0)
_, status = os.waitpid(child, 0)
leave.set()
thread.join()
work("afterwards")
for path, line in sorted(made):
    print(path, line)
print(len(everything), file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@needs_fork
def test_a_fork_while_another_thread_holds_every_lock(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", FORK], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    used = {tuple(line.rsplit(" ", 1)) for line in run.stdout.splitlines()}
    used = {(Path(path).relative_to(PACKAGE).as_posix(), int(line)) for path, line in used}
    # each place that makes a lock was there, or this test says nothing of it
    assert used == {
        (path, line)
        for path, line, name, _ in calls_of_locks()
        if name == "Lock" and path != "_utils/locks.py"
    }


def test_cached_attribute():
    computed = []

    class Squares:
        @cached_attribute
        def values(self):
            """All of them."""
            computed.append(self)
            return [i * i for i in range(4)]

    squares, others = Squares(), Squares()
    assert squares.values is squares.values and squares.values == [0, 1, 4, 9]
    assert others.values == squares.values and others.values is not squares.values
    assert computed == [squares, others]
    assert Squares.values.__doc__ == "All of them."


def test_locks_are_not_kept_alive():
    from sklearn_decaf._utils import locks

    before = len(locks._locks)
    several = [Lock() for _ in range(5)]
    assert len(locks._locks) == before + 5
    del several
    gc.collect()
    assert len(locks._locks) == before


# A thread that outlives the main thread -----------------------------------------------------------

LATE = """
import threading, time
import concurrent.futures.thread as futures
import numpy as np
from sklearn_decaf import DeCAFTransformer, extract
from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.images import find_unreadable, iter_batches
import tempfile
from pathlib import Path
from PIL import Image

photos = list(load_sample_photos().images[:5])
folder = Path(tempfile.mkdtemp())
paths = [str(folder / f"{i}.png") for i in range(len(photos))]
for path, photo in zip(paths, photos):
    Image.fromarray(photo).save(path)
small = {"weights": "squeezenet1_1", "pooling": "avg"}

def everything(name):
    made = [DeCAFTransformer("pool1", n_jobs=n, batch_size=2, **small) for n in (None, 2, 4, 9)]
    results = [one.transform(paths) for one in made]
    results += [made[1].set_params(cache=folder / f"cache of {name}").transform(photos)]
    results += [DeCAFTransformer(6, n_jobs=2).transform(photos[:1])]
    results += [GISTTransformer(image_size=32, n_jobs=3).transform(photos)]
    results += [batch for _, batch, _ in iter_batches(paths, batch_size=2, n_jobs=3)]
    results += [np.array([row for row, _ in find_unreadable([*paths, "missing.png"], n_jobs=2)])]
    transformer = DeCAFTransformer("pool1", n_jobs=2, **small)
    done = extract(paths, folder / f"rows of {name}", transformer=transformer, verbose=False)
    return [*results, *map(np.load, done.files)]

expected = everything("main")

def late():
    threading.main_thread().join()
    while not futures._shutdown:  # no pool starts a thread any more
        time.sleep(0.01)
    for found, right in zip(everything("late"), expected, strict=True):
        np.testing.assert_array_equal(found, right)
    print("the same")

threading.Thread(target=late).start()
"""


def test_a_thread_that_outlives_the_main_thread(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(LATE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (run.stdout.strip(), run.stderr, run.returncode) == ("the same", "", 0)
