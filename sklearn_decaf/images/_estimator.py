"""What all estimators that take images share: the checks of their input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from sklearn.utils.validation import validate_data

from ._containers import check_images
from ._inputs import ImageInputs

if TYPE_CHECKING:
    from .._utils.types import ImageShape


class ImageInputMixin:
    """Mixin of estimators with the parameters `image_shape` and `on_error`.

    Transformers need no fit. `_fit_attribute` names what is there after a fit that saw a data
    frame: from then on others are compared with it.
    """

    image_shape: ImageShape | None
    on_error: Literal["raise", "nan"]
    _fit_attribute = "feature_names_in_"
    # tests that feed rows of arbitrary numbers turn this off: values are then clipped to [0, 1]
    _check_range = True

    def _check_X(self, X: Any, *, reset: bool) -> ImageInputs:
        """Check the container; return images that are read one by one."""
        if reset:  # what an earlier fit remembered of other columns
            for name in ("n_features_in_", "feature_names_in_"):
                vars(self).pop(name, None)
        if self.image_shape is None:
            images = check_images(X, on_error=self.on_error)
            # a data frame: remember its column, or compare it where one was remembered
            if hasattr(X, "columns") and (reset or hasattr(self, self._fit_attribute)):
                validate_data(self, X, reset=reset, skip_check_array=True)
            return images
        first: Any = X[0] if isinstance(X, list | tuple) and len(X) else None
        is_image = isinstance(first, str | os.PathLike | bytes | Image.Image)
        if is_image or (X.ndim if hasattr(X, "ndim") else 1 + np.ndim(first)) > 2:
            check_images(X, image_shape=self.image_shape)  # says that these are not rows
        X = validate_data(self, X, reset=reset, ensure_all_finite=self.on_error == "raise")
        shape = self._row_shape(X.shape[1])
        return check_images(
            X, image_shape=shape, on_error=self.on_error, check_range=self._check_range
        )

    def _row_shape(self, n_features: int) -> ImageShape | None:
        return self.image_shape

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.input_tags.allow_nan = self.on_error == "nan"
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = []
        return tags
