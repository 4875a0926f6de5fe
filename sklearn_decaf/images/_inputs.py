"""What counts as an image, and images by their rows. Nothing is decoded here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Number
from typing import Any

import numpy as np
from PIL import Image

from ..exceptions import ImageAccessError, ImageError
from ._files import is_url

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
ITEM = (
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

    @property
    def array(self) -> np.ndarray | None:
        """The one array that holds all images, if there is one."""
        whole = isinstance(self._items, np.ndarray) and self._items.ndim == 4
        return self._items if whole else None

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, row: Any) -> Any:
        return plain_item(self._items[row])

    def name_row(self, row: int) -> str:
        """Name a row for a message, with its label where that is not just the row number."""
        label = row if self._labels is None else self._labels[row]
        if isinstance(label, Integral) and label == row:
            return f"row {row}"
        label = label.item() if isinstance(label, np.generic) else label
        return f"row {row} (index {label!r})"


class SelectedImages(ImageInputs):
    """Some of the images, which messages name by their rows among all."""

    def __init__(self, images: ImageInputs, rows: Sequence[int]) -> None:
        super().__init__(rows)
        self._images = images

    @property
    def is_cheap(self) -> bool:
        return False

    def __getitem__(self, i: Any) -> Any:
        return self._images[self._items[i]]

    def name_row(self, i: int) -> str:
        return self._images.name_row(self._items[i])


class FileContent(bytes):
    """The bytes of a file that was read already, with its `path` for messages."""

    path: str | os.PathLike = ""


def plain_item(item):
    """Unwrap an item of a column or a data set.

    Arrow has scalars of its own. Data sets of Hugging Face keep images as pairs of bytes and path,
    of which one may be missing.
    """
    if hasattr(item, "as_py"):
        item = item.as_py()
    if not isinstance(item, Mapping) or not item or not item.keys() <= {"bytes", "path"}:
        return item
    content, path = item.get("bytes"), item.get("path")
    if not isinstance(content, bytes | bytearray | memoryview):
        return item if content is not None and not _is_missing(content) else path
    if not isinstance(path, str | os.PathLike):
        return content
    named = FileContent(content)
    named.path = path
    return named


class FailureReason(str):
    """Why an image could not be read; `is_access` if its file could not even be opened or read."""

    is_access: bool = False

    @classmethod
    def of(cls, error: Exception, text: str) -> FailureReason:
        """Make a reason of an error, with the text that a message shows."""
        reason = cls(text)
        # an OSError that is no ImageError comes from a sequence that reads its items on demand
        reason.is_access = isinstance(error, ImageAccessError) or not isinstance(error, ImageError)
        return reason

    @property
    def error_class(self) -> type[ImageError]:
        """The class of the error to raise with this reason."""
        return ImageAccessError if self.is_access else ImageError


def find_problem(image) -> str | None:
    """Say why an item cannot be an image, and what to pass instead; None if it can be one."""
    if isinstance(image, str):
        if is_url(image):
            return "a URL: download the file, and pass its path or its bytes"
        return None if image else "an empty path"
    if isinstance(image, np.ma.MaskedArray):
        return "masked pixels have no value: pass x.filled(0), say"
    if isinstance(image, np.ndarray):
        return array_problem(image.shape, image.dtype, "x", "x.transpose(1, 2, 0)")
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
    return f"no image; {ITEM}"


def _is_missing(item) -> bool:
    if item is None or type(item).__name__ in ("NAType", "NaTType"):  # pandas' own
        return True
    return isinstance(item, float | np.floating) and bool(np.isnan(item))


def array_problem(shape, dtype, name, channels_last) -> str | None:
    """Say what is wrong with the shape or dtype of an image; the fix calls it `name`."""
    if len(shape) not in (2, 3):
        hint = ""
        if len(shape) == 1 and dtype == np.uint8:
            hint = f"; if these are the encoded bytes of a file, pass {name}.tobytes()"
        elif len(shape) == 4 and shape[0] == 1:
            hint = f": pass {name}[0]"
        return f"an image has the shape (height, width) or (height, width, channels){hint}"
    if 0 in shape:
        return "the image has no pixels"
    if len(shape) == 3 and shape[2] not in CHANNELS:
        if shape[0] in CHANNELS:
            return f"the {shape[0]} channels come first, they must come last: pass {channels_last}"
        return f"{shape[2]} channels: an image has 1 (grey), 3 (RGB) or 4 (RGBA), on the last axis"
    return dtype_problem(dtype, name)


def dtype_problem(dtype, name) -> str | None:
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
