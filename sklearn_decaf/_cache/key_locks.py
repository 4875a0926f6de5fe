"""Per-key locks, so that no two processes or threads compute the same.

A lock is one byte of a file, at a place that the key gives. The system takes it back when a
process ends, however it ends: there are no stale locks to clear up. Nothing wrong comes of two
keys that share a byte (one waits a little), or of a system without such locks (work is done
twice).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from .._utils.file_lock import try_lock_byte, unlock_byte
from .._utils.locks import Lock, after_fork


@dataclass
class _SharedFile:
    """File of locks that the threads of this process share."""

    descriptor: int | None
    users: int = 0
    held: set[int] = field(default_factory=set)


_lock = Lock()
_files: dict[str, _SharedFile] = {}


class KeyLocks:
    """Locks on keys, all of which end with the block.

    Parameters
    ----------
    path : str
        File for the locks; it is made where it can be, and stays empty. Without it, locks hold
        among the threads of this process.

    Examples
    --------
    >>> from sklearn_decaf._cache.key_locks import KeyLocks
    >>> with KeyLocks("") as mine, KeyLocks("") as other:
    ...     mine.acquire(b"a" * 32), other.acquire(b"a" * 32)
    (True, False)
    """

    def __init__(self, path: str):
        self._path = path
        self._mine: set[int] = set()

    def __enter__(self) -> KeyLocks:
        with _lock:
            shared = _files.get(self._path)
            if shared is None:
                descriptor = None
                with suppress(OSError):
                    descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                shared = _files[self._path] = _SharedFile(descriptor)
            shared.users += 1
            self._shared = shared
        return self

    def __exit__(self, *error) -> None:
        with _lock:
            self._drop(list(self._mine))
            shared = self._shared
            shared.users -= 1
            if shared.users == 0 and _files.get(self._path) is shared:
                del _files[self._path]
                if shared.descriptor is not None:
                    # Closing any descriptor of a file ends all locks of the process on it, hence
                    # one for all threads, closed by the last of them.
                    os.close(shared.descriptor)

    def acquire(self, key: bytes) -> bool:
        """Lock a key, without waiting; False if another thread or process has it."""
        place = _place(key)
        with _lock:
            if place in self._shared.held:
                return place in self._mine
            descriptor = self._shared.descriptor
            # without locks in this place: rather work twice than not at all
            if descriptor is not None and try_lock_byte(descriptor, place) is False:
                return False
            self._shared.held.add(place)
            self._mine.add(place)
            return True

    def release(self, keys: Iterable[bytes]) -> None:
        """Unlock keys; those that are not locked by this object stay as they are."""
        with _lock:
            self._drop(list(map(_place, keys)))

    def _drop(self, places: list[int]) -> None:
        for place in places:
            if place in self._mine:
                self._mine.discard(place)
                self._shared.held.discard(place)
                if self._shared.descriptor is not None:
                    unlock_byte(self._shared.descriptor, place)


def _place(key: bytes) -> int:
    return int.from_bytes(key[:8], "little") >> 2  # within the range of a file's length


@after_fork
def _forget_files() -> None:
    """Give a forked child no locks: they stay with the parent, and so do its threads."""
    _files.clear()  # the inherited descriptors stay open, unused, until the child ends
