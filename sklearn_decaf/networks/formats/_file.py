"""From a path to named arrays: mapping the file, its checksum, and which format it is in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..._utils.file_state import current_file_state, is_same_file
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
from ._contents import Contents
from ._kinds import name_kind
from ._mapping import check_digest, map_file
from ._zip import Archive

# name, layers of the first and of the second generation: what a NetParameter can begin with
_PROTOBUF_STARTS = (b"\x0a", b"\x12", b"\xa2\x06")
_BLOB_START = b"\x08\x01\x10"  # one image of so many channels
_TORCH_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A weight file that was read.

    Attributes
    ----------
    path : str
        Absolute.
    format : str
        Such as ``"npz"``.
    sha256 : str
        Of the whole file, in hexadecimal; of several checksums where it draws on other files.
    contents : Contents
        The arrays, and what the file says about itself.
    """

    path: str
    format: str
    sha256: str
    contents: Contents

    @property
    def tensors(self) -> Mapping[str, np.ndarray]:
        """All arrays by name, read-only; they may be views of the mapped file."""
        return self.contents.tensors


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
        kind, contents = _read(data, path)
        if _changed(path, before, may_be_replaced=mapped is not None):
            raise WeightsError("the file changed while it was read")
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    if not contents.tensors and not contents.problem:
        raise WeightsError(f"{path}: there are no arrays in this file")
    if contents.others:
        digests = " ".join([sha256, *(other.sha256 for other in contents.others)])
        sha256 = hashlib.sha256(digests.encode()).hexdigest()
    return TensorFile(str(path), kind, sha256, contents)


def _changed(path: Path, before: tuple[int, ...], *, may_be_replaced: bool) -> bool:
    now = current_file_state(path)
    replaced = now is None or not is_same_file(now, before)
    return now != before and not (may_be_replaced and replaced)


def _read(data: memoryview, path: Path) -> tuple[str, Contents]:
    """The format of a file, and what it holds."""
    start = bytes(data[:16])
    # the first, as they begin with a number, which may look like the start of anything else
    if safetensors.looks_like(data):
        return "safetensors", safetensors.read(data)
    if start.startswith(b"PK"):
        archive = Archive(data)
        if torch_zip.looks_like(archive):
            return "torch", torch_zip.read(archive)
        return "npz", npz.read(archive)
    if start.startswith(_TORCH_LEGACY_START):
        return "torch (before 1.6)", torch_legacy.read(data)
    if decaf_pickle.looks_like(data):
        return "decaf", decaf_pickle.read(data)
    if start[:1] == b"\x80":
        return "pickle", numpy_pickle.read(data)
    if start.startswith(b"\x93NUMPY"):
        return "npy", _read_npy(data)
    kind = name_kind(data)
    if kind is not None:
        raise WeightsError(kind)
    if onnx.looks_like(data):
        return "onnx", _named("an ONNX model", lambda: onnx.read(data, path.parent))
    if start.startswith(_PROTOBUF_STARTS):
        return "caffemodel", _named("a caffemodel", lambda: caffemodel.read(data))
    if start.startswith(_BLOB_START):
        raise WeightsError("a .binaryproto file of Caffe: a mean image is passed as mean=")
    raise WeightsError(
        f"not a weight file in a known format (it begins with {start!r}); known are npz, "
        "safetensors, state dicts of torch, caffemodels, ONNX models, DeCAF's pickle of 2013, "
        "pickles and .npy files of NumPy arrays"
    )


def _named(kind: str, read: Callable[[], Contents]) -> Contents:
    """Say in errors what a file was taken for; its first bytes leave some doubt."""
    try:
        return read()
    except WeightsError as error:
        raise WeightsError(f"read as {kind}: {error}") from error


def _read_npy(data: memoryview) -> Contents:
    """A dict of arrays, which NumPy saves as an array of one object."""
    value = npz.read_npy(data)
    if isinstance(value, dict):
        return Contents({"": value})
    shape = f"of shape {value.shape} " if isinstance(value, np.ndarray) else ""
    mean = isinstance(value, np.ndarray) and 3 in value.shape
    cure = "; the mean of the training pictures is passed as mean=" if mean else ""
    raise WeightsError(f"a .npy file of one array {shape}without a name, not of weights{cure}")
