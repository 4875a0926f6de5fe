"""What a user may call images: the containers, and what each of their items may be.

Nothing is decoded here. The checks look at types, shapes and dtypes only, so they cost the same
for thumbnails and for panoramas, and leave a memory-mapped array on its disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from sklearn.utils import check_array

from ..exceptions import ImageAccessError, ImageError

if TYPE_CHECKING:
    from .._utils.types import Images, ImageShape

_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
_ITEM = (
    "an image is a path, the encoded bytes of a file, a PIL image, or an array of shape "
    "(height, width) or (height, width, channels)"
)


class ImageInputs(Sequence):
    """Images as the user gave them, indexed by row; the items are neither copied nor decoded."""

    def __init__(self, items: Any, labels: Any = None) -> None:
        self._items = items
        self._labels = labels

    @property
    def is_cheap(self) -> bool:
        """Whether all items can be looked at: neither made on demand, nor parts of one array."""
        if isinstance(self._items, np.ndarray):
            return self._items.ndim == 1
        return isinstance(self._items, list | tuple)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, row: Any) -> Any:
        return self._items[row]

    def name_row(self, row: int) -> str:
        """Name a row for a message, with its label where that is not just the row number."""
        label = row if self._labels is None else self._labels[row]
        if isinstance(label, Integral) and label == row:
            return f"row {row}"
        label = label.item() if isinstance(label, np.generic) else label
        return f"row {row} (index {label!r})"


class FileContent(bytes):
    """The bytes of a file that was read already, with its `path` for messages."""

    path: str | os.PathLike = ""


class FailureReason(str):
    """Why an image could not be read; `is_access` if its file could not even be opened or read."""

    is_access: bool = False

    @classmethod
    def of(cls, error: Exception, text: str) -> FailureReason:
        """The reason that an error gives, in other words."""
        reason = cls(text)
        # an OSError that is no ImageError comes from a sequence that reads its items on demand
        reason.is_access = isinstance(error, ImageAccessError) or not isinstance(error, ImageError)
        return reason

    @property
    def error_class(self) -> type[ImageError]:
        """What to raise with this reason."""
        return ImageAccessError if self.is_access else ImageError


class _FlatRows(ImageInputs):
    """Rows of a matrix, each of them a flattened image."""

    def __init__(self, matrix, image_shape, check_range):
        super().__init__(matrix)
        self._image_shape = image_shape
        self._check_range = check_range

    def __getitem__(self, row):
        image = self._items[row].reshape(self._image_shape)
        if not self._check_range and image.dtype != np.uint8:
            image = np.clip(image.astype(np.float64), 0, 1)
        return image


def check_images(
    X: Images,
    *,
    image_shape: ImageShape | None = None,
    on_error: Literal["raise", "nan"] = "raise",
    check_range: bool = True,
) -> ImageInputs:
    """Check that `X` is a sequence of images, without reading any of them.

    Parameters
    ----------
    X : sequence of images
        A list, tuple or other sequence, a 1-D object or string array, a Series or a one-column
        data frame (pandas or polars). Each item is a path (``str`` or ``os.PathLike``), the
        encoded bytes of an image file, a PIL image, or an array of shape (height, width) or
        (height, width, channels) with 1 (grey), 3 (RGB) or 4 (RGBA) channels; kinds may be mixed.
        Pixels are uint8 in [0, 255], uint16 in [0, 65535] or floats in [0, 1]. One array of shape
        (n_images, height, width, channels) is a sequence of images too, memory-mapped or not.
        With `image_shape`, a matrix of shape (n_images, height * width * channels).
    image_shape : tuple of 2 or 3 ints, default=None
        Shape (height, width) or (height, width, channels) of the image that each row of a
        two-dimensional `X` holds, in C order. None means that `X` holds images, not rows.
    on_error : {"raise", "nan"}, default="raise"
        With "nan", an item that cannot be an image is left for `iter_batches` to report as a
        failed row. Trouble with the container as a whole raises either way.
    check_range : bool, default=True
        False clips the rows of a matrix to [0, 1] when they are read; True refuses values outside.

    Returns
    -------
    images : ImageInputs
        The same items, with ``len`` and integer indexing. Files are not opened: one that does
        not exist is found when it is read.

    Raises
    ------
    ImageError
        If `X` is not a sequence of images. The message names the first bad row, what was found
        there, and how to mend it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.images import check_images
    >>> images = check_images(["cat.jpg", np.zeros((32, 48, 3), dtype=np.uint8)])
    >>> len(images), images[0]
    (2, 'cat.jpg')
    >>> check_images(np.zeros((10, 3, 32, 32), dtype=np.uint8))
    Traceback (most recent call last):
    ...
    sklearn_decaf.exceptions.ImageError: X of shape (10, 3, 32, 32) and dtype uint8: the 3 \
channels come first, they must come last: pass X.transpose(0, 2, 3, 1).
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f"on_error={on_error!r}: it must be 'raise' or 'nan'.")
    if isinstance(X, ImageInputs):
        return X
    if image_shape is not None:
        return _check_matrix(X, image_shape, check_range)
    images = _check_container(X)
    if len(images) == 0:
        raise ImageError("X is empty: found 0 images, pass at least one.")
    if on_error == "raise" and images.is_cheap:
        for row, image in enumerate(images):
            problem = find_problem(image)
            if problem:
                raise ImageError(f"{images.name_row(row)}, {describe(image)}: {problem}.")
    return images


def _check_container(X) -> ImageInputs:
    """Dispatch on the type: `np.asarray` would turn a list of PIL images into their pixels."""
    if isinstance(X, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        raise ImageError(_single_image_message(X))
    if type(X).__name__ == "LazyFrame":  # of polars
        raise ImageError("X is a LazyFrame, a plan without rows: pass X.collect().")
    if isinstance(X, np.ndarray):
        return _check_array(X)
    if hasattr(X, "tocsr"):
        raise ImageError(f"X is a sparse {type(X).__name__}: images are dense, pass X.toarray().")
    if hasattr(X, "columns") and hasattr(X, "dtypes"):  # a data frame
        X = _single_column(X)
    if hasattr(X, "to_list") and hasattr(X, "dtype"):  # a Series
        return ImageInputs(X.to_list(), getattr(X, "index", None))
    if isinstance(X, Sequence) and not isinstance(X, range):
        return ImageInputs(X)

    found = "X is None" if X is None else f"X is a {type(X).__name__}"
    if isinstance(X, Iterator):
        fix = "it can be read only once and has no length: pass list(X)"
    elif isinstance(X, Mapping):
        fix = "pass its images only: list(X.values())"
    elif isinstance(X, Set):
        fix = "it has no order, so rows could not be told apart: pass a list in the order you want"
    elif hasattr(X, "__array__"):
        fix = "pass a NumPy array, np.asarray(X), of shape (n_images, height, width, channels)"
    elif hasattr(X, "__iter__") and not isinstance(X, range):
        fix = "pass a list of images, list(X)"
    else:
        fix = f"pass a list of images; {_ITEM}"
    raise ImageError(f"{found}: {fix}.")


def _single_image_message(X) -> str:
    kind = describe(X)
    if isinstance(X, str | os.PathLike):
        path = os.fsdecode(X)
        if os.path.isdir(path):
            return (
                f"X is one directory, {kind}: sklearn_decaf.datasets.load_image_folder(X) lists a "
                "folder per class, sorted(pathlib.Path(X).glob('*.jpg')) a plain one."
            )
        if "*" in path:
            return f"X is one pattern, {kind}: pass sorted(glob.glob(X))."
        kind = f"path {kind}"
    return f"X is one image ({kind}), not a sequence of images: pass [X]."


def _check_array(X) -> ImageInputs:
    found = f"X of shape {X.shape} and dtype {X.dtype}"
    if isinstance(X, np.ma.MaskedArray):
        raise ImageError(f"{found}: masked pixels have no value, pass X.filled(0), say.")
    if X.dtype.kind in "OUT":  # Python objects, or strings
        if X.ndim == 2 and X.shape[1] == 1:  # one column, as ColumnTransformer passes it on
            X = X[:, 0]
        if X.ndim == 1:
            return ImageInputs(X)
        raise ImageError(
            f"{found}: an array of objects or strings must have one dimension, one image an item; "
            "pixels must have a numeric dtype, X.astype(np.uint8) if they are in 0..255."
        )
    if X.dtype.kind == "S":
        raise ImageError(
            f"{found}: NumPy's bytes strings lose their trailing zero bytes, which damages image "
            "files: pass a list of bytes objects, or np.array(..., dtype=object)."
        )
    if X.ndim == 4:
        if len(X) == 0:
            raise ImageError(f"{found} is empty: found 0 images, pass at least one.")
        problem = _array_problem(X.shape[1:], X.dtype, "X", "X.transpose(0, 2, 3, 1)")
        if problem:
            raise ImageError(f"{found}: {problem}.")
        return ImageInputs(X)
    raise ImageError(f"{found}: {_wrong_dimensions(X)}.")


def _wrong_dimensions(X) -> str:
    if X.ndim == 2:
        return (
            "rows of numbers need image_shape=(height, width) or (height, width, channels) to "
            "say what image each row holds; if X is one grey image, pass X[None, ..., None]"
        )
    if X.ndim == 3:
        one, stack = "if it is one image, pass X[None]", "a stack of grey images, X[..., None]"
        return f"it could be one image or many: {one}; if it is {stack}"
    if X.ndim == 1:
        return f"numbers are no images; {_ITEM}"
    return "one array of images has the shape (n_images, height, width, channels)"


def _single_column(frame):
    names = list(frame.columns)
    if len(names) != 1:
        listed = ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        raise ImageError(
            f"X is a data frame with {len(names)} columns ({listed}): pass the one column that "
            "holds the images, as X[name], or select it with a ColumnTransformer; if each row is "
            "a flattened image, set image_shape=(height, width[, channels])."
        )
    return frame[names[0]]


def _check_matrix(X, image_shape, check_range) -> ImageInputs:
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if (
        len(shape) not in (2, 3)
        or not all(isinstance(side, Integral) and int(side) > 0 for side in shape)
        or (len(shape) == 3 and shape[2] not in _CHANNELS)
    ):
        raise ValueError(
            f"image_shape={image_shape!r}: it must be (height, width) or (height, width, "
            "channels), positive integers, with 1, 3 or 4 channels."
        )
    first = X[0] if isinstance(X, list | tuple) and X else X
    is_image = isinstance(first, str | os.PathLike | bytes | Image.Image)
    if is_image or np.ndim(first) + (first is not X) > 2:
        raise ImageError(
            f"X holds images, and image_shape={image_shape!r} says that it holds rows of numbers: "
            "leave image_shape=None."
        )
    # check_array refuses sparse and complex input, single rows and the like in scikit-learn's
    # own words. NaN is left for the reading, which knows what to do with a bad row.
    matrix = check_array(X, dtype="numeric", ensure_all_finite=False)
    expected = int(np.prod(shape))
    if matrix.shape[1] != expected:
        raise ImageError(
            f"X has {matrix.shape[1]} features (columns), but image_shape={image_shape!r} needs "
            f"{' * '.join(map(str, shape))} = {expected}."
        )
    if check_range:
        problem = _dtype_problem(matrix.dtype, "X")
        if problem:
            raise ImageError(f"X of shape {matrix.shape} and dtype {matrix.dtype}: {problem}.")
    return _FlatRows(matrix, shape, check_range)


def find_problem(image) -> str | None:
    """Say why an item cannot be an image, and what to pass instead; None if it can be one."""
    if isinstance(image, str):
        if image.startswith("data:") or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", image):
            return "a URL: download the file, and pass its path or its bytes"
        return None if image else "an empty path"
    if isinstance(image, np.ma.MaskedArray):
        return "masked pixels have no value: pass x.filled(0), say"
    if isinstance(image, np.ndarray):
        return _array_problem(image.shape, image.dtype, "x", "x.transpose(1, 2, 0)")
    if isinstance(image, Image.Image):
        return None if min(image.size) > 0 else "the image has no pixels"
    if isinstance(image, os.PathLike | bytes | bytearray | memoryview):
        return None
    if _is_missing(image):
        return "a missing value, drop it or set on_error='nan' to get a row of NaN"
    if isinstance(image, Mapping):
        return "pass the entry that holds the image, x['path'] or x['bytes'], say"
    if isinstance(image, list | tuple):
        return "lists are not read as pixels: pass np.asarray(x, dtype=np.uint8)"
    if hasattr(image, "read"):
        return "an open file: pass its path, or its bytes x.read()"
    if hasattr(image, "__array__") and not isinstance(image, Number | np.generic):
        return "pass a NumPy array, np.asarray(x), of shape (height, width, channels)"
    return f"no image; {_ITEM}"


def _is_missing(item) -> bool:
    if item is None or type(item).__name__ in ("NAType", "NaTType"):  # pandas' own
        return True
    return isinstance(item, float | np.floating) and bool(np.isnan(item))


def _array_problem(shape, dtype, name, channels_last) -> str | None:
    """Check the shape and the dtype of an image (for `name`, by which the fix calls it)."""
    if len(shape) not in (2, 3):
        hint = ""
        if len(shape) == 1 and dtype == np.uint8:
            hint = f"; if these are the encoded bytes of a file, pass {name}.tobytes()"
        elif len(shape) == 4 and shape[0] == 1:
            hint = f": pass {name}[0]"
        return f"an image has the shape (height, width) or (height, width, channels){hint}"
    if 0 in shape:
        return "the image has no pixels"
    if len(shape) == 3 and shape[2] not in _CHANNELS:
        if shape[0] in _CHANNELS:
            return f"the {shape[0]} channels come first, they must come last: pass {channels_last}"
        return f"{shape[2]} channels: an image has 1 (grey), 3 (RGB) or 4 (RGBA), on the last axis"
    return _dtype_problem(dtype, name)


def _dtype_problem(dtype, name) -> str | None:
    if dtype.kind == "f" or (dtype.kind == "u" and dtype.itemsize <= 2):
        return None
    if dtype.kind == "b":
        return f"bool pixels: for black and white, pass ({name} * 255).astype(np.uint8)"
    if dtype.kind in "iu":
        return (
            f"the range of {dtype} pixels is unknown: pass {name}.astype(np.uint8) if it is "
            "0..255, .astype(np.uint16) if it is 0..65535"
        )
    return f"pixels must be uint8, uint16, or float in [0, 1], not {dtype}"


def describe(image) -> str:
    """Name an item for a message: a path in full, anything else by its kind and size."""
    if isinstance(image, FileContent):
        image = image.path
    if isinstance(image, str | os.PathLike):
        text = repr(os.fsdecode(image))
        return text if len(text) <= 300 else f"{text[:120]}...{text[-120:]}"
    if isinstance(image, bytes | bytearray | memoryview):
        return f"{memoryview(image).nbytes} encoded bytes"
    if isinstance(image, Image.Image):
        return f"PIL image of mode {image.mode} and size {image.width} x {image.height}"
    if isinstance(image, np.ndarray):
        return f"array of shape {image.shape} and dtype {image.dtype}"
    if isinstance(image, Number | None):
        return repr(image)[:40]
    return f"an object of type {type(image).__name__}"
