"""Tensors of ONNX models: numbers in the file, or in a second file beside it.

A tensor is only looked at when its numbers are wanted, so that what a model holds besides its
weights need not be of a kind that is read.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from ...exceptions import WeightsError
from ._arrays import MAX_DIMENSIONS, array_from_bytes, bfloat16_to_float32, check_shape
from ._contents import OtherFile
from ._mapping import MAX_FILE, map_file
from ._messages import describe
from ._protobuf import BYTES, VARINT, FieldReader, text, varints

# field numbers of TensorProto, StringStringEntryProto
_DIMS, _TYPE, _SEGMENT, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 3, 8, 9, 13, 14
_FLOATS, _INT32S, _INT64S, _DOUBLES = 4, 5, 7, 10
_KEY, _VALUE = 1, 2
# By number in TensorProto.DataType: the numbers' type, and the field for them but `raw_data`.
_FLOATING = {
    1: ("<f4", _FLOATS),
    10: ("<f2", _INT32S),
    11: ("<f8", _DOUBLES),
    16: ("bfloat16", _INT32S),
}
_WHOLE = {6: ("<i4", _INT32S), 7: ("<i8", _INT64S)}
_NUMBERS = {
    **_FLOATING,
    **_WHOLE,
    2: ("|u1", _INT32S),
    3: ("|i1", _INT32S),
    9: ("|b1", _INT32S),
}
_TYPE_NAMES = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "text",
    9: "bool",
    14: "complex64",
    15: "complex128",
    17: "float8",
    18: "float8",
    19: "float8",
    20: "float8",
    21: "uint4",
    22: "int4",
    23: "float4",
}
MAX_SMALL = 64  # numbers in the constants that layers take
MAX_FILES = 500


@dataclass
class Tensor:
    """A tensor as the model describes it, still without numbers."""

    name: str = ""
    type: int = 0
    dims: list[int] = field(default_factory=list)
    pieces: list[tuple[int, memoryview]] = field(default_factory=list)  # field and its bytes
    external: dict[str, str] | None = None
    problem: str = ""

    @property
    def is_float(self) -> bool:
        """True if it is of floating point numbers."""
        return self.type in _FLOATING

    def numbers(self, files: ExternalFiles) -> np.ndarray:
        """The floating point numbers, read-only; they may be a view of a file."""
        if self.type not in _FLOATING:
            kind = _TYPE_NAMES.get(self.type, f"number {self.type}")
            raise WeightsError(
                f"tensor {describe(self.name)} is of type {kind}, not floating point"
            )
        return self._read(_FLOATING, files)

    def array(self, files: ExternalFiles) -> np.ndarray:
        """All that it holds, whole numbers too."""
        return self.numbers(files) if self.type not in _NUMBERS else self._read(_NUMBERS, files)

    def small_integers(self) -> list[int] | None:
        """A few whole numbers; None if it holds something else."""
        if self.type not in _WHOLE or self.external is not None:
            return None
        try:
            array = self._read(_WHOLE, ExternalFiles(None))
        except WeightsError:
            return None
        return array.ravel().tolist() if array.size <= MAX_SMALL else None

    def small_float(self) -> float | None:
        """The one number that it is; None if it holds something else."""
        if self.type not in _FLOATING or self.external is not None or math.prod(self.dims) != 1:
            return None
        try:
            return float(self._read(_FLOATING, ExternalFiles(None)).ravel()[0])
        except WeightsError:
            return None

    def _read(self, types: dict[int, tuple[str, int]], files: ExternalFiles) -> np.ndarray:
        code, other_field = types[self.type]
        dtype = np.dtype("<u2" if code == "bfloat16" else code)
        try:
            if self.problem:
                raise WeightsError(self.problem)
            shape = check_shape(tuple(self.dims))
            raw = self._bytes(shape, dtype, other_field, files)
            array = array_from_bytes(raw, shape, dtype)
        except WeightsError as error:
            raise WeightsError(f"tensor {describe(self.name)}: {error}") from error
        return bfloat16_to_float32(array) if code == "bfloat16" else array

    def _bytes(self, shape, dtype: np.dtype, other_field: int, files: ExternalFiles):
        if self.external is not None:
            return files.read(self.external, math.prod(shape) * dtype.itemsize)
        if not self.pieces:
            return b""
        if len(self.pieces) > 1:
            raise WeightsError("its numbers are not in one piece")
        where, raw = self.pieces[0]
        if where == _RAW:
            return raw
        if where != other_field:
            raise WeightsError("its numbers are not where its type has them")
        if where in (_FLOATS, _DOUBLES):
            return raw
        # the bits of half-precision numbers, and whole numbers as they are
        kind = np.dtype(f"<u{dtype.itemsize}") if dtype.kind == "f" else dtype
        return memoryview(unpack_varints(raw, kind).tobytes())


def unpack_varints(raw: memoryview, dtype: np.dtype) -> np.ndarray:
    """Packed integers, of which the lower bits are kept; half-precision numbers may be written so.

    In pieces, so that the memory needed is a small multiple of the bytes' number.
    """
    data = np.frombuffer(raw, np.uint8)
    parts, at, step = [np.empty(0, dtype)], 0, 2**20
    while at < len(data):
        piece = data[at : at + step]
        ends = np.flatnonzero(piece < 0x80)
        if not len(ends):
            raise WeightsError("a number of too many bytes, or one that is cut off")
        piece = piece[: ends[-1] + 1]
        lengths = np.diff(ends, prepend=-1)
        if lengths.max() > 10:
            raise WeightsError("a number of more than ten bytes")
        shifts = np.arange(len(piece)) - np.repeat(ends - lengths + 1, lengths)
        bits = (piece & 0x7F).astype(np.uint64) << (7 * shifts).astype(np.uint64)
        parts.append(np.add.reduceat(bits, ends - lengths + 1).astype(dtype))
        at += len(piece)
    return np.concatenate(parts)


class ExternalFiles:
    """Files beside the model that hold numbers of its tensors.

    Parameters
    ----------
    folder : Path or None
        Where the model is. Nothing outside of it is opened, whatever the model says.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._open: dict[str, tuple[memoryview, OtherFile]] = {}
        self.size = 0  # of those that were read

    @property
    def used(self) -> tuple[OtherFile, ...]:
        """Files that were read."""
        return tuple(other for _, other in self._open.values())

    def read(self, external: dict[str, str], size: int) -> memoryview:
        """The bytes of one tensor."""
        location = external.get("location", "")
        data = self._file(location)
        offset = _whole(external, "offset", 0)
        length = _whole(external, "length", size)
        if length != size:
            raise WeightsError(f"{length} bytes of {describe(location)}, where it takes {size}")
        if offset + length > len(data):
            raise WeightsError(
                f"bytes {offset} to {offset + length} of {describe(location)}, which has "
                f"{len(data)}: it is truncated, or belongs to another model"
            )
        return data[offset : offset + length]

    def _file(self, location: str) -> memoryview:
        if location not in self._open:
            if len(self._open) >= MAX_FILES:
                raise WeightsError(f"its numbers are spread over more than {MAX_FILES} files")
            path = self._inside(location)
            try:
                data, state = map_file(path)
            except OSError as error:
                raise WeightsError(
                    f"its numbers are in {describe(location)}, which has to lie beside the model: "
                    f"{error.strerror or error}"
                ) from error
            except WeightsError as error:
                raise WeightsError(f"its numbers are in {describe(location)}: {error}") from error
            self.size += len(data)
            if self.size > MAX_FILE:
                raise WeightsError(f"the files beside the model have more than {MAX_FILE} bytes")
            digest = hashlib.sha256(data).hexdigest()
            self._open[location] = data, OtherFile(path, state, digest)
        return self._open[location][0]

    def _inside(self, location: str) -> Path:
        """The path of a file in the model's folder; anything else raises."""
        if self._folder is None:
            raise WeightsError("its numbers are in another file")
        path = PurePosixPath(location)
        plain = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
        if not plain or set(location) & set("\\:\0") or len(location) > 1000:
            raise WeightsError(
                f"its numbers are said to be in {describe(location)}, and only files in the "
                "folder of the model are opened"
            )
        wanted = self._folder.joinpath(*path.parts)
        # links are followed as far as they stay inside
        real, folder = Path(os.path.realpath(wanted)), Path(os.path.realpath(self._folder))
        if not real.is_relative_to(folder):
            raise WeightsError(
                f"its numbers are in {describe(location)}, a link that leads out of the folder of "
                "the model: put the file itself there"
            )
        return real


def _whole(external: dict[str, str], key: str, default: int) -> int:
    value = external.get(key)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise WeightsError(f"its {key} in another file is {describe(value)}")
    return int(value)


def read_tensor(reader: FieldReader, message: memoryview) -> Tensor:
    """Read a TensorProto."""
    tensor = Tensor()
    for number, kind, value in reader.fields(message):
        if number == _NAME and kind == BYTES:
            tensor.name = text(value)
        elif number == _TYPE and kind == VARINT:
            tensor.type = value
        elif number == _DIMS:
            tensor.dims += varints(value, MAX_DIMENSIONS) if kind == BYTES else [value]
            if len(tensor.dims) > MAX_DIMENSIONS:
                tensor.problem = f"more than {MAX_DIMENSIONS} axes"
                tensor.dims = tensor.dims[:MAX_DIMENSIONS]
        elif number == _SEGMENT:
            tensor.problem = "only a segment of it is in the file"
        elif number == _LOCATION and value == 1 and tensor.external is None:
            tensor.external = {}
        elif number == _EXTERNAL and kind == BYTES:
            tensor.external = {**(tensor.external or {}), **_read_entry(reader, value)}
        elif number in (_FLOATS, _INT32S, _INT64S, _DOUBLES, _RAW):
            if kind == BYTES:
                tensor.pieces.append((number, value))
            else:
                tensor.problem = "its numbers are not in one piece"
    return tensor


def _read_entry(reader: FieldReader, message: memoryview) -> dict[str, str]:
    parts = {_KEY: "", _VALUE: ""}
    for number, kind, value in reader.fields(message):
        if number in parts and kind == BYTES and len(value) <= 4096:
            parts[number] = text(value)
    return {parts[_KEY]: parts[_VALUE]}
