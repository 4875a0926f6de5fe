"""Containers of images: lists, arrays, columns of data frames; and what is said of all others.

The checks look at types, shapes and dtypes only, so they cost the same for thumbnails and for
panoramas, and leave a memory-mapped array on its disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from sklearn.utils import check_array

from ..exceptions import ImageError
from ._inputs import (
    CHANNELS,
    ITEM,
    ImageInputs,
    array_problem,
    describe,
    dtype_problem,
    find_problem,
)

if TYPE_CHECKING:
    from .._utils.types import Images, ImageShape

# What brings the rows of a lazy collection here, by the library that it belongs to.
_LAZY = {
    "dask": "compute()",
    "pyspark": "toPandas()",
    "daft": "to_pandas()",
    "ray": "to_pandas()",
    "duckdb": "df()",
    "ibis": "execute()",
}


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
        A list, tuple or other sequence, a 1-D object or string array, a Series (pandas, polars or
        Daft), an Arrow array, a one-column data frame (pandas or polars) or Arrow table, or a data
        set of Hugging Face with one column. There may be no images in it. Each item is a path
        (``str`` or ``os.PathLike``) or a ``file:`` address, the encoded bytes of an image file, a
        dict of both (``{"bytes": ..., "path": ...}``, either of which may be None), a PIL image,
        or an array of shape (height, width) or (height, width, channels) with 1 (grey), 3 (RGB)
        or 4 (RGBA) channels; kinds may be mixed. Pixels are uint8 in [0, 255], uint16 in
        [0, 65535] or floats in [0, 1]. One array of shape (n_images, height, width, channels) is
        a sequence of images too, memory-mapped or not. With `image_shape`, a matrix of shape
        (n_images, height * width * channels).
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
    if isinstance(X, np.ndarray):
        return _check_array(X)
    _refuse_lazy(X)
    if hasattr(X, "tocsr"):
        raise ImageError(f"X is a sparse {type(X).__name__}: images are dense, pass X.toarray().")
    if is_frame(X):
        X = _single_column(X)
    if hasattr(X, "to_list") and hasattr(X, "dtype"):  # a Series
        return ImageInputs(X.to_list(), getattr(X, "index", None))
    if hasattr(X, "to_pylist"):  # of Arrow, or a Series of Daft
        # paths all at once, so that they can be checked; bytes one by one
        is_text = str(getattr(X, "type", "string")) in ("string", "large_string", "string_view")
        return ImageInputs(X.to_pylist() if is_text else X)
    if isinstance(X, Sequence) and not isinstance(X, range):
        return ImageInputs(X)

    found = "X is None" if X is None else f"X is a {type(X).__name__}"
    if isinstance(X, Iterator):
        fix = (
            "it can be read only once and has no length: pass list(X), or, if it yields data "
            "frames, as Spark's mapInPandas does, the column of one frame after the other"
        )
    elif isinstance(X, Mapping):
        columns = [name for name, value in X.items() if isinstance(value, np.ndarray | list)]
        fix = "pass its images only: list(X.values())"
        if columns:
            fix = f"pass the entry that holds the images, X[{columns[0]!r}], say"
    elif isinstance(X, Set):
        fix = "it has no order, so rows could not be told apart: pass a list in the order you want"
    elif hasattr(X, "__array__"):
        fix = "pass a NumPy array, np.asarray(X), of shape (n_images, height, width, channels)"
    elif hasattr(X, "__iter__") and not isinstance(X, range):
        fix = "pass a list of images, list(X)"
    else:
        fix = f"pass a list of images; {ITEM}"
    raise ImageError(f"{found}: {fix}.")


def is_frame(X) -> bool:
    """Tell whether `X` has columns with names: a data frame, an Arrow table, a data set."""
    return (hasattr(X, "columns") and hasattr(X, "dtypes")) or (
        hasattr(X, "column_names") and hasattr(X, "num_rows")
    )


def column_names(frame) -> list:
    """Names of the columns of what `is_frame` accepts."""
    return list(frame.columns if hasattr(frame, "dtypes") else frame.column_names)


def columns(frame) -> list[list]:
    """Items of each column of what `is_frame` accepts."""
    return [list(_check_container(frame[name])) for name in column_names(frame)]


def _refuse_lazy(X) -> None:
    kind, library = type(X).__name__, type(X).__module__.partition(".")[0]
    if kind == "LazyFrame":  # of polars
        raise ImageError("X is a LazyFrame, a plan without rows: pass X.collect().")
    if library in _LAZY and (library, kind) != ("daft", "Series"):
        raise ImageError(
            f"X is a {kind} of {library}, whose rows are not here: map the transformer over its "
            "partitions, as the page 'Ten million images' of the documentation shows, or pass "
            f"X.{_LAZY[library]}."
        )


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
    if X.shape == (0,):  # of floats, if it was made from an empty list
        return ImageInputs([])
    if X.dtype.kind == "S":
        raise ImageError(
            f"{found}: NumPy's bytes strings lose their trailing zero bytes, which damages image "
            "files: pass a list of bytes objects, or np.array(..., dtype=object)."
        )
    if X.ndim == 4:
        problem = array_problem(X.shape[1:], X.dtype, "X", "X.transpose(0, 2, 3, 1)")
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
        return f"numbers are no images; {ITEM}"
    return "one array of images has the shape (n_images, height, width, channels)"


def _single_column(frame):
    names = column_names(frame)
    if len(names) != 1:
        listed = ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        kind = "data frame" if hasattr(frame, "dtypes") else type(frame).__name__
        raise ImageError(
            f"X is a {kind} with {len(names)} columns ({listed}): pass the one column that holds "
            "the images, as X[name], or select it with a ColumnTransformer; if each row is a "
            "flattened image, set image_shape=(height, width[, channels])."
        )
    return frame[names[0]]


def _check_matrix(X, image_shape, check_range) -> ImageInputs:
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if (
        len(shape) not in (2, 3)
        or not all(isinstance(side, Integral) and int(side) > 0 for side in shape)
        or (len(shape) == 3 and shape[2] not in CHANNELS)
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
        problem = dtype_problem(matrix.dtype, "X")
        if problem:
            raise ImageError(f"X of shape {matrix.shape} and dtype {matrix.dtype}: {problem}.")
    return _FlatRows(matrix, shape, check_range)
