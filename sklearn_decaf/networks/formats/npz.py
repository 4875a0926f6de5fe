"""NumPy's ``.npz``: a zip archive of ``.npy`` members.

The header of a member is a Python literal. NumPy evaluates it (safely); here it has to look as
NumPy writes it, so nothing is evaluated and object arrays have no way in. Members of text are
metadata: ``architecture`` says which network the file belongs to.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from ...exceptions import WeightsError
from ._arrays import array_from_bytes, plain_dtype
from ._messages import describe
from ._zip import Archive

MAX_HEADER = 4096
MAX_TEXT = 1000
# Every number but the last ends in a comma, so that there is one way to match and no backtracking
_HEADER = re.compile(
    r"""\{\s*'descr':\s*'([^']{2,8})',
        \s*'fortran_order':\s*(True|False),
        \s*'shape':\s*\(((?:\d{1,12},\s*)*(?:\d{1,12}\s*)?)\),?\s*\}\s*""",
    re.VERBOSE,
)


def read(archive: Archive) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays of an archive by name, and its members of text."""
    tensors: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    for member in archive:
        if not member.endswith(".npy"):
            raise WeightsError(f"the archive holds {describe(member)}, which is no .npy member")
        name = member[: -len(".npy")]
        try:
            value = read_npy(archive.read(member))
        except WeightsError as error:
            raise WeightsError(f"array {describe(name)}: {error}") from error
        if isinstance(value, str):
            metadata[name] = value
        else:
            tensors[name] = value
    return tensors, metadata


def read_npy(content: memoryview) -> np.ndarray | str:
    """The array in one ``.npy`` file, as a read-only view of its bytes; or its text."""
    if len(content) < 12 or content[:6] != b"\x93NUMPY":
        raise WeightsError("not in NumPy's .npy format")
    version = content[6]
    if version not in (1, 2, 3) or content[7] != 0:
        raise WeightsError(f"version {version}.{content[7]} of the .npy format")
    start, code = (10, "<H") if version == 1 else (12, "<I")
    (length,) = struct.unpack(code, content[8:start])
    if length > MAX_HEADER or start + length > len(content):
        raise WeightsError(f"a header of {length} bytes in {len(content)}")
    header = str(content[start : start + length], "latin-1")
    found = _HEADER.fullmatch(header)
    if found is None:
        raise WeightsError(f"header {describe(header.strip())} is not one that NumPy writes")
    descr, fortran_order, shape_text = found.groups()
    shape = tuple(int(n) for n in re.findall(r"\d+", shape_text))
    raw = content[start + length :]
    if re.fullmatch(r"<U\d+", descr):
        return _text(raw, descr, shape)
    order = "F" if fortran_order == "True" else "C"
    return array_from_bytes(raw, shape, plain_dtype(descr), order)


def _text(raw: memoryview, descr: str, shape: tuple[int, ...]) -> str:
    if shape != () or len(raw) > 4 * MAX_TEXT or len(raw) != 4 * int(descr[2:]):
        raise WeightsError("text that is not one short string")
    try:
        return str(raw, "utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise WeightsError("text that is not Unicode") from error
