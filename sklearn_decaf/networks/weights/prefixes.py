"""Names of arrays without what a training program put in front of them.

A network that is wrapped (for several devices, for compilation) or part of a larger module has
longer names: ``module.features.0.weight``, ``model.backbone.conv1.weight``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

# What torch's wrappers of modules call the module inside; they may stand anywhere in a name.
WRAPPERS = frozenset(
    [
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
    ]
)
MAX_PREFIXES = 8
_MAX_PARTS = 8  # of a name of a known layout, and more


def without_wrappers(names: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names without those of wrappers, each with its old name, and the wrappers that were there.

    Where two names would become one, all stay as they are.
    """
    names = list(names)
    found: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        parts = name.split(".")
        kept = [part for part in parts[:-1] if part not in WRAPPERS] + parts[-1:]
        seen.update(part for part in parts[:-1] if part in WRAPPERS)
        found[".".join(kept)] = name
    if len(found) < len(names):
        return {name: name for name in names}, ()
    return found, tuple(sorted(seen))


def split_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """All ways to take a prefix off names: it, and what is left."""
    return [(prefix, name[len(prefix) :]) for name in names for prefix in _prefixes(name)]


def find_prefixes(
    split: Iterable[tuple[str, str]], index: Mapping[str, Iterable[Key]]
) -> dict[Key, list[str]]:
    """For each network, given the networks that have a name: its prefixes, the most frequent first.

    One of them may be empty.
    """
    votes: dict[Key, Counter[str]] = {}
    for prefix, name in split:
        for key in index.get(name, ()):
            votes.setdefault(key, Counter())[prefix] += 1
    return {
        key: [prefix for prefix, _ in counts.most_common(MAX_PREFIXES)]
        for key, counts in votes.items()
    }


def _prefixes(name: str) -> list[str]:
    """All beginnings of a name that end in a dot or a slash, and the empty one."""
    ends, at = [0], len(name)
    while len(ends) <= _MAX_PARTS:
        at = max(name.rfind(".", 0, at), name.rfind("/", 0, at))
        if at < 0:
            break
        ends.append(at + 1)
    return [name[:end] for end in ends]
