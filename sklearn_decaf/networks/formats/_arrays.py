"""Arrays from raw bytes: the checks that all readers share, and NumPy's pickled arrays.

An array is only ever made as a view of bytes that are already there, after its declared size has
been compared with their number. That keeps memory proportional to the file whatever it declares.
"""

from __future__ import annotations

import math

import numpy as np

from ...exceptions import WeightsError
from ._messages import describe
from ._pickle import Buildable, Constructor, Foreign

MAX_DIMENSIONS = 8
OBJECT_CODES = frozenset(["O", "|O", "O4", "O8"])
_PLAIN = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])


class NotNumbers(WeightsError):
    """An array is whole but holds something else, which may just stand beside the weights."""


def plain_dtype(code: object) -> np.dtype:
    """The dtype of numbers that ``code`` names (``"<f4"``, ``"f4"``...); anything else raises."""
    if not isinstance(code, str) or code.lstrip("<>=|") not in _PLAIN or len(code) > 3:
        raise NotNumbers(f"an array of type {describe(code)}, not of numbers")
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


def zeros(n: int) -> np.ndarray:
    """A bias that a layer does not have; it takes no memory, however long it is."""
    return np.broadcast_to(np.float32(0), (n,))


def fold_batch_norm(kernel, weight, bias, mean, var, epsilon):
    """Kernel and bias of a convolution that includes the batch normalisation after it.

    ``(conv(x) - mean) / sqrt(var + epsilon) * weight + bias``, in float64: channels whose variance
    is zero are scaled by ``weight / sqrt(epsilon)``, and float32 would lose digits there. The
    kernel's last axis is that of the filters.
    """
    if not np.all(var >= 0):
        raise WeightsError("a batch normalisation has a negative variance")
    with np.errstate(all="ignore"):  # what is not finite is noticed later
        scale = weight.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
        return kernel * scale, bias.astype(np.float64) - mean.astype(np.float64) * scale


# -- what NumPy writes into a pickle --
#
# A file may hold much besides its weights: arrays of text, of dates, of objects. What is wrong with
# one is kept as its `problem` and said to whoever wants its numbers.


class PickledDtype(Buildable):
    """Stand-in for ``numpy.dtype("f4", False, True)``; its state adds the byte order."""

    def __init__(self, arguments: tuple):
        if not 1 <= len(arguments) <= 3:
            raise WeightsError("a pickled dtype with the wrong number of arguments")
        self.dtype: np.dtype | None = None
        self.problem = ""
        code = arguments[0]
        if isinstance(code, bytes):
            code = code[:8].decode("latin-1")
        self.is_object = isinstance(code, str) and code in OBJECT_CODES
        try:
            self.dtype = plain_dtype(code)
        except WeightsError as error:
            self.problem = str(error)

    def build(self, state: object) -> None:
        # (version, byte order, subdtype, names, fields, itemsize, alignment, flags[, metadata])
        plain = isinstance(state, tuple) and 8 <= len(state) <= 9 and state[2:5] == (None,) * 3
        order = state[1] if plain else None
        if isinstance(order, bytes):
            order = order.decode("latin-1")
        if order not in ("<", ">", "|", "="):
            self.dtype, self.problem = None, "a pickled dtype that is not one plain number"
        elif self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(order)


class PickledArray(Buildable):
    """Stand-in for an array: empty until its state arrives.

    Attributes
    ----------
    array : ndarray or None
        If it is one of numbers.
    objects : list or None
        What is in it, in order, if it is one of objects.
    shape : tuple of int
    problem : str
        Why it is neither.
    """

    def __init__(self, problem: str = "an array that was never filled"):
        self.array: np.ndarray | None = None
        self.objects: list | None = None
        self.shape: tuple[int, ...] = ()
        self.problem = problem
        self._filled = False

    def build(self, state: object) -> None:
        # (version, shape, dtype, is_fortran, bytes, or a list of objects)
        if self._filled:
            raise WeightsError("a pickled array is filled twice")
        if not (isinstance(state, tuple) and len(state) == 5):
            self.problem = "a pickled array with a state that NumPy does not write"
            return
        _, shape, dtype, is_fortran, raw = state
        self.fill(raw, shape, dtype, "F" if is_fortran is True or is_fortran == 1 else "C")

    def fill(self, raw: object, shape: object, dtype: object, order: str) -> None:
        """Make an array of its bytes, or note why that cannot be."""
        self._filled, self.problem = True, ""
        try:
            self.shape = check_shape(shape)
            if not isinstance(dtype, PickledDtype):
                raise WeightsError(f"a dtype expected, {describe(dtype)} found")
            if dtype.is_object and isinstance(raw, list):
                if len(raw) != math.prod(self.shape):
                    raise WeightsError(f"{len(raw)} objects in an array of shape {self.shape}")
                self.objects = raw
            elif dtype.dtype is None:
                raise WeightsError(dtype.problem)
            else:
                self.array = array_from_bytes(raw, shape, dtype.dtype, order)
        except WeightsError as error:
            self.problem = str(error)

    def numbers(self) -> np.ndarray:
        """The array; raises what is wrong if there is none of numbers."""
        if self.array is None:
            raise WeightsError(self.problem or "an array of objects, not of numbers")
        return self.array

    @property
    def description(self) -> str:
        """Description for messages."""
        return self.problem or ("an array of objects" if self.array is None else "an array")


def _reconstruct(arguments: tuple) -> PickledArray | Foreign:
    # NumPy writes (ndarray, (0,), b"b"): an empty array, to be filled by its state
    if len(arguments) != 3 or arguments[0] is not _NDARRAY or arguments[1] != (0,):
        return Foreign("an array that does not begin empty")
    return PickledArray()


def _from_buffer(arguments: tuple) -> PickledArray:
    # protocol 5: (bytes, dtype, shape, order)
    if len(arguments) != 4 or arguments[3] not in ("C", "F"):
        return PickledArray("a pickled array buffer that NumPy does not write")
    raw, dtype, shape, order = arguments
    result = PickledArray()
    result.fill(raw, shape, dtype, order)
    return result


def _scalar(arguments: tuple) -> object:
    if len(arguments) == 2 and isinstance(arguments[0], PickledDtype):
        dtype, raw = arguments
        if dtype.dtype is not None:
            try:
                return array_from_bytes(raw, (), dtype.dtype).item()
            except WeightsError:
                pass
    return Foreign("a NumPy scalar that is no number")


_NDARRAY = object()


def array_names(size: int) -> dict[str, object]:
    """The names an array pickle may use, and what stands for them.

    ``size`` is the length of the file: text that Python 3 wrote for bytes (protocol 2) may be
    turned back into that many bytes in all, however often the pickle refers to it.
    """
    left = size + 4096

    def encode(arguments: tuple) -> object:
        nonlocal left
        text = arguments[0] if 1 <= len(arguments) <= 2 else None
        if not isinstance(text, str) or arguments[1:] not in ((), ("latin1",), ("latin-1",)):
            return Foreign("_codecs.encode", arguments)
        left -= len(text)
        if left < 0:
            raise WeightsError("the pickle expands the same text over and over")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            return Foreign("_codecs.encode", arguments)

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
