"""Kernels bound to their arguments, and tapes of them, which run without Python.

`runner.cpp` says how they run.
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


Unit = list[Call]  # one after another
Phase = list[Unit]  # units that may run at the same time


class Tape:
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
        bound = [[[call.bound for call in unit] for unit in phase] for phase in phases]
        self.compiled = runner.tape(bound, list(inputs), list(outputs))


def run_items(
    tapes: Sequence[Tape], sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], n: int
) -> None:
    """Run n items, each on one of the tapes: as many threads as tapes.

    Parameters
    ----------
    tapes : sequence of Tape
        All alike, with buffers of their own.
    sources, targets : sequence of ndarray, C-contiguous
        For each input and output of a tape an array with n items along the first axis.
    n : int
    """
    from . import runner

    compiled = [tape.compiled for tape in tapes]
    runner.run(compiled, len(tapes), n, list(sources), list(targets), None)


def run_shared(
    tape: Tape,
    n_threads: int,
    sources: Sequence[np.ndarray] = (),
    targets: Sequence[np.ndarray] = (),
    n: int = 1,
    seconds: np.ndarray | None = None,
) -> None:
    """Run n items one after another, with threads that share the units of each phase.

    Parameters
    ----------
    tape : Tape
    n_threads : int
        No more than have a unit to run are started.
    sources, targets, n
        As for :func:`run_items`.
    seconds : ndarray of shape (n_phases,), float64, optional
        The time that each phase took is added to it.
    """
    from . import runner

    runner.run([tape.compiled], n_threads, n, list(sources), list(targets), seconds)
