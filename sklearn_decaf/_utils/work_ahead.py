"""A loop whose items several threads work on ahead of the one who takes the results, in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

from .parallel import submit

Result = TypeVar("Result")


def work_ahead(
    work: Callable[[int, Callable[[], None]], Result], n_items: int, n_threads: int, n_ahead: int
) -> Iterator[Result]:
    """Yield ``work(0, check)``, ``work(1, check)``, ..., which threads compute ahead.

    Each thread takes the next item when it is done with one, as long as fewer than `n_ahead` items
    are begun whose results were not taken: whoever takes them may be slow now and then, and memory
    stays bounded. An error is raised in place of the result of its item, so the first in the order
    of the items is the one that is seen.

    Parameters
    ----------
    work : callable
        Gets the number of an item, and a function to call now and then: it raises when the result
        is not wanted any more.
    n_items, n_threads, n_ahead : int

    Notes
    -----
    The threads are gone when the generator is finished or closed. Where none can be started, the
    caller's own does the work.
    """
    stop, process = threading.Event(), os.getpid()

    def check() -> None:
        if stop.is_set():
            raise CancelledError

    n_workers = max(1, min(n_threads, n_items))
    executor = ThreadPoolExecutor(n_workers, thread_name_prefix="sklearn_decaf")
    waiting: deque[Callable[[], Result]] = deque()
    try:
        for i in range(n_items):
            waiting.append(submit(executor, work, i, check))
            if len(waiting) >= n_ahead:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:  # the last item, an error, Ctrl-C, or a caller who stopped early
        if os.getpid() == process:  # and not a copy in a forked child, which has no such threads
            stop.set()
            executor.shutdown(cancel_futures=True)
