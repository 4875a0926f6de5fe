"""Kernels bound to their arguments, and lists of them, which run without Python.

A :class:`Call` is one kernel on fixed arrays, a task a few calls one after another, a phase tasks
that may run at the same time, and a :class:`CallList` phases one after another. `runner.cpp` says
how they run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Call:
    """A kernel bound to its arguments, which it keeps alive. Calling it runs the kernel."""

    __slots__ = ("bound",)

    def __init__(self, bound):
        self.bound = bound  # what a function of a compiled module returned

    def __call__(self) -> None:
        from . import runner

        runner.run_call(self.bound)


Task = list[Call]  # one after another
Phase = list[Task]  # tasks that may run at the same time


class CallList:
    """Phases of calls on fixed arrays, for one caller at a time.

    Parameters
    ----------
    phases : sequence of phases
        Run one after another.
    inputs : sequence of ndarray, C-contiguous
        An item is copied here before its turn.
    outputs : sequence of ndarray, C-contiguous
        Copied from here afterwards.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        inputs: Sequence[np.ndarray] = (),
        outputs: Sequence[np.ndarray] = (),
    ):
        from . import runner

        self.n_phases = len(phases)
        bound = [[[call.bound for call in task] for task in phase] for phase in phases]
        self.compiled = runner.call_list(bound, list(inputs), list(outputs))


def run_items(
    call_lists: Sequence[CallList],
    sources: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    n: int,
) -> None:
    """Run n items, each on one of the call lists: as many threads as lists.

    Parameters
    ----------
    call_lists : sequence of CallList
        All alike, with buffers of their own.
    sources, targets : sequence of ndarray, C-contiguous
        For each input and output of a call list an array with n items along the first axis.
    n : int
    """
    from . import runner

    compiled = [each.compiled for each in call_lists]
    runner.run(compiled, len(compiled), n, list(sources), list(targets), None)


def run_shared(
    call_list: CallList,
    n_threads: int,
    sources: Sequence[np.ndarray] = (),
    targets: Sequence[np.ndarray] = (),
    n: int = 1,
    seconds: np.ndarray | None = None,
) -> None:
    """Run n items one after another, with threads that share the tasks of each phase.

    Parameters
    ----------
    call_list : CallList
    n_threads : int
        No more than have a task to run are started.
    sources, targets, n
        As for :func:`run_items`.
    seconds : ndarray of shape (n_phases,), float64, optional
        The time that each phase took is added to it.
    """
    from . import runner

    runner.run([call_list.compiled], n_threads, n, list(sources), list(targets), seconds)
