"""A tape: what computes a pass, compiled calls and Python functions, in order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from ...._kernels.calls import CallList, Phase, Task, run_shared

Seconds = dict[Hashable, float]  # by what was computed


class Tape:
    """Calls and functions that are run one after another, by one thread.

    Calls that follow each other run without the interpreter. Work that is added may use arrays
    that are there already, as all of it is bound when it is added.

    Attributes
    ----------
    topic : hashable
        What is being computed: the time of all that is added counts for it.
    """

    def __init__(self):
        self.topic: Hashable = None
        self._parts: list[_Calls | _Function] = []
        self._open: list[tuple[Phase, Hashable]] = []

    def calls(self, task: Task) -> None:
        """Add calls, to be run one after another."""
        self.phases([[task]] if task else [])

    def phases(self, phases: list[Phase]) -> None:
        """Add phases of calls."""
        self._open += [(phase, self.topic) for phase in phases if phase]

    def function(self, function: Callable[[], None]) -> None:
        """Add a function of Python."""
        self._close()
        self._parts.append(_Function(function, self.topic))

    def run(self, seconds: Seconds | None = None) -> None:
        """Run all that was added; with `seconds`, add the time of each topic."""
        self._close()
        for part in self._parts:
            part.run(seconds)

    def _close(self) -> None:
        if self._open:
            self._parts.append(_Calls(*zip(*self._open)))
            self._open = []


@contextmanager
def timed(seconds: Seconds | None, topic: Hashable) -> Iterator[None]:
    """Add the time of a ``with`` statement to that of a topic, if it is wanted."""
    start = perf_counter()
    yield
    if seconds is not None:
        seconds[topic] = seconds.get(topic, 0.0) + perf_counter() - start


class _Calls:
    def __init__(self, phases: tuple[Phase, ...], topics: tuple[Hashable, ...]):
        self._list = CallList(phases)
        self._topics = topics

    def run(self, seconds: Seconds | None) -> None:
        if seconds is None:
            run_shared(self._list, 1)
            return
        times = np.zeros(len(self._topics))
        run_shared(self._list, 1, seconds=times)
        for topic, time in zip(self._topics, times):
            seconds[topic] = seconds.get(topic, 0.0) + float(time)


class _Function:
    def __init__(self, function: Callable[[], None], topic: Hashable):
        self._function = function
        self._topic = topic

    def run(self, seconds: Seconds | None) -> None:
        with timed(seconds, self._topic):
            self._function()
