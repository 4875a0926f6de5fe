"""Types in the signatures of public functions. Only type checkers import this module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.sparse import sparray, spmatrix

FilePath: TypeAlias = str | os.PathLike[str]
RandomState: TypeAlias = int | np.random.RandomState | None

SparseMatrix: TypeAlias = spmatrix | sparray
# (n_samples, n_features)
MatrixLike: TypeAlias = ArrayLike | SparseMatrix


class DataFrame(Protocol):
    """A data frame of pandas or polars."""

    @property
    def columns(self) -> Any: ...

    @property
    def dtypes(self) -> Any: ...


class Series(Protocol):
    """A column of such a data frame."""

    @property
    def dtype(self) -> Any: ...

    def to_list(self) -> list[Any]: ...


class ArrowColumn(Protocol):
    """A column of Arrow or of Daft."""

    def to_pylist(self) -> list[Any]: ...


class ArrowTable(Protocol):
    """A table of Arrow, or a data set of Hugging Face."""

    @property
    def column_names(self) -> list[str]: ...

    @property
    def num_rows(self) -> int: ...


# a path, the bytes of a file, both in a dict, a picture, or its pixels
ImageLike: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | Mapping[str, Any]
    | Image.Image
    | np.ndarray
)
Images: TypeAlias = Sequence[ImageLike] | np.ndarray | Series | DataFrame | ArrowColumn | ArrowTable
# (height, width) or (height, width, channels)
ImageShape: TypeAlias = tuple[int, int] | tuple[int, int, int]

# of each label, the group or the groups on the way to it
Hierarchy: TypeAlias = Mapping[Any, str | Sequence[str]]


class FetchOptions(TypedDict, total=False):
    """Options of all fetchers of data sets."""

    data_home: FilePath | None
    local: FilePath | None
    download_if_missing: bool
    n_retries: int
    delay: float


class ImageFetchOptions(FetchOptions, total=False):
    """Options of fetchers of folders of images."""

    allow_incomplete: bool
