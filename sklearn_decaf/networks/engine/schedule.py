"""In which order the rows of all maps are computed: depth first, so that they stay in the cache.

A map of the first layers is larger than the cache. Consecutive steps are therefore joined to a
chain, which computes a strip of rows of its last map at a time: each step before it computes just
the rows that are needed next, none twice. Of a map that is only read inside the chain, a window of
rows is kept that moves on from strip to strip.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from ... import _kernels
from ..._kernels.calls import Phase, Task
from .chains import count_strips
from .limits import Limits
from .memory import Arena, Maps
from .steps import Step

Schedule = list[tuple[Step, Phase]]  # one phase after another, each with its step
RowRanges = dict[str, tuple[int, int]]  # by step: the first row and the end that a strip computes


def strip_ranges(chain: Sequence[Step], limits: Limits) -> list[RowRanges]:
    """Decide which rows each step of a chain computes in each strip."""
    last = chain[-1]
    n_strips = count_strips(chain, limits)
    done = {step.output: 0 for step in chain}
    strips = []
    for strip in range(1, n_strips + 1):
        final = strip == n_strips
        wanted = {step.output: step.height if final else 0 for step in chain}
        wanted[last.output] = math.ceil(last.height * strip / n_strips)
        for step in reversed(chain):
            end = min(step.height, step.align(wanted[step.output]))
            wanted[step.output] = end = max(end, done[step.output])
            if end > done[step.output]:
                for read in step.reads:
                    if read.source in wanted:
                        wanted[read.source] = max(wanted[read.source], read.rows_needed(end))
        strips.append({name: (done[name], wanted[name]) for name in done})
        done = wanted
    return strips


def schedule_chain(
    chain: Sequence[Step], kept: Collection[str], arena: Arena, limits: Limits
) -> Schedule:
    """Allocate the maps of a chain, and return what computes them, a strip of rows at a time.

    Parameters
    ----------
    chain : sequence of Step
    kept : collection of str
        Layers that are read after the chain.
    arena : Arena
    limits : Limits
    """
    if not chain[0].by_rows:
        (step,) = chain
        if step.maps.array is None:
            step.maps.allocate(arena)
        return _phases(step, 0, step.height)
    strips = strip_ranges(chain, limits)
    windows = _allocate(chain, kept, strips, arena, limits)
    schedule: Schedule = []
    for maps in windows:  # the border above may be read before any row is there
        if above := _clear(maps.array[:, : maps.top]):
            schedule.append((_writers(chain, maps)[0], [above]))
    for k, ranges in enumerate(strips):
        for maps, starts in windows.items():
            writers = _writers(chain, maps)
            moves = _move_window(maps, starts[k], max(ranges[step.output][0] for step in writers))
            if moves:
                schedule.append((writers[0], [moves]))
        for step in chain:
            first, end = ranges[step.output]
            if end > first:
                schedule += _phases(step, first, end)
                maps = step.maps.storage
                if maps in windows and end == maps.shape[0]:
                    below = maps.row(end)
                    if fills := _clear(maps.array[:, below : below + maps.pads[0][1]]):
                        schedule.append((step, [fills]))
    for maps in windows:
        maps.base = 0
    return schedule


def _allocate(
    chain: Sequence[Step],
    kept: Collection[str],
    strips: list[RowRanges],
    arena: Arena,
    limits: Limits,
) -> dict[Maps, list[int]]:
    """Take memory for the maps of a chain: for all rows, or for a window of them.

    Returned are the maps that have a window, with its first row, border included, in each strip.
    """
    windows = {}
    for maps in dict.fromkeys(step.maps.storage for step in chain):
        if maps.array is not None:  # by an earlier chain
            continue
        writers = _writers(chain, maps)
        if len(strips) == 1 or any(step.output in kept for step in writers):
            maps.allocate(arena)
            continue
        starts, n_rows = _window(maps, writers, chain, strips)
        if n_rows > limits.window_share * maps.height:
            maps.allocate(arena)
        else:
            maps.allocate(arena, n_rows)
            windows[maps] = starts
    return windows


def _writers(chain: Sequence[Step], maps: Maps) -> list[Step]:
    """The steps that write into some memory: several into that of a concatenation."""
    return [step for step in chain if step.maps.storage is maps]


def _window(
    maps: Maps, writers: list[Step], chain: Sequence[Step], strips: list[RowRanges]
) -> tuple[list[int], int]:
    """The first row, border included, that each strip needs, and the rows it takes at most."""
    names = {step.output for step in writers}
    reads = [
        (step, read)
        for step in chain
        if step not in writers
        for read in step.reads
        if read.source in names
    ]
    starts, n_rows = [], 0
    for ranges in strips:
        needed = [ranges[step.output][0] for step in writers]
        for step, read in reads:
            first, _ = ranges[step.output]
            if first < step.height:
                needed.append(first * read.stride - read.before)
        start = max(0, maps.top + min(needed))
        start = max(start, starts[-1]) if starts else 0
        end = max(maps.top + step.reach(ranges[step.output][1]) for step in writers)
        if end == maps.top + maps.shape[0]:
            end = maps.height
        starts.append(start)
        n_rows = max(n_rows, end - start)
    return starts, n_rows


def _move_window(maps: Maps, start: int, done: int) -> Task:
    """Let the window begin at row `start`; the calls that move the rows that are kept."""
    shift, maps.base = start - maps.base, start
    end = maps.height if done == maps.shape[0] else maps.top + done  # with the border below
    n_kept = end - start
    if shift == 0 or n_kept <= 0:
        return []
    copy = _kernels.kernels.bind_copy
    return [copy(rows[shift : shift + n_kept], rows[:n_kept]) for rows in maps.array]


def _clear(border: np.ndarray) -> Task:
    """The calls that write zeros to the rows (n, rows, wp, c) of a border."""
    return [_kernels.kernels.bind_fill(rows, 0) for rows in border] if border.size else []


def _phases(step: Step, first: int, end: int) -> Schedule:
    return [(step, phase) for phase in step.compute(first, end) if phase]
