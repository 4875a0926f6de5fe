"""Locks of open files. A lock ends with the process that holds it, also if that is killed.

Windows and some network file systems have no such locks. The functions here say so in their result
instead of raising an error: work is then done without a lock, or twice.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .locks import after_fork

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_POLL = 0.1  # seconds


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file, without waiting. Closing the file ends the lock.

    Returns
    -------
    bool or None
        True if it is locked now, False if somebody else holds the lock, None where there are no
        locks and nobody can tell.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def try_lock_byte(descriptor: int, place: int) -> bool | None:
    """Lock one byte of an open file for this process, without waiting.

    The byte need not be there. Closing any descriptor of the file ends all such locks that the
    process has on it, and a process never waits for itself.

    Returns
    -------
    bool or None
        As `try_lock` does.
    """
    if fcntl is None:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except (BlockingIOError, PermissionError):  # systems differ in how they say it
        return False
    except OSError:
        return None
    return True


def unlock_byte(descriptor: int, place: int) -> None:
    """End the lock of one byte."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, place)


_opened: dict[int, int] = {}  # descriptors of lock files, and the threads that opened them


class LockFile:
    """A file that is open to be locked by this process alone.

    A lock belongs to the open file, and a fork passes that on: a child that lives on would keep
    the lock when the thread that holds it, which is none of its own, is long done. So the child
    closes the file, unless the thread that forked had opened it.
    """

    def __init__(self, name: Path):
        self.descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        _opened[self.descriptor] = threading.get_ident()

    def try_lock(self) -> bool | None:
        """Lock it, without waiting; see the function of this name."""
        return try_lock(self.descriptor)

    def close(self) -> None:
        """End the lock."""
        if _opened.pop(self.descriptor, None) is not None:
            os.close(self.descriptor)

    def __enter__(self) -> LockFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@after_fork
def _close_inherited() -> None:
    for descriptor, thread in list(_opened.items()):
        if thread != threading.get_ident():
            del _opened[descriptor]
            os.close(descriptor)


@contextmanager
def file_lock(path: Path, *, verbose: bool = False, say_after: float = 2.0) -> Iterator[bool]:
    """Wait until nobody else holds the lock of this path, and hold it until the block ends.

    The lock belongs to the open file ``<path>.lock`` and ends with the process. A file of that name
    that was left behind locks nothing.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    verbose : bool
        Whether to say on standard error that one waits.
    say_after : float, default=2.0
        Seconds of waiting that are not worth a word.

    Yields
    ------
    bool
        False where the system or the file system has no locks, and nobody can tell.
    """
    if fcntl is None:  # leave no file behind
        yield False
        return
    name = path.with_name(path.name + ".lock")
    say_at = time.monotonic() + say_after
    while True:
        with LockFile(name) as file:
            locked = file.try_lock()
            if locked is False:
                if verbose and time.monotonic() > say_at:
                    print(f"[{path.name}] another process is at it, waiting", file=sys.stderr)
                    verbose = False
                time.sleep(_POLL)
                continue
            if locked and not _has_name(file.descriptor, name):
                continue  # whoever had the lock removed the file when done
            try:
                yield bool(locked)
            finally:
                name.unlink(missing_ok=True)
            return


def _has_name(descriptor: int, name: Path) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(descriptor))
    except FileNotFoundError:
        return False
