"""Where chains of steps are cut: least is read again and written between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sklearn_decaf.networks.engine.chains import count_strips, split_chains
from sklearn_decaf.networks.engine.limits import Limits
from sklearn_decaf.networks.engine.memory import Maps
from sklearn_decaf.networks.engine.steps import Read, Step

LIMITS = Limits(small_map=0, strip_bytes=4096, chain_weights=1000)


def step(name: str, reads: tuple[str, ...], weights: int, side=16, by_rows=True) -> Step:
    maps = Maps(1, (side, side, 4))
    wanted = tuple(Read(source) for source in reads)
    return Step((name,), wanted, maps, lambda a, b: [], by_rows=by_rows, weight_bytes=weights)


def line(weights, side=16) -> list[Step]:
    """Steps each of which reads the one before."""
    return [step(str(i), (str(i - 1),) if i else (), w, side) for i, w in enumerate(weights)]


def names(chains) -> list[list[str]]:
    return [[each.output for each in chain] for chain in chains]


def test_small_weights_do_not_end_a_chain():
    assert names(split_chains(line([300, 300, 300]), LIMITS)) == [["0", "1", "2"]]


def test_a_chain_ends_at_a_small_map():
    steps = [*line([0, 0]), step("2", ("1",), 0, side=4), step("3", ("2",), 0)]
    limits = Limits(small_map=400, strip_bytes=4096)
    assert names(split_chains(steps, limits)) == [["0", "1", "2"], ["3"]]


def test_what_needs_all_rows_stands_alone():
    steps = [*line([0]), step("1", ("0",), 0, by_rows=False), step("2", ("1",), 0)]
    assert names(split_chains(steps, LIMITS)) == [["0"], ["1"], ["2"]]


def test_large_weights_are_not_read_for_each_strip():
    """Three maps of 4 KB are three strips: 2 MB read again, or 8 KB written and read."""
    assert names(split_chains(line([0, 10**6, 0]), LIMITS)) == [["0"], ["1"], ["2"]]


def cost(chains, steps, limits) -> int:
    """Bytes of weights read again, and of maps that are written and read between chains."""
    total = 0
    last = {s.output: i for i, each in enumerate(steps) for s in steps if s.output in each.sources}
    done = -1
    for chain in chains:
        weights = sum(each.weight_bytes for each in chain)
        if weights > limits.chain_weights:
            total += (count_strips(chain, limits) - 1) * weights
        done += len(chain)
        if done < len(steps) - 1:
            for i in range(done + 1):
                if last.get(steps[i].output, i) > done:
                    total += 2 * steps[i].nbytes
    return total


def all_cuts(steps):
    if not steps:
        yield []
    for n in range(1, len(steps) + 1):
        for rest in all_cuts(steps[n:]):
            yield [steps[:n], *rest]


@st.composite
def networks(draw) -> list[Step]:
    steps: list[Step] = []
    for i in range(draw(st.integers(1, 7))):
        earlier = [each.output for each in steps]
        reads = draw(st.sets(st.sampled_from(earlier), max_size=2)) if earlier else set()
        weights = draw(st.sampled_from([0, 100, 900, 5000, 50_000]))
        steps.append(step(str(i), tuple(reads), weights, draw(st.sampled_from([8, 16, 20]))))
    return steps


@given(networks())
def test_no_other_cut_costs_less(steps):
    chains = split_chains(steps, LIMITS)
    assert [each for chain in chains for each in chain] == steps
    best = min(cost(other, steps, LIMITS) for other in all_cuts(steps))
    assert cost(chains, steps, LIMITS) == best
