"""Files with a few values in JSON and many arrays, which are mapped into memory.

A file begins with 16 bytes that identify the format, then the length and the SHA-256 of the header,
the header in JSON, and the arrays, each at a cache line. A file is seen whole or not at all, and
every number in it is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .atomic_file import atomic_write

MAGIC = b"sklearn_decaf 1\n"
MAX_HEADER = 2**22
ALIGNMENT = 64  # bytes, a cache line
_START = struct.Struct("<16sQ32s")
# Rows and columns of 64-bit numbers that are summed up at a time: 1 MB, as much as a cache holds
_ROWS, _COLUMNS = 256, 512
_DTYPES = frozenset(["<f4", "<f8"])


class ArrayFileError(Exception):
    """Error of a file that is not there, or not as it was written."""


def write_array_file(path: Path, content: object, arrays: Sequence[np.ndarray]) -> None:
    """Write a file that is seen whole or not at all; a file that is there is replaced at the end.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    content : JSON value
    arrays : sequence of ndarray
        C-contiguous, float32 or float64.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    entries, at = [], 0
    for array in arrays:
        entries.append(
            {
                "dtype": array.dtype.newbyteorder("<").str,
                "shape": list(array.shape),
                "at": at,
                "checksum": checksum(array),
            }
        )
        at += array.nbytes + -array.nbytes % ALIGNMENT
    header = json.dumps({"content": content, "arrays": entries, "size": at}).encode("ascii")
    header += b" " * (-(_START.size + len(header)) % ALIGNMENT)
    with atomic_write(path) as stream:
        stream.write(_START.pack(MAGIC, len(header), hashlib.sha256(header).digest()))
        stream.write(header)
        for array in arrays:
            stream.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
            stream.write(bytes(-array.nbytes % ALIGNMENT))


def read_array_file(path: Path) -> tuple[object, list[np.ndarray]]:
    """Map a file into memory; return its value and its arrays, which are read-only.

    Raises
    ------
    ArrayFileError
        If it is not there, cut off, damaged or something else.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < _START.size:
                raise ArrayFileError("too short")
            mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ArrayFileError(str(error)) from error
    magic, length, digest = _START.unpack(mapped[: _START.size])
    end = _START.size + length
    if magic != MAGIC or length > MAX_HEADER or end > size:
        raise ArrayFileError("not such a file")
    if hashlib.sha256(mapped[_START.size : end]).digest() != digest:
        raise ArrayFileError("the header is damaged")
    header = json.loads(bytes(mapped[_START.size : end]))
    if end + header["size"] != size:
        raise ArrayFileError("cut off, or longer than it was")
    return header["content"], [_array(mapped[end:], entry) for entry in header["arrays"]]


def _array(data: memoryview, entry: dict) -> np.ndarray:
    """Map one array. The entry is as it was written: the header has a checksum of its own."""
    dtype = np.dtype(entry["dtype"])
    if entry["dtype"] not in _DTYPES:
        raise ArrayFileError(f"numbers of type {entry['dtype']}")
    size = int(np.prod(entry["shape"])) * dtype.itemsize
    raw = data[entry["at"] : entry["at"] + size]
    array = np.frombuffer(raw, dtype).reshape(entry["shape"])
    if checksum(array) != entry["checksum"]:
        raise ArrayFileError("an array is damaged")
    return array


def checksum(array: np.ndarray) -> str:
    """Compute a checksum of an array's bytes, ten times as fast as SHA-256 of all of them.

    It is the SHA-256 of sums: the bytes are cut into blocks of 256 x 512 numbers of 64 bits, whose
    rows and columns are summed up, modulo 2^64. It finds every change of one number or of two (two
    numbers share a row or a column, not both), rows and pages that changed places, and damage by a
    disk, a memory or a broken copy, except in one case of 2^64. It does not find a change that was
    made to deceive it. It costs one pass over numbers that are about to be read anyway.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf._utils.array_file import checksum
    >>> numbers = np.arange(1e6, dtype=np.float32)
    >>> changed = numbers.copy()
    >>> changed[123_456] *= -1
    >>> checksum(numbers) == checksum(changed)
    False
    """
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    digest = hashlib.sha256(str(raw.size).encode())
    whole = raw.size - raw.size % (8 * _COLUMNS)
    rows = raw[:whole].view("<u8").reshape(-1, _COLUMNS)
    for block in _blocks(rows):
        digest.update(block.sum(axis=1).data)
        digest.update(block.sum(axis=0).data)
    digest.update(raw[whole:].data)
    return digest.hexdigest()


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ROWS):
        yield rows[start : start + _ROWS]
