"""States of files, by which a change of a file is noticed without reading it."""

from __future__ import annotations

import os


def file_state(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return numbers of which at least one changes when a file does.

    They are the inode, the size, and the times of the last change of the content (mtime) and of
    the inode (ctime), in nanoseconds. Tools that copy or unpack files set mtime back; ctime cannot
    be set. The number of the device is left out, because it may change when a machine restarts, so
    compare states of one path only.

    Parameters
    ----------
    status : os.stat_result
        What ``os.stat`` or ``os.fstat`` says of the file.

    Returns
    -------
    tuple of int
        JSON turns it into a list: compare with ``list(file_state(status))``.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn_decaf._utils.file_state import file_state
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     before = file_state(os.stat(file.name))
    ...     unchanged = before == file_state(os.stat(file.name))
    ...     written = os.write(file.fileno(), b"more")
    ...     changed = before != file_state(os.stat(file.name))
    >>> unchanged, changed
    (True, True)
    """
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def current_file_state(path: str | os.PathLike) -> tuple[int, int, int, int] | None:
    """Return the state of the file that has this name now, None if there is no such file."""
    try:
        return file_state(os.stat(path))
    except OSError:
        return None


def is_same_file(state: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Tell whether two states are of one file, whose content may have changed in between."""
    return state[0] == other[0]
