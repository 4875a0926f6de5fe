"""Images or rows of numbers, as networks that learn take them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from sklearn.utils.validation import validate_data

from .._utils.validation import is_integer
from ..images._containers import check_images
from ..images._inputs import ImageInputs

if TYPE_CHECKING:
    from .._utils.types import ImageShape


class TrainingInputMixin:
    """Mixin of estimators with the parameter `image_shape`: what `X` may be.

    With `image_shape`, a row holds numbers of any range, those of a grey image or of one with three
    channels; without it, `X` is images in any form that the package takes.
    """

    image_shape: ImageShape | None

    def _check_X(self, X: Any, *, reset: bool) -> ImageInputs | np.ndarray:
        """Check the container; return images, or an array (n, h, w, 3)."""
        if reset:  # what an earlier fit remembered of other columns
            for name in ("n_features_in_", "feature_names_in_"):
                vars(self).pop(name, None)
        if self.image_shape is None:
            images = check_images(X)
            if hasattr(X, "columns") and (reset or hasattr(self, "feature_names_in_")):
                validate_data(self, X, reset=reset, skip_check_array=True)
            return images
        first: Any = X[0] if isinstance(X, list | tuple) and len(X) else None
        is_image = isinstance(first, str | os.PathLike | bytes | Image.Image)
        if is_image or (X.ndim if hasattr(X, "ndim") else 1 + np.ndim(first)) > 2:
            check_images(X, image_shape=self.image_shape)  # says that these are not rows
        X = validate_data(self, X, reset=reset, dtype=(np.float32, np.uint8))
        h, w, c = self._row_shape(X.shape[1])
        if h * w * c != X.shape[1]:
            raise ValueError(
                f"X has {X.shape[1]} features, but image_shape={self.image_shape!r} needs "
                f"{h} * {w} * {c} = {h * w * c}"
            )
        images = X.reshape(len(X), h, w, c)
        return np.broadcast_to(images, (len(X), h, w, 3))  # a view, also of grey images

    def _row_shape(self, n_features: int) -> tuple[int, int, int]:
        """Height, width and channels of the image that a row of so many numbers holds."""
        shape = self.image_shape
        sides = tuple(shape) if isinstance(shape, tuple | list) else ()
        if len(sides) not in (2, 3) or not all(is_integer(n) and n > 0 for n in sides):
            raise ValueError(
                f"image_shape={shape!r}: it must be (height, width) or (height, width, channels), "
                "positive integers"
            )
        h, w, *channels = map(int, sides)
        (c,) = channels or [1]
        if c not in (1, 3):
            raise ValueError(f"image_shape={shape!r}: an image has 1 or 3 channels, not {c}")
        return h, w, c
