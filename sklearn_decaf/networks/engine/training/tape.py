"""A tape: what computes a pass, compiled calls and Python functions, in order."""

from __future__ import annotations

from collections.abc import Callable

from ...._kernels.calls import CallList, Phase, Task, run_shared


class Tape:
    """Calls and functions that are run one after another, by one thread.

    Calls that follow each other run without the interpreter. Work that is added may use arrays
    that are there already, as all of it is bound when it is added.
    """

    def __init__(self):
        self._parts: list[Callable[[], None]] = []
        self._open: list[Phase] = []

    def calls(self, task: Task) -> None:
        """Add calls, to be run one after another."""
        if task:
            self._open.append([task])

    def phases(self, phases: list[Phase]) -> None:
        """Add phases of calls."""
        self._open += phases

    def function(self, function: Callable[[], None]) -> None:
        """Add a function of Python."""
        self._close()
        self._parts.append(function)

    def run(self) -> None:
        """Run all that was added."""
        self._close()
        for part in self._parts:
            part()

    def _close(self) -> None:
        if not self._open:
            return
        phases = [phase for phase in self._open if phase]
        self._open = []
        if phases:
            call_list = CallList(phases)
            self._parts.append(lambda: run_shared(call_list, 1))
