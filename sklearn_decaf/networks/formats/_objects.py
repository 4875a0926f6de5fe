"""Arrays in an unpickled object: where they are among dicts, lists and objects that are not made.

A training checkpoint is a dict in which the weights are one entry of many, at any depth; beside
them are the optimizer's numbers, the arguments of the program, losses, schedules. All is walked
through, and what is not an array is passed over.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ._arrays import PickledArray
from ._messages import describe
from ._pickle import Foreign

MAX_DEPTH = 24
MAX_TIMES = 4  # that one object is looked into, on different ways there
MAX_ITEMS = 10_000  # of a list; no network is further down
MAX_FOUND = 100_000
MAX_WAITING = 200_000
MAX_NAME = 1000

Keys = tuple[str, ...]


def find_leaves(value: object, wanted: Callable[[object], bool]) -> list[tuple[Keys, object]]:
    """The wanted objects inside another one, with the keys that lead there, in the file's order.

    A module of torch is one step: its parameters and buffers, and those of the modules in it, have
    the names that its state dict would give them for a key, such as ``"features.0.weight"``.

    Objects may hold one another in circles, and hundreds of ways may lead to one. Those nearest to
    the outermost are looked at first, each a few times at most, and there is an end: time and
    memory stay proportional to the number of objects.
    """
    if wanted(value):
        return [((), value)]
    found: list[tuple[tuple[int, ...], Keys, object]] = []
    times: Counter[int] = Counter()
    waiting: deque[_Place] = deque([_Place(value)])
    while waiting:
        place = waiting.popleft()
        for i, (key, child) in enumerate(_children(place.value, wanted)):
            if wanted(child):
                inner = place.inside(i, key, child)
                if len(found) < MAX_FOUND and sum(map(len, inner.keys)) <= MAX_NAME:
                    found.append((inner.order, inner.keys, child))
            elif isinstance(child, _HOLDERS):
                times[id(child)] += 1
                seldom = times[id(child)] <= MAX_TIMES and len(waiting) < MAX_WAITING
                if seldom and len(place.order) < MAX_DEPTH:
                    waiting.append(place.inside(i, key, child))
    return [(keys, leaf) for _, keys, leaf in sorted(found, key=lambda one: one[0])]


def describe_foreign(value: object) -> str:
    """Describe an object without arrays: the first that was not made inside it, or its type."""
    foreign = find_leaves(value, lambda one: isinstance(one, Foreign))
    return describe(foreign[0][1] if foreign else value)


def is_module(value: object) -> bool:
    """Tell whether an object that was not made is a module of torch."""
    state = value.state if isinstance(value, Foreign) else None
    return isinstance(state, dict) and {"_parameters", "_buffers", "_modules"} <= state.keys()


_HOLDERS = (dict, list, tuple, Foreign, PickledArray)


@dataclass(frozen=True, slots=True)
class _Place:
    """An object, and the way there: positions among siblings, and keys."""

    value: object
    order: tuple[int, ...] = ()
    keys: Keys = ()
    dotted: bool = False  # inside a module: the last key grows

    def inside(self, position: int, key: str | None, value: object) -> _Place:
        if key is None:
            keys = self.keys
        elif self.dotted:
            keys = (*self.keys[:-1], f"{self.keys[-1]}.{key}")
        else:
            keys = (*self.keys, key)
        dotted = self.dotted or (is_module(self.value) and key is not None)
        return _Place(value, (*self.order, position), keys, dotted)


def _children(value: object, wanted: Callable) -> Iterable[tuple[str | None, object]]:
    """Parts of an object by keys; None where the part stands for the whole."""
    match value:
        case dict():
            return value.items()
        case list() | tuple():
            return _by_position(value, wanted)
        case PickledArray():  # of objects
            objects = value.objects or []
            alone = value.shape == ()
            return ((None, one) for one in objects) if alone else _by_position(objects, wanted)
        case Foreign():
            return _attributes(value)
    return ()


def _attributes(value: Foreign) -> list[tuple[str | None, object]]:
    if is_module(value):
        parts = (value.state[name] for name in ("_parameters", "_buffers", "_modules"))
        return [item for part in parts if isinstance(part, dict) for item in part.items()]
    state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
    inside: list[tuple[str | None, object]] = [*value.items.items()]
    inside += state.items() if isinstance(state, dict) else ()
    return inside + [(None, part) for part in value.arguments if isinstance(part, dict)]


def _by_position(items, wanted: Callable) -> Iterable[tuple[str, object]]:
    if len(items) == 2 and all(map(wanted, items)):
        return zip(("kernel", "bias"), items)
    return ((str(i), item) for i, item in enumerate(items[:MAX_ITEMS]))
