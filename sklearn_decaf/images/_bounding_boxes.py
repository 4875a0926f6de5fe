"""Cut one object out of each photograph, by its bounding box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval

from .._utils.doc_link import DOC_LINK_TEMPLATE
from ..exceptions import ImageAccessError, ImageError
from ._containers import check_images, columns, is_frame
from ._inputs import describe
from ._reading import decode
from ._resizing import cut_out

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import Images


class BoundingBoxCropper(TransformerMixin, BaseEstimator):
    """Crop photographs to their bounding boxes, with some of what is around.

    The first step of the protocol for fine-grained recognition of Donahue et al. [1]_: the region
    is 1.5 times the size of the box, which leaves some context, and is resized to 256 x 256 pixels
    whatever its shape. :class:`~sklearn_decaf.DeCAFTransformer` comes next.

    There are two ways to pass the boxes: beside the images, as metadata, or with each image, as
    further columns of `X`. The second way works with everything that splits rows, cross-validation
    and all scorers included, and without ``enable_metadata_routing``.

    Parameters
    ----------
    enlarge : float, default=1.5
        How much larger than the box the region is, in width and in height, about the same centre.
        What of it lies outside of the image is cut off.
    size : int or None, default=256
        Width and height in pixels that the region is resized to, whatever its shape. None leaves
        it as it is.
    exif_transpose : bool, default=True
        Turn a photograph upright first, as its EXIF orientation says: the boxes are those of the
        upright image. False where the boxes are those of the pixels as stored.
    max_pixels : int, default=None
        Pixels of the largest file that is read. None takes ``PIL.Image.MAX_IMAGE_PIXELS``.

    See Also
    --------
    sklearn_decaf.datasets.fetch_cub200 : Photographs of birds, with bounding boxes.

    Notes
    -----
    A box is (left, upper, right, lower), in pixels from the upper left corner.

    The result is a sequence that crops an image when it is asked for it, so thousands of
    photographs are never in memory at a time; ``list(...)`` reads them all. An image that cannot
    be read therefore shows in the next step, whose ``on_error`` decides what to do. Wrong boxes
    raise at once.

    With metadata routing this class asks for `boxes` in ``transform`` by itself, which
    ``set_transform_request(boxes=False)`` turns off. scikit-learn passes no such metadata to
    ``predict`` when it evaluates a scorer like "accuracy", nor when a search predicts: leave
    `scoring` at None there (scikit-learn 1.6 passes none to that either) and use
    ``best_estimator_``, or pass the boxes as columns.

    References
    ----------
    .. [1] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, section 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf import BoundingBoxCropper
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> photos, y = load_sample_photos(subset="train", return_X_y=True)
    >>> boxes = np.tile([30.0, 30.0, 70.0, 60.0], (len(photos), 1))
    >>> crops = BoundingBoxCropper(size=None).transform(photos, boxes=boxes)
    >>> len(crops), crops[0].size  # 1.5 * 40, 1.5 * 30
    (168, (60, 45))

    As columns, in a pipeline:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_decaf import DeCAFTransformer
    >>> X = np.column_stack([photos, boxes])  # image, left, upper, right, lower
    >>> model = make_pipeline(BoundingBoxCropper(), DeCAFTransformer(), LogisticRegression())
    >>> bool(model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.5)
    True
    """

    _doc_link_module = "sklearn_decaf"
    _doc_link_template = DOC_LINK_TEMPLATE
    __metadata_request__transform = {"boxes": True}
    _parameter_constraints = {
        "enlarge": [Interval(Real, 0, None, closed="neither")],
        "size": [Interval(Integral, 1, None, closed="left"), None],
        "exif_transpose": ["boolean"],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        enlarge: float = 1.5,
        size: int | None = 256,
        *,
        exif_transpose: bool = True,
        max_pixels: int | None = None,
    ) -> None:
        self.enlarge = enlarge
        self.size = size
        self.exif_transpose = exif_transpose
        self.max_pixels = max_pixels

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: object = None) -> Self:
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X : images, or images and boxes
            See `transform`.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        return self

    def fit_transform(
        self, X: Images, y: object = None, boxes: ArrayLike | None = None
    ) -> Sequence[Image.Image]:
        """Crop images; the same as `transform`.

        Parameters
        ----------
        X : images, or images and boxes
            See `transform`.
        y : None
            Ignored.
        boxes : array-like of shape (n_samples, 4), default=None
            See `transform`.

        Returns
        -------
        crops : sequence of PIL images
            See `transform`.
        """
        return self.fit(X, y).transform(X, boxes=boxes)

    def transform(self, X: Images, boxes: ArrayLike | None = None) -> Sequence[Image.Image]:
        """Crop images to their boxes.

        Parameters
        ----------
        X : images, or images and boxes
            With `boxes`, images as :class:`~sklearn_decaf.DeCAFTransformer` takes them. Without,
            a data frame or an object array with an image a row and its box: five columns (image,
            left, upper, right, lower) or two (image, box). Or a list of pairs (image, box).
        boxes : array-like of shape (n_samples, 4), default=None
            Left, upper, right and lower edge in pixels.

        Returns
        -------
        crops : sequence of PIL images
            One a row, of mode RGB; cropped when they are asked for.

        Raises
        ------
        ImageError
            If `X` is no sequence of images, or there is no box for each; with the row where one
            is wrong.
        """
        self._validate_params()
        if boxes is None:
            images, boxes = _split_columns(X)
        else:
            images = X
        images = check_images(
            images, on_error="nan"
        )  # what is wrong with one shows when it is read
        boxes = _check_boxes(boxes, len(images))
        decoding = {"exif_transpose": self.exif_transpose, "max_pixels": self.max_pixels}
        return CroppedImages(images, boxes, self.enlarge, self.size, decoding)

    def set_output(self, *, transform: object = None) -> Self:
        """Do nothing: images are no columns of a data frame.

        Parameters
        ----------
        transform : object
            Ignored; there so that ``Pipeline.set_output`` reaches the other steps.

        Returns
        -------
        self : object
            This transformer.
        """
        return self

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        return tags


class CroppedImages(Sequence):
    """Images that are read and cropped when they are indexed."""

    def __init__(self, images, boxes, enlarge, size, decoding, rows=None):
        self._images = images
        self._boxes = boxes  # (n, 4)
        self._settings = (enlarge, size, decoding)
        self._rows = range(len(images)) if rows is None else rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, row):
        if isinstance(row, slice):
            return CroppedImages(self._images, self._boxes, *self._settings, self._rows[row])
        row = self._rows[row]
        enlarge, size, decoding = self._settings
        source = self._images[row]
        try:
            return _crop(decode(source, **decoding), self._boxes[row], enlarge, size)
        except ImageError as error:
            kind = ImageAccessError if isinstance(error, ImageAccessError) else _CropError
            name = f"{self._images.name_row(row)}, {describe(source)}"
            raise kind(f"{name}: {error}.") from error


class _CropError(ImageError, OSError):
    """An image that cannot be had; as an OSError too, it is left to the caller's ``on_error``."""


def _crop(image: Image.Image, box, enlarge, size) -> Image.Image:
    left, upper, right, lower = box
    x, y = (left + right) / 2, (upper + lower) / 2
    half_width, half_height = enlarge * (right - left) / 2, enlarge * (lower - upper) / 2
    edges = (
        max(_round(x - half_width), 0),
        max(_round(y - half_height), 0),
        min(_round(x + half_width), image.width),
        min(_round(y + half_height), image.height),
    )
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ImageError(
            f"{image.width} x {image.height} pixels: the box {_shown(box)} holds none of them, "
            "boxes are (left, upper, right, lower) in pixels"
        )
    region = cut_out(image, edges)
    if size is None or region.size == (size, size):
        return region
    return region.resize((size, size), Image.Resampling.BILINEAR)


def _round(edge: float) -> int:
    """To the nearest pixel, halves always up: the width does not depend on the place."""
    return math.floor(edge + 0.5)


def _split_columns(X):
    """Images, and boxes (n, 4), of an X that holds both."""
    if is_frame(X):
        parts = columns(X)
    elif isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OUT":
        parts = [list(column) for column in X.T]
    elif isinstance(X, list | tuple):
        for row, pair in enumerate(X):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ImageError(f"row {row} is no pair (image, box): pass boxes=..., or pairs.")
        parts = [list(column) for column in zip(*X)] or [[], []]
    else:
        shape = f" of shape {X.shape}" if hasattr(X, "shape") else ""
        raise ImageError(
            f"there are no boxes: X is a {type(X).__name__}{shape}. Pass transform(X, boxes=boxes) "
            "(in a pipeline with metadata routing, fit(X, y, boxes=boxes)), or an X with the "
            "columns image, left, upper, right, lower: np.column_stack([images, boxes])."
        )
    if len(parts) not in (2, 5):
        raise ImageError(
            f"X has {len(parts)} columns, expected 5 (image, left, upper, right, lower) or 2 "
            "(image, box)."
        )
    return parts[0], parts[1] if len(parts) == 2 else list(zip(*parts[1:]))


def _check_boxes(boxes, n_images: int) -> np.ndarray:
    """Boxes as floats (n, 4), or an ImageError that names the first bad row."""
    if hasattr(boxes, "to_numpy"):  # a data frame
        boxes = boxes.to_numpy()
    if not hasattr(boxes, "__len__"):
        raise ImageError(f"boxes={boxes!r}: pass an array of shape ({n_images}, 4).")
    if len(boxes) != n_images:
        raise ImageError(f"there are {n_images} images and {len(boxes)} boxes: pass one for each.")
    checked = np.empty((n_images, 4))
    for row, box in enumerate(boxes):
        try:
            values = np.asarray(box, dtype=float)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (4,):
            raise ImageError(
                f"row {row}: the box {_shown(box)} is not (left, upper, right, lower)."
            )
        if not np.isfinite(values).all():
            raise ImageError(f"row {row}: the box {_shown(box)} has a missing or infinite edge.")
        if values[0] >= values[2] or values[1] >= values[3]:
            raise ImageError(
                f"row {row}: the box {_shown(box)} is empty, boxes are (left, upper, right, "
                "lower). For (x, y, width, height), pass (x, y, x + width, y + height)."
            )
        checked[row] = values
    return checked


def _shown(box) -> str:
    if isinstance(box, np.ndarray) and box.dtype != object:
        box = tuple(box.tolist())
    text = repr(box)
    return text if len(text) <= 100 else text[:100] + "..."
