"""Files that are seen whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path, *, unfinished: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when the block ends without an error.

    Until then whoever opens `path` finds what was there before. After an error, Ctrl-C included,
    the unfinished file is removed. A process that is killed leaves it behind.

    Parameters
    ----------
    path : Path
        In a folder that exists. A file that is there is replaced.
    unfinished : Path, default=None
        Name of the file until then, on the same file system. None: a random one in the folder of
        `path`, a dot, 32 hexadecimal digits and the suffix of `path`.

    Yields
    ------
    binary file

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_decaf._utils.atomic_file import atomic_write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers.txt")
    ...     with atomic_write(path) as stream:
    ...         written = stream.write(b"1 2 3")
    ...         there_before = path.exists()
    ...     there_before, path.read_bytes()
    (False, b'1 2 3')
    """
    if unfinished is None:
        unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        with open(unfinished, "wb") as stream:
            yield stream
        move_into_place(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def move_into_place(unfinished: Path, path: Path) -> None:
    """Give a closed file its name, in one step and so that both survive a loss of power.

    Parameters
    ----------
    unfinished : Path
        The complete file, on the same file system as `path`.
    path : Path
        A file that is there is replaced.

    Raises
    ------
    OSError
        If the content cannot be brought to the disk, or the file cannot be renamed.
    """
    with open(unfinished, "rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(unfinished, path)
    with suppress(OSError):  # Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
