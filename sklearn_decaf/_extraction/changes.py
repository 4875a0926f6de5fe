"""Messages about what has changed since an output was begun, and what to do."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np

from .file_list import FileList
from .formats import as_text

_OF_THE_PATHS = {"n_images", "paths_sha256"}


def describe_changes(
    before: dict, now: dict, names_before: Callable[[], FileList | None], files: FileList
) -> str:
    """Say how settings and photographs differ from those of an output that was begun.

    Parameters
    ----------
    before, now : dict
        Settings.
    names_before : callable
        Returns the names of the photographs of before, as text, or None if nobody knows.
    files : FileList
        The photographs of now.

    Returns
    -------
    text : str
        Continues a sentence whose subject is the output.
    """
    others = [
        f"{name}: {before.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted({*before, *now} - _OF_THE_PATHS)
        if before.get(name) != now.get(name)
    ]
    if others:
        return (
            f"was made with other settings ({'; '.join(others)}): choose another name, remove it, "
            "or go on with the settings of before"
        )
    old = names_before()
    changes = (
        f"{before['n_images']} photographs there, {len(files)} now"
        if old is None
        else compare_names(old, FileList(as_text(files.name(row)) for row in range(len(files))))
    )
    return (
        f"holds the features of other photographs ({changes}): pass the paths of before to go on "
        "with it, extract what was added into an output of its own, or choose another name; with "
        "a cache (cache=, --cache), used from the first call on, nothing is computed twice"
    )


def compare_names(before: FileList, now: FileList) -> str:
    """Say which names were added, removed, moved or renamed, with numbers and examples."""
    old, new = _hashes(before), _hashes(now)
    removed = np.flatnonzero(~np.isin(old, new))
    added = np.flatnonzero(~np.isin(new, old))
    if not len(removed) and not len(added):
        if len(before) == len(now) and np.array_equal(np.sort(old), np.sort(new)):
            return f"the same {len(now)}, in another order"
        return f"the same ones, but some more often than once: {len(before)} there, {len(now)} now"

    # of the same name, in another folder
    base = {os.path.basename(before.name(row)): row for row in removed}
    moved = [(base.pop(name), row) for row in added if (name := _base(now, row)) in base]
    removed = sorted({*removed} - {row for row, _ in moved})
    added = sorted({*added} - {row for _, row in moved})
    words = []
    if moved:
        first, second = moved[0]
        words.append(f"{len(moved)} moved, {before.name(first)!r} to {now.name(second)!r}")
    if added and len(added) == len(removed):
        words.append(
            f"{len(added)} renamed or replaced: {_examples(before, removed)} not there any more, "
            f"{_examples(now, added)} new"
        )
    else:
        words += [f"{len(added)} added: {_examples(now, added)}"] if added else []
        words += [f"{len(removed)} removed: {_examples(before, removed)}"] if removed else []
    return f"{len(before)} there, {len(now)} now; {'; '.join(words)}"


def _examples(files: FileList, rows: Sequence[int]) -> str:
    shown = ", ".join(repr(files.name(row)) for row in rows[:3])
    return shown + (", ..." if len(rows) > 3 else "")


def _base(files: FileList, row: int) -> str:
    return os.path.basename(files.name(row))


def _hashes(files: FileList) -> np.ndarray:
    """A number for each name: ten million of them take 80 MB, as strings they would take 1 GB."""
    digests = (
        hashlib.blake2b(files.name_bytes(row), digest_size=8).digest() for row in range(len(files))
    )
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64)
