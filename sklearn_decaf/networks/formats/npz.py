"""NumPy's ``.npz``: a zip archive of ``.npy`` members.

The header of a member is a Python literal. NumPy evaluates it (safely); here it has to look as
NumPy writes it, so nothing is evaluated. Members of text are metadata: ``architecture`` says which
network the file belongs to. Arrays of objects are pickles, read as such: for arrays. Other members,
such as the names of classes, are passed over.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from ...exceptions import WeightsError
from ._arrays import OBJECT_CODES, NotNumbers, array_from_bytes, plain_dtype
from ._contents import Contents
from ._kinds import name_archive
from ._messages import describe
from ._zip import Archive
from .numpy_pickle import arrays_in, load_arrays

MAX_HEADER = 4096
MAX_TEXT = 1000
# Every number but the last ends in a comma, so that there is one way to match and no backtracking
_HEADER = re.compile(
    r"""\{\s*'descr':\s*'([^']{1,8})',
        \s*'fortran_order':\s*(True|False),
        \s*'shape':\s*\(((?:\d{1,12},\s*)*(?:\d{1,12}\s*)?)\),?\s*\}\s*""",
    re.VERBOSE,
)


def read(archive: Archive) -> Contents:
    """Arrays of an archive by name, and its members of text as metadata."""
    tensors: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    passed_over = ""
    if not all(member.endswith(".npy") for member in archive):
        raise WeightsError(name_archive(archive))
    for member in archive:
        name = member[: -len(".npy")]
        try:
            value = read_npy(archive.read(member))
        except NotNumbers as error:
            passed_over = passed_over or f"array {describe(name)}: {error}"
            continue
        except WeightsError as error:
            raise WeightsError(f"array {describe(name)}: {error}") from error
        if isinstance(value, str):
            metadata[name] = value
            continue
        named = value if isinstance(value, dict) else {"": value}
        for key, array in named.items():
            full = f"{name}.{key}" if key else name
            if full in tensors:
                raise WeightsError(f"two arrays are called {describe(full)}")
            tensors[full] = array
    if passed_over and not tensors:
        raise WeightsError(passed_over)
    return Contents({"": tensors}, metadata)


def read_npy(content: memoryview) -> np.ndarray | str | dict[str, np.ndarray]:
    """The array in one ``.npy`` file, as a read-only view of its bytes; or its text.

    Of an array of objects, such as ``numpy.save`` makes of a dict, the arrays in it by name.
    """
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
    if descr in OBJECT_CODES:
        return arrays_in(load_arrays(raw))
    order = "F" if fortran_order == "True" else "C"
    return array_from_bytes(raw, shape, plain_dtype(descr), order)


def _text(raw: memoryview, descr: str, shape: tuple[int, ...]) -> str:
    if shape != () or len(raw) > 4 * MAX_TEXT:
        raise NotNumbers("text that is not one short string")
    if len(raw) != 4 * int(descr[2:]):
        raise WeightsError(f"text of {len(raw)} bytes where the header declares {descr}")
    try:
        return str(raw, "utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise WeightsError("text that is not Unicode") from error
