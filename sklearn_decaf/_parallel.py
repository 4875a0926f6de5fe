"""Threads: how many to use, a loop over them, and BLAS kept to one thread inside."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import OpenBLASController, ThreadpoolController


def effective_n_threads(n_jobs: int | None) -> int:
    """Turn scikit-learn's `n_jobs` into a number of threads.

    Parameters
    ----------
    n_jobs : int or None
        None uses what BLAS would: the cores this process may use, fewer within
        `threadpoolctl` limits or a worker of joblib, and one within another thread of joblib.
        A positive number is taken as it is, -1 means all cores, -2 all but one.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    """
    cores = joblib.cpu_count()
    if n_jobs is None:
        backend, _ = get_active_backend()
        nested = getattr(backend, "nesting_level", 0) and getattr(backend, "uses_threads", False)
        # a process of joblib says the same of itself, but works in its main thread
        if nested and threading.current_thread() is not threading.main_thread():
            return 1
        return max(1, min([cores, *_blas_threads()]))
    if n_jobs == 0:
        raise ValueError(
            "n_jobs=0 means nothing: give None, a positive number, or -1 for all cores"
        )
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


@cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries of this process; looking for them takes milliseconds, so once."""
    return ThreadpoolController().select(user_api="blas")


def _blas_threads() -> list[int]:
    own = [pool["num_threads"] for pool in _blas().info()]
    # while a limit of ours is in force, what BLAS had before it is what counts
    limit = single_threaded_blas
    return [limit.num_threads_outside] if limit.active else own


class _BlasLimit:
    """BLAS at one thread for as long as anybody needs it so.

    `threadpoolctl` sets a limit for the process and puts back what it found: two threads that
    enter and leave in turn would leave the limit behind. Here the first to enter sets it and the
    last to leave puts it back.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._limit = None
        self.num_threads_outside = 1

    @property
    def active(self) -> bool:
        return self._users > 0

    @contextmanager
    def __call__(self):
        with self._lock:
            if self._users == 0:
                self.num_threads_outside = min(_blas_threads(), default=1)
                _let_this_thread_set_limits()
                self._limit = _blas().limit(limits=1)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    _let_this_thread_set_limits()
                    self._limit.restore_original_limits()
                    self._limit = None
                    _let_this_thread_set_limits()  # and then whoever asks next


def _let_this_thread_set_limits() -> None:
    """From 3.8 on threadpoolctl ignores all threads but the first that set a limit of OpenBLAS."""
    forget_the_first = getattr(OpenBLASController, "clear_controlling_thread", None)
    if forget_the_first is not None:
        forget_the_first(force=True)


single_threaded_blas = _BlasLimit()
if hasattr(os, "register_at_fork"):
    # a child has none of the threads that were inside, and perhaps a lock that nobody holds
    os.register_at_fork(after_in_child=single_threaded_blas.__init__)


def run_in_threads(work: Callable[[int], None], n_items: int, n_threads: int) -> None:
    """Call ``work(i)`` for every i below `n_items`, from several threads.

    Each thread takes the next item when it is done with one. The first error stops the others
    at their next item and is raised here. Threads live for this call only, so nothing is left
    for a fork to lose.
    """
    n_threads = min(n_threads, n_items)
    if n_threads <= 1:
        for i in range(n_items):
            work(i)
        return
    items, lock, stop = iter(range(n_items)), threading.Lock(), threading.Event()

    def loop() -> None:
        try:
            while not stop.is_set():
                with lock:
                    i = next(items, None)
                if i is None:
                    return
                work(i)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(n_threads - 1, thread_name_prefix="sklearn_decaf") as pool:
        others = [pool.submit(loop) for _ in range(n_threads - 1)]
        loop()
        for other in others:
            other.result()


class ThreadTeam:
    """Threads that share the work of one call: phase by phase, all waiting for the last.

    To be used in a ``with`` statement, which ends the threads. The caller is one of them.
    """

    def __init__(self, n_threads: int):
        self._others = [_TeamThread() for _ in range(n_threads - 1)]

    def __enter__(self) -> ThreadTeam:
        for other in self._others:
            other.start()
        return self

    def __exit__(self, *error) -> None:
        for other in self._others:
            other.hand_over(None)
        for other in self._others:
            other.join()

    def run(self, phases: Sequence[Sequence[Callable[[], object]]]) -> None:
        """Make the calls of each phase at the same time, and the phases one after another."""
        n = len(self._others) + 1
        for calls in phases:
            busy = []
            for k, other in enumerate(self._others[: len(calls) - 1]):
                other.hand_over(calls[k + 1 :: n])
                busy.append(other)
            errors = []
            try:
                for call in calls[::n]:
                    call()
            except BaseException as error:
                errors.append(error)
            errors += [error for other in busy if (error := other.wait()) is not None]
            if errors:
                raise errors[0]


class _TeamThread(threading.Thread):
    """A thread that makes the calls it is handed; two locks are the fastest way to tell it."""

    def __init__(self):
        super().__init__(name="sklearn_decaf", daemon=True)
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._calls: Sequence[Callable[[], object]] | None = None
        self._error: BaseException | None = None

    def hand_over(self, calls: Sequence[Callable[[], object]] | None) -> None:
        self._calls = calls
        self._begin.release()

    def wait(self) -> BaseException | None:
        """Wait until the calls are made; the error that ended them, if any."""
        self._end.acquire()
        error, self._error = self._error, None
        return error

    def run(self) -> None:
        while True:
            self._begin.acquire()
            if self._calls is None:
                return
            try:
                for call in self._calls:
                    call()
            except BaseException as error:
                self._error = error
            self._end.release()
