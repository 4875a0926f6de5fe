"""In which order the rows of all maps are computed: depth first, so that they stay in the cache.

A map of the first layers is larger than the cache. Consecutive steps are therefore joined to a
chain, which computes a strip of rows of its last map at a time: each step before it computes just
the rows that are needed next, none twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# A chain ends at maps smaller than this: they stay in the cache as a whole.
SMALL_MAP = 320 * 1024
# What the strips of a chain's maps take together, at most; about half of a level 2 cache.
STRIP_BYTES = 512 * 1024

Call = Callable[[], object]
Phase = list[Call]  # calls that may run at the same time
Schedule = list[tuple["Step", Phase]]  # one phase after another, each with its step


@dataclass(eq=False)
class Step:
    """What computes one map, or copies it.

    Parameters
    ----------
    output : str
    layers : tuple of str
        The layers it computes, the last is `output`.
    sources : tuple of str
        The maps it reads.
    height : int
        Rows of the map.
    nbytes : int
        Size of the map.
    rows_needed : callable
        The number of rows of the sources it takes to compute the first so many rows.
    compute : callable
        Called with the first row and the end; returns the phases that compute these rows.
    align : callable
        The number of rows that are computed at once where so many are wanted.
    by_rows : bool
        Whether the step can compute some of its rows; if not, it stands alone.
    """

    output: str
    layers: tuple[str, ...]
    sources: tuple[str, ...]
    height: int
    nbytes: int
    rows_needed: Callable[[int], int]
    compute: Callable[[int, int], list[Phase]]
    align: Callable[[int], int] = lambda end: end
    by_rows: bool = True


class Scheduler:
    """Collects steps, in order, and returns the schedules of whole chains."""

    def __init__(self, *, strip_bytes: int = STRIP_BYTES):
        self._strip_bytes = strip_bytes
        self._chain: list[Step] = []

    def add(self, step: Step) -> Schedule | None:
        """Add a step; the schedule of the chain that it ends, or None if the chain goes on."""
        if not step.by_rows:
            return self.flush() + _phases(step, 0, step.height)
        self._chain.append(step)
        return self.flush() if step.nbytes <= SMALL_MAP else None

    def flush(self) -> Schedule:
        """The schedule of the chain so far."""
        chain, self._chain = self._chain, []
        return schedule(chain, self._strip_bytes) if chain else []


def schedule(chain: Sequence[Step], strip_bytes: int) -> Schedule:
    """Phases that compute all maps of a chain, a strip of rows at a time."""
    last = chain[-1]
    total = sum(step.nbytes for step in chain)
    n_strips = min(max(1, round(total / strip_bytes)), last.height)
    done = {step.output: 0 for step in chain}
    phases: Schedule = []
    for strip in range(1, n_strips + 1):
        final = strip == n_strips
        wanted = {step.output: step.height if final else 0 for step in chain}
        wanted[last.output] = math.ceil(last.height * strip / n_strips)
        for step in reversed(chain):
            end = min(step.height, step.align(wanted[step.output]))
            wanted[step.output] = max(end, done[step.output])
            for source in step.sources:
                if source in wanted:
                    needed = step.rows_needed(wanted[step.output])
                    wanted[source] = max(wanted[source], needed)
        for step in chain:
            if wanted[step.output] > done[step.output]:
                phases += _phases(step, done[step.output], wanted[step.output])
                done[step.output] = wanted[step.output]
    return phases


def _phases(step: Step, first: int, end: int) -> Schedule:
    return [(step, phase) for phase in step.compute(first, end) if phase]
