"""Safetensors: eight bytes of header length, a JSON header, and the numbers.

The numbers are used where they lie in the file, which stays mapped into memory.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from ...exceptions import WeightsError
from ._arrays import array_from_bytes, bfloat16_to_float32, check_shape
from ._contents import Contents
from ._messages import describe

MAX_HEADER = 2**22
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}


def looks_like(data: memoryview) -> bool:
    """Whether a file begins like one of this format."""
    return len(data) >= 10 and data[8] == ord("{") and data[7] == data[6] == 0


def read(data: memoryview) -> Contents:
    """Tensors by name, as read-only views of ``data``, and the header's metadata."""
    if len(data) < 8:
        raise WeightsError("too short for the length of a header")
    (length,) = struct.unpack("<Q", data[:8])
    if length > MAX_HEADER or 8 + length > len(data):
        raise WeightsError(f"a header of {length} bytes in a file of {len(data)}")
    header = _parse_header(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise WeightsError("metadata that are not text")
    buffer = data[8 + length :]
    spans = {name: _span(name, entry) for name, entry in header.items()}
    _check_cover(spans, len(buffer))
    tensors = {}
    for name, (begin, end) in spans.items():
        kind, shape = header[name]["dtype"], header[name]["shape"]
        array = array_from_bytes(buffer[begin:end], shape, np.dtype(DTYPES[kind]))
        tensors[name] = bfloat16_to_float32(array) if kind == "BF16" else array
    return Contents({"": tensors}, metadata)


def chunks(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> Iterator[bytes | memoryview]:
    """The pieces of a file of float32 arrays, in the order given."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    raw = json.dumps(header, separators=(",", ":")).encode()
    if len(raw) > MAX_HEADER - 8:
        raise WeightsError(f"names and metadata of {len(raw)} bytes; {MAX_HEADER} are allowed")
    raw += b" " * (-len(raw) % 8)  # the numbers begin where float32 can be read in place
    yield struct.pack("<Q", len(raw)) + raw
    for array in tensors.values():
        yield np.ascontiguousarray(array, "<f4").data.cast("B")


def _parse_header(raw: memoryview) -> dict:
    def unique(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise WeightsError("the header has the same key twice")
        return dict(pairs)

    def refuse(text):
        raise WeightsError(f"the header holds the number {describe(text)}")

    def integer(text):
        return int(text) if len(text) <= 15 else refuse(text)

    try:
        header = json.loads(
            str(raw, "utf-8"),
            object_pairs_hook=unique,
            parse_int=integer,
            parse_float=refuse,
            parse_constant=refuse,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(f"the header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise WeightsError("the header is not a JSON object")
    return header


def _span(name: str, entry: object) -> tuple[int, int]:
    """First byte and end of a tensor in the buffer, after checks of its header entry."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"tensor {describe(name)} lacks dtype, shape or data_offsets")
    kind, offsets = entry["dtype"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise WeightsError(f"tensor {describe(name)} is of type {describe(kind)}, unknown here")
    if not isinstance(entry["shape"], list):
        raise WeightsError(f"tensor {describe(name)}: its shape is not a list")
    try:
        shape, offsets = check_shape(entry["shape"]), check_shape(offsets)
    except WeightsError as error:
        raise WeightsError(f"tensor {describe(name)}: {error}") from error
    wanted = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != wanted:
        raise WeightsError(
            f"tensor {describe(name)} of shape {shape} and type {kind} takes {wanted} bytes, "
            f"but its offsets are {list(offsets)}"
        )
    return offsets


def _check_cover(spans: dict[str, tuple[int, int]], size: int) -> None:
    """The tensors have to fill the buffer, without holes and without overlaps."""
    at = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != at:
            problem = "overlaps the tensor before it" if begin < at else "leaves a hole before it"
            raise WeightsError(f"tensor {describe(name)} {problem} (offset {begin}, not {at})")
        at = end
    if at != size:
        raise WeightsError(f"the tensors end at byte {at} of a buffer of {size}: truncated or long")
