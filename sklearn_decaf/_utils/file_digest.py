"""Checksums of files, read piece by piece."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

_PIECE = 2**20  # bytes


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Compute the checksum of a file, in hexadecimal.

    Parameters
    ----------
    path : Path
    algorithm : str, default="sha256"
        Any name that :func:`hashlib.new` takes.

    Raises
    ------
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_decaf._utils.file_digest import file_digest
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "hello.txt")
    ...     size = path.write_bytes(b"hello")
    ...     file_digest(path, "md5")
    '5d41402abc4b2a76b9719d911017c592'
    """
    with open(path, "rb") as stream:
        return digest_stream(stream, hashlib.new(algorithm, usedforsecurity=False))


def digest_stream(stream: BinaryIO, digest: Any) -> str:
    """Add what is left of an open file to a hash of :mod:`hashlib`; return it in hexadecimal."""
    while piece := stream.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
