"""Digest of the code that this process runs: sources and compiled modules as they are on the disk.

Results that are kept for other processes depend on the code that made them. A digest of the code
cannot be forgotten, as raising a version number can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .. import __version__

PACKAGE = Path(__file__).parents[1]
# What runs networks: readers of weight files, their conversion, packing, the engine.
ENGINE_SOURCES = ("networks/**/*.py", "_kernels/*.py")


def sources(*patterns: str) -> dict[str, Path]:
    """Find the files of the package that match a pattern, by their names inside it."""
    return {
        path.relative_to(PACKAGE).as_posix(): path
        for pattern in patterns
        for path in PACKAGE.glob(pattern)
    }


def code_digest(files: Mapping[str, Path]) -> str:
    """Compute a digest of files and their names.

    Call it when a module is imported: code that is edited later is not the code that this process
    runs. A file is read once in a process.
    """
    digest = hashlib.sha256(__version__.encode())
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + _file_digest(files[name]))
    return digest.hexdigest()


@cache
def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
