"""Which consecutive steps are computed together, a strip of rows at a time.

A chain of steps keeps its maps in the cache, strip by strip, but reads the weights of all its
convolutions again for each strip. Where they are larger than the cache, that costs more than what
it saves: the chain is cut where the least has to be written to memory and read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from .limits import Limits
from .steps import Step

MOST_STEPS = 64  # of a chain that was cut


def count_strips(chain: Sequence[Step], limits: Limits) -> int:
    """Count the strips of rows that a chain is computed in."""
    total = sum(step.nbytes for step in chain)
    return min(max(1, round(total / limits.strip_bytes)), chain[-1].height)


def split_chains(steps: Sequence[Step], limits: Limits) -> list[list[Step]]:
    """Cut the steps, in order, into chains.

    Each ends at a small map, which stays in the cache as a whole, or where it costs the least.
    """
    crossing = _crossing(steps)
    chains = []
    first = 0
    for i, step in enumerate(steps):
        if not step.by_rows and first < i:
            chains += _cut(steps, first, i, crossing, limits)
            first = i
        if not step.by_rows or step.nbytes <= limits.small_map:
            chains += _cut(steps, first, i + 1, crossing, limits)
            first = i + 1
    return chains + (_cut(steps, first, len(steps), crossing, limits) if first < len(steps) else [])


def _crossing(steps: Sequence[Step]) -> list[int]:
    """Bytes of the maps that are computed up to each step and read after it."""
    place = {step.output: i for i, step in enumerate(steps)}
    last = list(range(len(steps)))  # of the steps that read each map
    for i, step in enumerate(steps):
        for source in step.sources:
            if source in place:
                last[place[source]] = i
    changes = [0] * (len(steps) + 1)
    for i, step in enumerate(steps):
        changes[i] += step.nbytes
        changes[last[i]] -= step.nbytes
    total, crossing = 0, []
    for change in changes[:-1]:
        total += change
        crossing.append(total)
    return crossing


def _cut(
    steps: Sequence[Step], first: int, end: int, crossing: Sequence[int], limits: Limits
) -> list[list[Step]]:
    """Cut steps `first` to `end` into chains, for the least bytes that come from memory."""
    whole = list(steps[first:end])
    if _read_again(whole, limits) == 0:
        return [whole]
    # the fewest bytes up to each step, and where the last chain up to there begins
    best: dict[int, tuple[int, int]] = {first: (0, first)}
    for i in range(first + 1, end + 1):
        options = []
        for start in range(max(first, i - MOST_STEPS), i):
            # what crosses the cut is written, and read
            cut = 2 * crossing[start - 1] if start > first else 0
            nbytes = _read_again(steps[start:i], limits)
            options.append((best[start][0] + cut + nbytes, start))
        best[i] = min(options)
    chains: list[list[Step]] = []
    while end > first:
        start = best[end][1]
        chains.insert(0, list(steps[start:end]))
        end = start
    return chains


def _read_again(chain: Sequence[Step], limits: Limits) -> int:
    """Bytes of weights that the strips of a chain after the first read from memory."""
    weights = sum(step.weight_bytes for step in chain)
    if weights <= limits.chain_weights:
        return 0
    return (count_strips(chain, limits) - 1) * weights
