"""One process or thread at a time, for work on a file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_POLL = 0.1  # seconds
_SILENT = 2.0  # seconds of waiting that are not worth a word


@contextmanager
def file_lock(path: Path, *, verbose: bool = False) -> Iterator[bool]:
    """Wait until nobody else holds the lock of this path.

    The lock belongs to the open file ``<path>.lock``, so it ends with the process, however that
    ends: a lock file that was left behind locks nothing.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    verbose : bool
        Whether to say on standard error that one waits.

    Yields
    ------
    bool
        False where the system or the file system has no locks, and nobody can tell.
    """
    if fcntl is None:
        yield False
        return
    name = path.with_name(path.name + ".lock")
    say_at = time.monotonic() + _SILENT
    while True:
        with open(name, "ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                if verbose and time.monotonic() > say_at:
                    print(f"[{path.name}] another process is at it, waiting", file=sys.stderr)
                    verbose = False
                time.sleep(_POLL)
                continue
            except OSError:  # a file system without locks
                locked = False
            if locked and not _has_name(stream.fileno(), name):
                continue  # whoever had the lock removed the file when done
            try:
                yield locked
            finally:
                name.unlink(missing_ok=True)
            return


def _has_name(descriptor: int, name: Path) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(descriptor))
    except FileNotFoundError:
        return False
