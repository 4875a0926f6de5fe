"""Arrays in an unpickled object: where they are among dicts, lists and objects that are not made.

A training checkpoint is a dict in which the weights are one entry of many, at any depth; beside
them are the optimizer's numbers, the arguments of the program, losses, schedules. All is walked
through, and what is not an array is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...exceptions import WeightsError
from ._arrays import PickledArray
from ._messages import describe
from ._pickle import Foreign

MAX_DEPTH = 24
MAX_VISITS = 3_000_000
MAX_LEAVES = 50_000
MAX_NAME = 1000

Keys = tuple[str, ...]


def find_leaves(value: object, wanted: Callable[[object], bool]) -> list[tuple[Keys, object]]:
    """All wanted objects inside another one, with the keys that lead there.

    A module of torch is one step: its parameters and buffers, and those of the modules in it, have
    the names that its state dict would give them for a key, such as ``"features.0.weight"``.
    """
    walk = _Walk(wanted)
    walk.visit(value, (), 0, dotted=False)
    return walk.found


def describe_foreign(value: object) -> str:
    """What an object without arrays is: the first that was not made inside it, or its type."""
    foreign = find_leaves(value, lambda one: isinstance(one, Foreign))
    return describe(foreign[0][1] if foreign else value)


def is_module(value: object) -> bool:
    """Whether an object that was not made is a module of torch."""
    state = value.state if isinstance(value, Foreign) else None
    return isinstance(state, dict) and {"_parameters", "_buffers", "_modules"} <= state.keys()


class _Walk:
    def __init__(self, wanted: Callable[[object], bool]):
        self.wanted = wanted
        self.found: list[tuple[Keys, object]] = []
        self.left = MAX_VISITS
        self.on_path: set[int] = set()
        self.barren: set[int] = set()  # nothing is in them, wherever they are met again

    def visit(self, value: object, keys: Keys, depth: int, *, dotted: bool) -> bool:
        """Note what is in an object; whether there was anything, or may be too deep inside."""
        self.left -= 1
        if self.left < 0:
            raise WeightsError("its objects are entangled in a way that no program leaves them")
        if self.wanted(value):
            if len(self.found) >= MAX_LEAVES or sum(map(len, keys)) > MAX_NAME:
                raise WeightsError(f"more than {MAX_LEAVES} arrays, or one with a very long name")
            self.found.append((keys, value))
            return True
        if not isinstance(value, dict | list | tuple | Foreign | PickledArray):
            return False
        identity = id(value)
        if identity in self.barren or identity in self.on_path:
            return False
        if depth >= MAX_DEPTH:
            return True
        self.on_path.add(identity)
        fruitful = False
        for key, child in self.children(value):
            if key is None:
                inner = keys
            elif dotted:
                inner = (*keys[:-1], f"{keys[-1]}.{key}")
            else:
                inner = (*keys, key)
            below = dotted or (is_module(value) and key is not None)
            fruitful |= self.visit(child, inner, depth + 1, dotted=below)
        self.on_path.remove(identity)
        if not fruitful:
            self.barren.add(identity)
        return fruitful

    def children(self, value: object) -> Iterable[tuple[str | None, object]]:
        """What an object holds, by keys; None where the part stands for the whole."""
        match value:
            case dict():
                return value.items()
            case list() | tuple():
                return self.by_position(value)
            case PickledArray():  # of objects
                objects = value.objects or []
                alone = value.shape == ()
                return ((None, one) for one in objects) if alone else self.by_position(objects)
        if is_module(value):
            parts = (value.state[name] for name in ("_parameters", "_buffers", "_modules"))
            return [item for part in parts if isinstance(part, dict) for item in part.items()]
        state = value.state[0] if isinstance(value.state, tuple) and value.state else value.state
        inside = [*value.items.items(), *(state.items() if isinstance(state, dict) else ())]
        return inside + [(None, part) for part in value.arguments if isinstance(part, dict)]

    def by_position(self, items) -> Iterable[tuple[str, object]]:
        if len(items) == 2 and all(map(self.wanted, items)):
            return zip(("kernel", "bias"), items)
        return ((str(i), item) for i, item in enumerate(items))
