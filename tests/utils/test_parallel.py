"""How many threads `n_jobs` means, the limit on BLAS, and the loop over threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits

from sklearn_decaf._utils import parallel
from sklearn_decaf._utils.parallel import effective_n_threads, run_in_threads, single_threaded_blas
from sklearn_decaf._utils.work_ahead import work_ahead
from sklearn_decaf.images import iter_batches


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def blas_at_two():
    """A BLAS of two threads, on whatever machine; put back afterwards."""
    limits = threadpool_limits(2, user_api="blas")
    forget_this_thread()
    try:
        if set(blas_threads()) != {2}:
            pytest.skip(f"this BLAS cannot be set to two threads: {blas_threads()}")
        yield
    finally:
        forget_this_thread()
        limits.restore_original_limits()
        forget_this_thread()


def forget_this_thread():
    """Or threadpoolctl, from 3.8 on, listens to no other thread of this test."""
    getattr(OpenBLASController, "clear_controlling_thread", lambda force: None)(force=True)


@pytest.fixture
def cores(monkeypatch):
    """A machine of 12 cores."""
    monkeypatch.setattr(joblib, "cpu_count", lambda *args, **kwargs: 12)
    return 12


# How many -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_jobs", "expected"), [(1, 1), (3, 3), (40, 40), (-1, 12), (-2, 11), (-12, 1), (-99, 1)]
)
def test_numbers_count_as_in_scikit_learn(cores, n_jobs, expected):
    assert effective_n_threads(n_jobs) == expected


def test_zero_is_an_error(cores):
    with pytest.raises(ValueError, match=r"n_jobs=0: it must be .* -1 for all cores"):
        effective_n_threads(0)


def test_none_is_what_blas_would_use(cores):
    assert effective_n_threads(None) == 2
    with threadpool_limits(1, user_api="blas"):
        assert effective_n_threads(None) == 1
        assert effective_n_threads(5) == 5
    assert effective_n_threads(None) == 2


def test_none_is_never_more_than_the_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    assert effective_n_threads(None) == 1


def test_none_without_a_blas_that_can_be_asked(cores, monkeypatch):
    monkeypatch.setattr(parallel, "_blas_threads", list)
    assert effective_n_threads(None) == 12


def test_none_does_not_mind_our_own_limit(cores):
    with single_threaded_blas():
        assert effective_n_threads(None) == 2
        with single_threaded_blas():
            assert effective_n_threads(None) == 2


def test_none_within_threads_of_joblib_is_one(cores):
    counts = Parallel(n_jobs=2, backend="threading")(
        delayed(effective_n_threads)(n_jobs) for n_jobs in (None, None, 3, -1)
    )
    assert counts == [1, 1, 3, 12]

    def nested():
        return Parallel(n_jobs=2, backend="threading")([delayed(effective_n_threads)(None)])

    assert Parallel(n_jobs=2, backend="threading")([delayed(nested)()] * 2) == [[1], [1]]


def test_none_within_a_choice_of_threads_but_outside_a_loop(cores):
    with joblib.parallel_config("threading", n_jobs=2):
        assert effective_n_threads(None) == 2


@pytest.mark.slow
@pytest.mark.skipif(joblib.cpu_count() < 2, reason="there is one core only")
@pytest.mark.parametrize("inner", [1, 2])
def test_none_within_a_process_of_joblib_is_what_joblib_gives_it(inner):
    with joblib.parallel_config("loky", inner_max_num_threads=inner):
        counts = Parallel(n_jobs=2)([delayed(effective_n_threads)(None)] * 2)
    assert counts == [inner, inner]


# BLAS at one thread -------------------------------------------------------------------------


def test_limit_and_back():
    with single_threaded_blas():
        assert single_threaded_blas.active
        assert set(blas_threads()) == {1}
    assert not single_threaded_blas.active
    assert set(blas_threads()) == {2}


def test_nested_limits():
    with single_threaded_blas():
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


def test_limit_ends_with_an_error():
    with pytest.raises(RuntimeError), single_threaded_blas():
        raise RuntimeError
    assert set(blas_threads()) == {2}
    assert not single_threaded_blas.active


def test_a_limit_of_the_user_comes_back():
    with threadpool_limits(1, user_api="blas"):
        with single_threaded_blas():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}


def in_another_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def test_limit_in_another_thread_than_the_first():
    with single_threaded_blas():
        pass

    def limited():
        with single_threaded_blas():
            return blas_threads()

    assert set(in_another_thread(limited)) == {1}
    assert set(blas_threads()) == {2}


@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_limits_of_two_threads_that_overlap(first_to_leave):
    """The limit holds until both are gone, whoever is first."""
    entered, leave, left = ([threading.Event() for _ in range(2)] for _ in range(3))
    over = threading.Event()

    def hold(i):
        with single_threaded_blas():
            entered[i].set()
            assert leave[i].wait(30)
        left[i].set()
        assert over.wait(30)  # threads of a pool live on, too

    threads = [threading.Thread(target=hold, args=(i,)) for i in range(2)]
    for thread, event in zip(threads, entered):
        thread.start()
        assert event.wait(30)
    try:
        assert set(blas_threads()) == {1}
        leave[first_to_leave].set()
        assert left[first_to_leave].wait(30)
        assert set(blas_threads()) == {1}
        leave[1 - first_to_leave].set()
        assert left[1 - first_to_leave].wait(30)
        assert set(blas_threads()) == {2}
    finally:
        for event in (*leave, over):
            event.set()
        for thread in threads:
            thread.join()


def test_the_user_may_set_limits_in_any_thread_afterwards():
    with single_threaded_blas():
        pass

    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    assert set(in_another_thread(limited)) == {1}
    assert set(blas_threads()) == {2}


# The loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 7, 100])
@pytest.mark.parametrize("n_items", [0, 1, 2, 50])
def test_each_item_once(n_items, n_threads):
    done = []  # appending is atomic
    run_in_threads(done.append, n_items, n_threads)
    assert sorted(done) == list(range(n_items))


def test_one_thread_is_the_callers_and_goes_in_order():
    done = []
    run_in_threads(lambda i: done.append((i, threading.current_thread())), 5, 1)
    assert done == [(i, threading.current_thread()) for i in range(5)]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_as_many_threads_as_asked_for_work_at_once(n_threads):
    together = threading.Barrier(n_threads, timeout=30)  # breaks unless all are there at once
    run_in_threads(lambda i: together.wait(), 2 * n_threads, n_threads)


def test_threads_are_gone_afterwards():
    before = threading.active_count()
    run_in_threads(lambda i: time.sleep(0.001), 8, 4)
    assert threading.active_count() == before


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("bad", [0, 3])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_stops_the_loop_and_comes_out(n_threads, bad, error):
    done, failed = [], threading.Event()

    def work(i):
        if i == bad:
            failed.set()
            raise error(f"item {i}")
        if i > bad:
            assert failed.wait(30)
            time.sleep(0.01)  # long enough for the news to spread
        done.append(i)

    with pytest.raises(error, match=f"item {bad}"):
        run_in_threads(work, 10_000, n_threads)
    assert len(done) < 100


def test_an_error_in_the_callers_thread_waits_for_the_others():
    busy = []

    def work(i):
        if threading.current_thread() is threading.main_thread():
            while not busy:
                time.sleep(0.001)
            raise ValueError("mine")
        busy.append("begun")
        time.sleep(0.05)
        busy.append("ended")

    with pytest.raises(ValueError, match="mine"):
        run_in_threads(work, 100, 2)
    assert busy.count("begun") == busy.count("ended")


# Where no thread can be had ---------------------------------------------------------------------


@pytest.fixture(params=[0, 1])
def few_threads(request, monkeypatch):
    """A system that lets this process start so many threads more."""
    start, left = threading.Thread.start, [request.param]

    def limited(thread):
        if left[0] <= 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)


def test_a_loop_goes_on_with_the_threads_there_are(few_threads):
    done = []
    run_in_threads(done.append, 20, 4)
    assert sorted(done) == list(range(20))


def test_work_ahead_goes_on_with_the_threads_there_are(few_threads):
    assert list(work_ahead(lambda i, check: 2 * i, 20, 4, 6)) == [2 * i for i in range(20)]


def test_batches_are_read_with_the_threads_there_are(few_threads):
    images = [np.full((9, 9, 3), i, np.uint8) for i in range(7)]
    batches = [batch for _, batch, _ in iter_batches(images, crop=9, batch_size=3, n_jobs=4)]
    assert np.concatenate(batches)[:, 0, 0, 0].tolist() == list(range(7))
