"""A file as bytes in memory, and whether it is the one it should be."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from pathlib import Path

from ..._utils.file_state import file_state
from ...exceptions import WeightsError

MAX_FILE = 2**30


def map_file(path: Path) -> tuple[memoryview, tuple[int, ...]]:
    """The bytes of a file, mapped, and its :func:`file_state` before.

    Raises
    ------
    OSError
        If it cannot be opened.
    WeightsError
        If it is empty, too large, or a pipe or the like.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise WeightsError("not a regular file")
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_size == 0:
            raise WeightsError("the file is empty")
        if status.st_size > MAX_FILE:
            raise WeightsError(f"the file has {status.st_size} bytes; {MAX_FILE} is the limit")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return memoryview(mapped), file_state(status)


def check_digest(data: memoryview, sha256: str, expected: str | None) -> None:
    """Compare a file's checksum with the one expected (``"sha1:..."``), if there is one."""
    if expected is None:
        return
    algorithm, _, digest = expected.partition(":")
    found = sha256 if algorithm == "sha256" else hashlib.new(algorithm, data).hexdigest()
    if not found.startswith(digest):
        raise WeightsError(
            f"its {algorithm} is {found}, not {digest}: the file is damaged, or another one"
        )
