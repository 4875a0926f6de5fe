"""Threads: how many to use, a loop over them, and BLAS kept to one thread inside."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import OpenBLASController, ThreadpoolController

from .locks import Lock, after_fork

Result = TypeVar("Result")


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
            "n_jobs=0: it must be None, a positive number of threads, or -1 for all cores."
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
        self._lock = Lock()
        self._users: Counter[int] = Counter()  # threads that are inside, and how often
        self._limit = None
        self.num_threads_outside = 1

    @property
    def active(self) -> bool:
        return self._limit is not None

    @contextmanager
    def __call__(self):
        me = threading.get_ident()
        with self._lock:
            if self._limit is None:
                self.num_threads_outside = min(_blas_threads(), default=1)
                _let_this_thread_set_limits()
                self._limit = _blas().limit(limits=1)
            self._users[me] += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= Counter([me])  # forgets a thread that is out
                if not self._users:
                    _let_this_thread_set_limits()
                    self._limit.restore_original_limits()
                    self._limit = None
                    _let_this_thread_set_limits()  # and then whoever asks next

    def forget_other_threads(self) -> None:
        """Leave a forked child, which has one thread, with the users that it has.

        A limit of the others stays until the next user leaves.
        """
        me = threading.get_ident()
        self._users = Counter({me: self._users[me]} if self._users[me] else ())


def _let_this_thread_set_limits() -> None:
    """From 3.8 on threadpoolctl ignores all threads but the first that set a limit of OpenBLAS."""
    forget_the_first = getattr(OpenBLASController, "clear_controlling_thread", None)
    if forget_the_first is not None:
        forget_the_first(force=True)


single_threaded_blas = _BlasLimit()
after_fork(single_threaded_blas.forget_other_threads)


def submit(
    executor: ThreadPoolExecutor, function: Callable[..., Result], *args
) -> Callable[[], Result]:
    """Have a thread call a function; what is returned waits for the result and gives it.

    Where no thread can be had, it calls the function itself: the interpreter is ending and this
    thread has outlived the main one, or the system allows no further thread.
    """
    try:
        return executor.submit(function, *args).result
    except RuntimeError:
        return partial(function, *args)


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
    items, lock, stop = iter(range(n_items)), Lock(), threading.Event()

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
        others = [submit(pool, loop) for _ in range(n_threads - 1)]
        loop()
        for wait_for in others:
            wait_for()
