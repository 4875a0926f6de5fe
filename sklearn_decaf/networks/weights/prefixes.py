"""Names of arrays without what a training program put in front of them.

A network that is wrapped (for several devices, for compilation) or part of a larger module has
longer names: ``module.features.0.weight``, ``model.backbone.conv1.weight``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

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


def find_prefixes(split: Iterable[tuple[str, str]], expected: Mapping[str, object]) -> list[str]:
    """Prefixes of names that are expected, the most frequent first; one may be empty."""
    votes = Counter(prefix for prefix, name in split if name in expected)
    return [prefix for prefix, _ in votes.most_common(MAX_PREFIXES)]


def _prefixes(name: str) -> list[str]:
    """All beginnings of a name that end in a dot or a slash, and the empty one."""
    ends, at = [0], len(name)
    while len(ends) <= _MAX_PARTS:
        at = max(name.rfind(".", 0, at), name.rfind("/", 0, at))
        if at < 0:
            break
        ends.append(at + 1)
    return [name[:end] for end in ends]
