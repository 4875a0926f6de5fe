"""Which code this process runs: a digest of sources and compiled modules as they are on the disk.

What is kept from one process for another depends on the code that made it. A version number that
somebody has to raise is forgotten some day; this cannot be.
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
    """Files of the package that match a pattern, by their names inside it."""
    return {
        path.relative_to(PACKAGE).as_posix(): path
        for pattern in patterns
        for path in PACKAGE.glob(pattern)
    }


def code_digest(files: Mapping[str, Path]) -> str:
    """Digest of files and their names.

    To be called when a module is imported: code that is edited later is not what this process
    runs. A file is read once a process.
    """
    digest = hashlib.sha256(__version__.encode())
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + _file_digest(files[name]))
    return digest.hexdigest()


@cache
def _file_digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
