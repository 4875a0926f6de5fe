"""Files of means: Caffe's ``.binaryproto``, NumPy's ``.npy`` and ``.npz``, DeCAF's ``.meta``, text.

They hold a mean image with the channels first, in the order in which their network wants them, or
three numbers: the mean pixel, in that order too.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from ..._utils.data_home import expand_user
from ...exceptions import WeightsError
from . import caffemodel, npz
from ._arrays import PickledArray
from ._kinds import name_kind
from ._mapping import check_digest, map_file
from ._messages import describe
from ._zip import Archive
from .numpy_pickle import load_arrays

MAX_VALUES = 2**24
_NUMBER = rb"[+-]?\d{1,20}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?"
_THREE_NUMBERS = re.compile(
    rb"[\s\[(]*(?:NUMBER[\s,;]+){2}NUMBER[\s\])]*".replace(b"NUMBER", _NUMBER)
)


def read_mean_image(
    path: str | os.PathLike[str], *, checksum: str | None = None
) -> tuple[np.ndarray, str]:
    """Read the mean image of a network, or its mean pixel.

    Parameters
    ----------
    path : str or path-like
        The format is recognised by content.
    checksum : str or None
        Such as ``"sha256:..."``, checked first.

    Returns
    -------
    pixels : ndarray of shape (h, w, 3) or (3,), float
    sha256 : str
        Of the file.

    Raises
    ------
    WeightsError
        If the file cannot be read or holds no mean. The message begins with the path.
    """
    path = Path(expand_user(path)).absolute()
    try:
        data, _ = map_file(path)
        sha256 = hashlib.sha256(data).hexdigest()
        check_digest(data, sha256, checksum)
        return read(data), sha256
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def read(data: memoryview) -> np.ndarray:
    """The mean image in these bytes, (h, w, 3), or the mean pixel, (3,)."""
    pixels = _values(data)
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fiu":
        raise WeightsError("the mean is not of numbers")
    if pixels.size > MAX_VALUES:
        raise WeightsError(f"a mean image of {pixels.size} numbers")
    if pixels.size == 3:
        return pixels.reshape(3).astype(np.float64)
    if pixels.ndim != 3 and pixels.size % 3 == 0:  # DeCAF's has one axis, or an empty second one
        side = round((pixels.size // 3) ** 0.5)
        if pixels.size == 3 * side * side == max(pixels.shape, default=0):
            pixels = pixels.reshape(3, side, side)
    while pixels.ndim > 3 and len(pixels) == 1:  # a batch of one
        pixels = pixels[0]
    if pixels.ndim != 3 or len(pixels) != 3:
        last = pixels.ndim == 3 and pixels.shape[-1] == 3
        cure = ": transpose it, so that the channels come first" if last else ""
        raise WeightsError(
            f"a mean image of shape {pixels.shape}; (3, 256, 256) is expected, or three numbers, "
            f"the mean pixel{cure}"
        )
    return pixels.transpose(1, 2, 0).astype(np.float64)


def _values(data: memoryview) -> object:
    start = bytes(data[:500])
    if start[:6] == b"\x93NUMPY":
        return npz.read_npy(data)
    if start[:2] == b"PK":
        return _the_one(npz.read(Archive(data)).tensors)
    if start[:1] == b"\x80":
        return _read_meta(data)
    if len(data) < 500 and _THREE_NUMBERS.fullmatch(start):
        return np.array([float(number) for number in re.findall(_NUMBER, start)])
    kind = name_kind(data)
    if kind is not None:
        raise WeightsError(kind)
    return caffemodel.read_blob(data)


def _the_one(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The mean in an archive: its only array, or the one that is called so."""
    named = [name for name in arrays if name in ("mean", "data_mean", "mean_image", "image_mean")]
    if len(arrays) == 1 or len(named) == 1:
        return arrays[named[0] if named else next(iter(arrays))]
    raise WeightsError(
        f"the archive holds {len(arrays)} arrays ({', '.join(map(describe, list(arrays)[:4]))}), "
        "and it is not clear which is the mean: save that one alone"
    )


def _read_meta(data: memoryview) -> np.ndarray:
    """``data_mean`` of the dict in DeCAF's ``.meta`` file."""
    meta = load_arrays(data)
    if isinstance(meta, PickledArray):
        return meta.numbers()
    if not isinstance(meta, dict):
        raise WeightsError("the pickle does not hold a dict, as a .meta file does")
    mean = meta.get("data_mean")
    if not isinstance(mean, PickledArray):
        raise WeightsError(f"its 'data_mean' is {describe(mean)}, not an array")
    return mean.numbers()
