"""From a path to named arrays: mapping the file, its checksum, and which format it is in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...exceptions import WeightsError
from . import (
    caffemodel,
    decaf_pickle,
    npz,
    numpy_pickle,
    onnx,
    safetensors,
    torch_legacy,
    torch_zip,
)
from ._mapping import check_digest, identity, map_file
from ._zip import Archive

# name, layers of the first and of the second generation: what a NetParameter can begin with
_PROTOBUF_STARTS = (b"\x0a", b"\x12", b"\xa2\x06")
_TORCH_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True, eq=False)
class TensorFile:
    """What a weight file holds.

    Attributes
    ----------
    path : str
        Absolute.
    format : str
        Such as ``"npz"``.
    sha256 : str
        Of the whole file, in hexadecimal.
    tensors : mapping of str to ndarray
        Read-only; they may be views of the mapped file.
    metadata : mapping of str to str
        What the file says about itself.
    """

    path: str
    format: str
    sha256: str
    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, str] = field(default_factory=dict)


Mapped = tuple[memoryview, tuple[int, ...]]


def map_weight_file(path: Path) -> Mapped:
    """A file's bytes, and what tells whether it was changed since; its errors name the path."""
    try:
        return map_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def read_tensors(
    path: str | os.PathLike, *, checksum: str | None = None, mapped: Mapped | None = None
) -> TensorFile:
    """Read the named arrays of a weight file, whatever its format.

    Parameters
    ----------
    path : str or path-like
        The format is recognised by content, not by suffix.
    checksum : str or None
        What the file must have, such as ``"sha256:..."`` or a beginning of it, or ``"sha1:..."``;
        checked before anything in it is looked at.
    mapped : tuple, optional
        What :func:`map_weight_file` returned: that file is read, even if another one has its name
        now.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged, or holds anything but arrays of numbers. The
        message begins with the path.
    """
    path = Path(path).absolute()
    data, before = map_weight_file(path) if mapped is None else mapped
    try:
        sha256 = hashlib.sha256(data).hexdigest()
        check_digest(data, sha256, checksum)
        kind, tensors, metadata = _read(data)
        if _changed(path, before, may_be_replaced=mapped is not None):
            raise WeightsError("the file changed while it was read")
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    if not tensors:
        raise WeightsError(f"{path}: there are no arrays in this file")
    return TensorFile(str(path), kind, sha256, tensors, metadata)


def _changed(path: Path, before: tuple[int, ...], *, may_be_replaced: bool) -> bool:
    try:
        now = identity(os.stat(path))
    except FileNotFoundError:
        if may_be_replaced:
            return False
        raise
    return now != before and not (may_be_replaced and now[:2] != before[:2])  # another file


def _read(data: memoryview) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    start = bytes(data[:16])
    if start.startswith(b"PK"):
        archive = Archive(data)
        if torch_zip.looks_like(archive):
            return "torch", torch_zip.read(archive), {}
        return "npz", *npz.read(archive)
    if start.startswith(_TORCH_LEGACY_START):
        return "torch (before 1.6)", torch_legacy.read(data), {}
    if decaf_pickle.looks_like(data):
        return "decaf", *decaf_pickle.read(data)
    if start[:1] == b"\x80":
        return "pickle", numpy_pickle.read(data), {}
    if safetensors.looks_like(data):
        return "safetensors", *safetensors.read(data)
    if onnx.looks_like(data):
        try:
            return "onnx", *onnx.read(data)
        except WeightsError as error:
            raise WeightsError(f"read as an ONNX model: {error}") from error
    if start.startswith(_PROTOBUF_STARTS):
        try:
            return "caffemodel", *caffemodel.read(data)
        except WeightsError as error:
            raise WeightsError(f"read as a caffemodel: {error}") from error
    raise WeightsError(
        f"not a weight file in a known format (it begins with {start!r}); known are npz, "
        "safetensors, state dicts of torch, caffemodels, ONNX models, DeCAF's pickle of 2013 and "
        "pickles of NumPy arrays"
    )
