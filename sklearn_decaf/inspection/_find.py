"""The DeCAFTransformer inside an estimator, which displays are about."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

from ..images._bounding_boxes import BoundingBoxCropper
from ..images._estimator import ImageInputMixin
from ..transformers import DeCAFTransformer

# attributes of fitted meta-estimators that hold what is used for predicting
_FITTED = ("best_estimator_", "estimator_", "classifier_", "regressor_")


def _inner(estimator):
    """Return the fitted estimator inside a meta-estimator, or the estimator itself."""
    for name in _FITTED:
        if hasattr(estimator, name):
            return _inner(getattr(estimator, name))
    return estimator


def inner_estimator(estimator, *, last: bool = False):
    """Return the fitted estimator inside searches and the like; of a pipeline, its last step."""
    found = _inner(estimator)
    if last and isinstance(found, Pipeline):
        return inner_estimator(found[-1], last=True)
    return found


def find_transformer(estimator, caller: str) -> DeCAFTransformer:
    """Find the DeCAFTransformer that an estimator is, or has somewhere inside.

    Pipelines, column transformers, searches (once fitted, their best estimator) and whatever else
    names its parts in ``get_params`` are looked through.
    """
    estimator = _inner(estimator)
    if isinstance(estimator, DeCAFTransformer):
        return estimator
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        parts = map(_inner, estimator.get_params(deep=True).values())
        found = {id(part): part for part in parts if isinstance(part, DeCAFTransformer)}
        if len(found) > 1:
            raise ValueError(
                f"{caller}: the estimator has {len(found)} DeCAFTransformers, pass one of them: "
                f"{', '.join(repr(part) for part in found.values())}."
            )
        if found:
            return next(iter(found.values()))
    raise TypeError(
        f"{caller} takes a DeCAFTransformer or an estimator with one inside, such as a pipeline; "
        f"got {estimator!r:.200}."
    )


def find_reading_options(estimator) -> dict:
    """Find the options by which the first image transformer in an estimator reads images."""
    estimator = _inner(estimator)
    parts = [estimator]
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        parts += map(_inner, estimator.get_params(deep=True).values())
    for part in parts:
        if isinstance(part, ImageInputMixin | BoundingBoxCropper):
            return {name: getattr(part, name) for name in ("exif_transpose", "max_pixels")}
    return {}


def check_one_image(image):
    """Refuse lists of images where one image is shown."""
    if isinstance(image, list | tuple) or getattr(image, "ndim", 3) not in (2, 3):
        n = f" of {len(image)}" if hasattr(image, "__len__") else ""
        raise ValueError(f"image must be one image; got a collection{n}. Pass one of its items.")
    return image


def transform_with(estimator, X, caller: str):
    """Compute features by a transformer, or by a pipeline without its classifier."""
    estimator = _inner(estimator)
    if hasattr(estimator, "transform"):
        return estimator.transform(X)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        return estimator[:-1].transform(X)
    raise TypeError(
        f"{caller} takes a transformer or a pipeline that begins with one; got {estimator!r:.200}."
    )
