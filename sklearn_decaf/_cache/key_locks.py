"""Who computes what: claims on keys, so that no two processes or threads compute the same.

A claim is a lock on one byte of a file, at a place that the key gives. The system takes it back
when a process ends, however it ends: there are no stale claims to clear up. Nothing wrong comes
of two keys that share a byte (one waits a little), or of a system without such locks (work is
done twice).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from .._utils.locks import Lock, after_fork

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@dataclass
class _Shared:
    """What the threads of this process share of one file."""

    descriptor: int | None
    users: int = 0
    held: set[int] = field(default_factory=set)


_lock = Lock()
_files: dict[str, _Shared] = {}


class Claims:
    """Claims on keys, all of which end with the block.

    Parameters
    ----------
    path : str
        File for the locks; it is made where it can be, and stays empty. Without it, claims hold
        among the threads of this process.

    Examples
    --------
    >>> from sklearn_decaf._cache.key_locks import Claims
    >>> with Claims("") as mine, Claims("") as other:
    ...     mine.take(b"a" * 32), other.take(b"a" * 32)
    (True, False)
    """

    def __init__(self, path: str):
        self._path = path
        self._mine: set[int] = set()

    def __enter__(self) -> Claims:
        with _lock:
            shared = _files.get(self._path)
            if shared is None:
                descriptor = None
                if fcntl is not None:
                    with suppress(OSError):
                        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                shared = _files[self._path] = _Shared(descriptor)
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

    def take(self, key: bytes) -> bool:
        """Claim a key; False if another thread or process has it."""
        place = int.from_bytes(key[:8], "little") >> 2  # within the range of a file's length
        with _lock:
            if place in self._shared.held:
                return place in self._mine
            if self._shared.descriptor is not None:
                try:
                    fcntl.lockf(self._shared.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                except (BlockingIOError, PermissionError):
                    return False
                except OSError:  # no locks here: rather work twice than not at all
                    pass
            self._shared.held.add(place)
            self._mine.add(place)
            return True

    def release(self, keys: Iterable[bytes]) -> None:
        """Give up claims."""
        with _lock:
            self._drop([int.from_bytes(key[:8], "little") >> 2 for key in keys])

    def _drop(self, places: list[int]) -> None:
        for place in places:
            if place in self._mine:
                self._mine.discard(place)
                self._shared.held.discard(place)
                if self._shared.descriptor is not None:
                    with suppress(OSError):
                        fcntl.lockf(self._shared.descriptor, fcntl.LOCK_UN, 1, place)


@after_fork
def _forget_files() -> None:
    """Give a forked child no claims: locks stay with the parent, and so do its threads."""
    _files.clear()  # the inherited descriptors stay open, unused, until the child ends
