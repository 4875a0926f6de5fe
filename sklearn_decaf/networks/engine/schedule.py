"""In which order the rows of all maps are computed: depth first, so that they stay in the cache.

A map of the first layers is larger than the cache. Consecutive steps are therefore joined to a
chain, which computes a strip of rows of its last map at a time: each step before it computes just
the rows that are needed next, none twice. Of a map that is only read inside the chain, a window of
rows is kept that moves on from strip to strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ... import _kernels
from ..._kernels.calls import Phase, Unit
from .memory import Arena, Maps

# A chain ends at maps smaller than this: they stay in the cache as a whole.
SMALL_MAP = 320 * 1024
# What the strips of a chain's maps take together, at most; about half of a level 2 cache.
STRIP_BYTES = 512 * 1024
# A window larger than this share of a map is not worth its moves.
WINDOW_SHARE = 0.75

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
    maps : Maps
        What it computes.
    compute : callable
        Called with the first row and the end; returns the phases that compute these rows.
    stride, before : int
        Row y reads rows of the sources from ``y * stride - before`` on.
    rows_needed : callable
        The number of rows of the sources it takes to compute the first so many rows.
    align : callable
        The number of rows that are complete where so many are wanted.
    reach : callable
        The number of rows that are written to when so many are completed.
    by_rows : bool
        Whether the step can compute some of its rows; if not, it stands alone.
    """

    output: str
    layers: tuple[str, ...]
    sources: tuple[str, ...]
    maps: Maps
    compute: Callable[[int, int], list[Phase]]
    stride: int = 1
    before: int = 0
    rows_needed: Callable[[int], int] = lambda end: end
    align: Callable[[int], int] = lambda end: end
    reach: Callable[[int], int] = lambda end: end
    by_rows: bool = True

    @property
    def height(self) -> int:
        return self.maps.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of the map."""
        return 4 * self.maps.n * math.prod(self.maps.shape)


Ranges = dict[str, tuple[int, int]]  # by step: the first row and the end that a strip computes


def split_chains(steps: Sequence[Step]) -> list[list[Step]]:
    """Cut the steps, in order, into chains."""
    chains: list[list[Step]] = [[]]
    for step in steps:
        if not step.by_rows and chains[-1]:
            chains.append([])
        chains[-1].append(step)
        if not step.by_rows or step.nbytes <= SMALL_MAP:
            chains.append([])
    return [chain for chain in chains if chain]


def strips(chain: Sequence[Step]) -> list[Ranges]:
    """Which rows each step of a chain computes in each strip."""
    last = chain[-1]
    total = sum(step.nbytes for step in chain)
    n_strips = min(max(1, round(total / STRIP_BYTES)), last.height)
    done = {step.output: 0 for step in chain}
    result = []
    for strip in range(1, n_strips + 1):
        final = strip == n_strips
        wanted = {step.output: step.height if final else 0 for step in chain}
        wanted[last.output] = math.ceil(last.height * strip / n_strips)
        for step in reversed(chain):
            end = min(step.height, step.align(wanted[step.output]))
            wanted[step.output] = end = max(end, done[step.output])
            if end > done[step.output]:
                for source in step.sources:
                    if source in wanted:
                        wanted[source] = max(wanted[source], step.rows_needed(end))
        result.append({name: (done[name], wanted[name]) for name in done})
        done = wanted
    return result


def schedule(chain: Sequence[Step], kept: Collection[str], arena: Arena) -> Schedule:
    """Allocate the maps of a chain, and return what computes them, a strip of rows at a time.

    Parameters
    ----------
    chain : sequence of Step
    kept : collection of str
        Layers that are read after the chain.
    arena : Arena
    """
    if not chain[0].by_rows:
        (step,) = chain
        if step.maps.array is None:
            step.maps.allocate(arena)
        return _phases(step, 0, step.height)
    plan = strips(chain)
    bases = {}  # by the maps that own memory and have a window: its first row in each strip
    for maps in dict.fromkeys(step.maps.storage for step in chain):
        writers = [step for step in chain if step.maps.storage is maps]
        if maps.array is not None:  # by an earlier chain
            continue
        if len(plan) == 1 or any(step.output in kept for step in writers):
            maps.allocate(arena)
            continue
        names = {step.output for step in writers}
        readers = [step for step in chain if names.intersection(step.sources)]
        readers = [step for step in readers if step not in writers]
        starts, n_rows = _window(maps, writers, readers, plan)
        if n_rows > WINDOW_SHARE * maps.height:
            maps.allocate(arena)
        else:
            maps.allocate(arena, n_rows)
            bases[maps] = starts
    result: Schedule = []
    for k, ranges in enumerate(plan):
        for maps, starts in bases.items():
            writers = [step for step in chain if step.maps.storage is maps]
            moves = _move_window(maps, starts[k], max(ranges[step.output][0] for step in writers))
            if moves:
                result.append((writers[0], [moves]))
        for step in chain:
            first, end = ranges[step.output]
            if end > first:
                result += _phases(step, first, end)
                maps = step.maps.storage
                if maps in bases and (fills := _clear_border(maps, first, end)):
                    result.append((step, [fills]))
    for maps in bases:
        maps.base = 0
    return result


def _window(maps: Maps, writers, readers, plan: list[Ranges]) -> tuple[list[int], int]:
    """The first row, border included, that each strip needs, and the rows it takes at most."""
    starts, n_rows = [], 0
    for ranges in plan:
        written = min(ranges[step.output][0] for step in writers)
        first = min(
            [written]
            + [
                ranges[step.output][0] * step.stride - step.before
                for step in readers
                if ranges[step.output][0] < step.height
            ]
        )
        start = max(0, maps.top + first)
        start = max(start, starts[-1]) if starts else 0
        end = max(maps.top + step.reach(ranges[step.output][1]) for step in writers)
        if end == maps.top + maps.shape[0]:
            end = maps.height
        starts.append(start)
        n_rows = max(n_rows, end - start)
    return starts, n_rows


def _move_window(maps: Maps, start: int, done: int) -> Unit:
    """Let the window begin at row `start`; the calls that move the rows that are kept."""
    shift, maps.base = start - maps.base, start
    end = maps.height if done == maps.shape[0] else maps.top + done  # with the border below
    n_kept = end - start
    if shift == 0 or n_kept <= 0:
        return []
    copy = _kernels.kernels.bind_copy
    return [copy(rows[shift : shift + n_kept], rows[:n_kept]) for rows in maps.array]


def _clear_border(maps: Maps, first: int, end: int) -> Unit:
    """The calls that write the border above the first row and below the last."""
    parts = []
    if first == 0:
        parts.append(maps.array[:, : max(0, maps.row(0))])
    if end == maps.shape[0]:
        below = maps.row(end)
        parts.append(maps.array[:, below : below + maps.pads[0][1]])
    fill = _kernels.kernels.bind_fill
    return [fill(rows, 0) for part in parts if part.size for rows in part]


def _phases(step: Step, first: int, end: int) -> Schedule:
    return [(step, phase) for phase in step.compute(first, end) if phase]
