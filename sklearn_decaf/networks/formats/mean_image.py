"""Files of mean images: Caffe's ``.binaryproto``, NumPy's ``.npy``, and DeCAF's ``.meta`` pickle.

All hold a mean image with the channels first, in the order in which their network wants them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from ..._utils.data_home import expand_user
from ...exceptions import WeightsError
from . import caffemodel, npz
from ._arrays import PickledArray, array_names
from ._mapping import check_digest, map_file
from ._messages import describe
from ._pickle import Blank, load_pickle

MAX_VALUES = 2**24


def read_mean_image(
    path: str | os.PathLike[str], *, checksum: str | None = None
) -> tuple[np.ndarray, str]:
    """Read the mean image of a network.

    Parameters
    ----------
    path : str or path-like
        The format is recognised by content.
    checksum : str or None
        Such as ``"sha256:..."``, checked first.

    Returns
    -------
    pixels : ndarray of shape (h, w, 3), float
    sha256 : str
        Of the file.

    Raises
    ------
    WeightsError
        If the file cannot be read or holds no mean image. The message begins with the path.
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
    """The mean image in these bytes: (h, w, 3)."""
    start = bytes(data[:6])
    if start == b"\x93NUMPY":
        pixels = npz.read_npy(data)
    elif start[:1] == b"\x80":
        pixels = _read_meta(data)
    elif start[:1] in (b"(", b"}"):
        raise WeightsError("a pickle of protocol 0 or 1; pickle its dict again, with protocol 2")
    else:
        pixels = caffemodel.read_blob(data)
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "fu":
        raise WeightsError("the mean image is not of numbers")
    if pixels.size > MAX_VALUES:
        raise WeightsError(f"a mean image of {pixels.size} numbers")
    if pixels.ndim != 3 and pixels.size % 3 == 0:  # DeCAF's has one axis, or an empty second one
        side = round((pixels.size // 3) ** 0.5)
        if pixels.size == 3 * side * side == max(pixels.shape, default=0):
            pixels = pixels.reshape(3, side, side)
    while pixels.ndim > 3 and len(pixels) == 1:  # a batch of one
        pixels = pixels[0]
    if pixels.ndim != 3 or len(pixels) != 3:
        raise WeightsError(f"a mean image of shape {pixels.shape}; (3, 256, 256) is expected")
    return pixels.transpose(1, 2, 0).astype(np.float64)


def _read_meta(data: memoryview) -> np.ndarray:
    """``data_mean`` of the dict in DeCAF's ``.meta`` file."""
    meta, _ = load_pickle(data, names=array_names(len(data)), unknown=Blank, at_end=True)
    if not isinstance(meta, dict):
        raise WeightsError("the pickle does not hold a dict, as a .meta file does")
    mean = meta.get("data_mean", meta.get(b"data_mean"))
    if not isinstance(mean, PickledArray) or mean.array is None:
        raise WeightsError(f"its 'data_mean' is {describe(mean)}, not an array")
    return mean.array
