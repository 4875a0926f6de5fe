"""The transformer inside an estimator: what a display of a classifier is about."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

from ..transformers import DeCAFTransformer

# attributes of fitted meta-estimators that hold what is used for predicting
_FITTED = ("best_estimator_", "estimator_", "classifier_", "regressor_")


def _inner(estimator):
    """The fitted estimator inside a search or another meta-estimator, or the estimator itself."""
    for name in _FITTED:
        if hasattr(estimator, name):
            return _inner(getattr(estimator, name))
    return estimator


def find_transformer(estimator, caller: str) -> DeCAFTransformer:
    """The DeCAFTransformer that is, or is somewhere inside, an estimator.

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


def check_one_image(image):
    """Refuse lists: a display of one image would not know which."""
    if isinstance(image, list | tuple) or getattr(image, "ndim", 3) not in (2, 3):
        n = f" of {len(image)}" if hasattr(image, "__len__") else ""
        raise ValueError(f"image must be one image; got a collection{n}. Pass one of its items.")
    return image


def transform_with(estimator, X, caller: str):
    """Features of images, by a transformer or by all that comes before a pipeline's classifier."""
    estimator = _inner(estimator)
    if hasattr(estimator, "transform"):
        return estimator.transform(X)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        return estimator[:-1].transform(X)
    raise TypeError(
        f"{caller} takes a transformer or a pipeline that begins with one; got {estimator!r:.200}."
    )
