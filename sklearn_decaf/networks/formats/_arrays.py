"""Arrays from raw bytes: the checks that all readers share, and NumPy's pickled arrays.

An array is only ever made as a view of bytes that are already there, after its declared size has
been compared with their number. That keeps memory proportional to the file whatever it declares.
"""

from __future__ import annotations

import math

import numpy as np

from ...exceptions import WeightsError
from ._messages import describe
from ._pickle import Buildable, Constructor

MAX_DIMENSIONS = 8
_PLAIN = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])


def plain_dtype(code: object) -> np.dtype:
    """The dtype of numbers that ``code`` names (``"<f4"``, ``"f4"``...); anything else raises."""
    if isinstance(code, bytes):
        code = code[:8].decode("latin-1")
    if not isinstance(code, str) or code.lstrip("<>=|") not in _PLAIN or len(code) > 3:
        hint = " (an object array can hold code)" if code in ("O", "O8", "|O") else ""
        raise WeightsError(f"an array of type {describe(code)}, not of numbers{hint}")
    return np.dtype(code)


def check_shape(shape: object) -> tuple[int, ...]:
    """``shape`` as a tuple of integers; raises where it cannot be a shape."""
    if not isinstance(shape, tuple | list) or len(shape) > MAX_DIMENSIONS:
        raise WeightsError(f"an array shape that is no tuple of at most {MAX_DIMENSIONS} numbers")
    if not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise WeightsError(f"an array shape with entries {[describe(n) for n in shape]}")
    return tuple(shape)


def array_from_bytes(raw, shape: object, dtype: np.dtype, order: str = "C") -> np.ndarray:
    """A read-only view of ``raw`` as an array, if its length is exactly what the shape needs."""
    shape = check_shape(shape)
    if not isinstance(raw, bytes | memoryview):
        raise WeightsError(f"array data that are {describe(raw)}, not bytes")
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) != wanted:
        raise WeightsError(
            f"an array of shape {shape} and type {dtype} takes {wanted} bytes, "
            f"but {len(raw)} are there"
        )
    array = np.frombuffer(raw, dtype).reshape(shape, order=order)
    array.flags.writeable = False
    return array


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """Numbers of type bfloat16, given as their bits: the upper halves of float32 numbers."""
    array = (bits.astype(np.uint32) << 16).view(np.float32)
    array.flags.writeable = False
    return array


# -- what NumPy writes into a pickle --


class PickledDtype(Buildable):
    """Stand-in for ``numpy.dtype("f4", False, True)``; its state adds the byte order."""

    def __init__(self, arguments: tuple):
        if not 1 <= len(arguments) <= 3:
            raise WeightsError("a pickled dtype with the wrong number of arguments")
        self.dtype = plain_dtype(arguments[0])

    def build(self, state: object) -> None:
        # (version, byte order, subdtype, names, fields, itemsize, alignment, flags[, metadata])
        plain = isinstance(state, tuple) and 8 <= len(state) <= 9 and state[2:5] == (None,) * 3
        order = state[1] if plain else None
        if isinstance(order, bytes):
            order = order.decode("latin-1")
        if order not in ("<", ">", "|", "="):
            raise WeightsError("a pickled dtype that is not one plain number")
        self.dtype = self.dtype.newbyteorder(order)


class PickledArray(Buildable):
    """Stand-in for an array: empty until its state arrives."""

    array: np.ndarray | None = None

    def build(self, state: object) -> None:
        # (version, shape, dtype, is_fortran, bytes)
        if not (isinstance(state, tuple) and len(state) == 5):
            raise WeightsError("a pickled array with a state that NumPy does not write")
        if self.array is not None:
            raise WeightsError("a pickled array is filled twice")
        _, shape, dtype, is_fortran, raw = state
        order = "F" if is_fortran is True or is_fortran == 1 else "C"
        self.array = array_from_bytes(raw, shape, _dtype_of(dtype), order)


def _dtype_of(value: object) -> np.dtype:
    if not isinstance(value, PickledDtype):
        raise WeightsError(f"a dtype expected, {describe(value)} found")
    return value.dtype


def _reconstruct(arguments: tuple) -> PickledArray:
    # NumPy writes (ndarray, (0,), b"b"): an empty array, to be filled by its state
    if len(arguments) != 3 or arguments[0] is not _NDARRAY or arguments[1] != (0,):
        raise WeightsError("a pickled array that does not begin empty")
    return PickledArray()


def _from_buffer(arguments: tuple) -> PickledArray:
    # protocol 5: (bytes, dtype, shape, order)
    if len(arguments) != 4 or arguments[3] not in ("C", "F"):
        raise WeightsError("a pickled array buffer that NumPy does not write")
    raw, dtype, shape, order = arguments
    result = PickledArray()
    result.array = array_from_bytes(raw, shape, _dtype_of(dtype), order)
    return result


def _scalar(arguments: tuple) -> float | int | bool:
    if len(arguments) != 2:
        raise WeightsError("a pickled number that NumPy does not write")
    return array_from_bytes(arguments[1], (), _dtype_of(arguments[0])).item()


_NDARRAY = object()


def array_names(size: int) -> dict[str, object]:
    """The names an array pickle may use, and what stands for them.

    ``size`` is the length of the file: text that Python 3 wrote for bytes (protocol 2) may be
    turned back into that many bytes in all, however often the pickle refers to it.
    """
    left = size + 4096

    def encode(arguments: tuple) -> bytes:
        nonlocal left
        if not (1 <= len(arguments) <= 2 and isinstance(arguments[0], str)):
            raise WeightsError("_codecs.encode is not given text")
        if len(arguments) == 2 and arguments[1] not in ("latin1", "latin-1"):
            raise WeightsError("_codecs.encode is not asked for latin-1")
        left -= len(arguments[0])
        if left < 0:
            raise WeightsError("the pickle expands the same text over and over")
        try:
            return arguments[0].encode("latin-1")
        except UnicodeEncodeError as error:
            raise WeightsError("text that does not stand for bytes") from error

    names: dict[str, object] = {
        "numpy.ndarray": _NDARRAY,
        "numpy.dtype": Constructor("numpy.dtype", PickledDtype),
        "_codecs.encode": Constructor("_codecs.encode", encode),
    }
    for core in ("numpy.core", "numpy._core"):
        names |= {
            f"{core}.multiarray._reconstruct": Constructor("_reconstruct", _reconstruct),
            f"{core}.multiarray.scalar": Constructor("scalar", _scalar),
            f"{core}.numeric._frombuffer": Constructor("_frombuffer", _from_buffer),
        }
    return names
