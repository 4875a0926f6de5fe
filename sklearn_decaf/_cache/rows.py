"""Rows of features of all images, with a cache or without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .._features.recipe import Recipe
from ..images._inputs import ImageInputs
from .activation_cache import ActivationCache
from .cached_rows import cached_rows

if TYPE_CHECKING:
    from .._utils.types import FilePath


def compute_rows(
    images: ImageInputs,
    recipe: Recipe,
    cache: FilePath | ActivationCache | None,
    *,
    batch_size: int,
    n_threads: int,
    on_error: str,
    count: Callable[[int], None],
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Compute features of all images, or find them in a cache.

    Parameters
    ----------
    images : ImageInputs
    recipe : Recipe
    cache : path, ActivationCache or None
    batch_size, n_threads, on_error
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    count : callable
        Called with the number of images that are done.

    Returns
    -------
    features : ndarray of shape (n, n_features), float32
        NaN for images that failed.
    failures : list of (row, message), by row
    """
    options = {"batch_size": batch_size, "n_threads": n_threads, "on_error": on_error}
    if cache is not None:
        if not isinstance(cache, ActivationCache):
            cache = ActivationCache(cache)
        return cached_rows(images, recipe, cache, count=count, **options)
    features = np.empty((len(images), recipe.n_features), np.float32)
    failures: list[tuple[int, str]] = []
    for start, rows, failed in recipe.iter_rows(images, **options):
        features[start : start + len(rows)] = rows
        failures += failed
        count(len(rows))
    return features, failures
