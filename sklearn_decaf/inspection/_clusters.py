"""Groups of labels by a hierarchy, and measures of how well features separate classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Bunch, check_array, check_consistent_length

from .._utils.labels import as_labels, is_missing, plain_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._utils.types import Hierarchy


def sortable_labels(y) -> tuple[np.ndarray, np.ndarray]:
    """Convert labels to an array, with the mask of those that are there; these have an order."""
    labels = as_labels(y)
    labelled = ~is_missing(labels)
    try:
        np.unique(plain_labels(labels[labelled]))
    except TypeError:
        kinds = sorted({type(label).__name__ for label in labels[labelled].tolist()})
        raise TypeError(
            f"y mixes labels of the types {', '.join(kinds)}, which have no order: make all of "
            "them text or all numbers."
        ) from None
    return labels, labelled


def group_labels(y: ArrayLike, hierarchy: Hierarchy, *, level: int = 0) -> np.ndarray:
    """Replace class labels by groups of classes.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Class labels. Missing ones (None, NaN or NA) stay so.
    hierarchy : mapping of label to str or sequence of str
        Group of each class; or all its ancestors, such as WordNet's, the widest first.
    level : int, default=0
        Index of the ancestor to take: 0 is the widest, -1 the narrowest.

    Returns
    -------
    groups : ndarray of shape (n_samples,), dtype=object
        Group of each sample, None where there is no label.

    Raises
    ------
    ValueError
        If a class is not in the hierarchy, or has no ancestor at this level. The message names it.

    Examples
    --------
    >>> from sklearn_decaf.inspection import group_labels
    >>> wordnet = {"lion": ("animal", "cat"), "wolf": ("animal", "dog"), "oak": ("plant", "tree")}
    >>> group_labels(["wolf", "lion", "oak"], wordnet).tolist()
    ['animal', 'animal', 'plant']
    >>> group_labels(["wolf", "lion", "oak"], wordnet, level=-1).tolist()
    ['dog', 'cat', 'tree']
    """
    labels, labelled = sortable_labels(y)
    known = plain_labels(labels[labelled]).tolist()
    groups = {}
    for label in sorted(set(known)):
        if label not in hierarchy:
            raise ValueError(
                f"hierarchy has no class {label!r}, which is in y; it has "
                f"{', '.join(repr(key) for key in list(hierarchy)[:10])}"
                f"{', ...' if len(hierarchy) > 10 else ''}."
            )
        path = hierarchy[label]
        path = (path,) if isinstance(path, str) else tuple(path)
        try:
            groups[label] = path[level]
        except IndexError:
            raise ValueError(
                f"level={level!r}: it must be a place among the {len(path)} ancestors of class "
                f"{label!r} in the hierarchy, {path}."
            ) from None
    grouped = np.full(len(labels), None, dtype=object)
    grouped[labelled] = [groups[label] for label in known]
    return grouped


def cluster_quality(
    X: ArrayLike, y: ArrayLike, *, n_neighbors: int = 5, metric: str = "euclidean"
) -> Bunch:
    """Measure how well features separate classes, without training a classifier.

    Time and memory grow with the square of the number of samples.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features, or coordinates of an embedding.
    y : array-like of shape (n_samples,)
        Labels; at least two different ones, and fewer than there are samples. Samples without one
        (None, NaN or NA) are left out.
    n_neighbors : int, default=5
        Number of neighbours that vote.
    metric : str, default="euclidean"
        Distance, such as "cosine".

    Returns
    -------
    quality : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        silhouette : float
            Mean silhouette coefficient, from -1 to 1: how much closer samples are to their own
            class than to the nearest other.
        knn_accuracy : float
            Share of samples whose nearest other samples, by majority, have their label, from 0 to
            1. In a tie the label of the nearest of them counts.

    Raises
    ------
    ValueError
        If there are fewer than two classes, no class with two samples, or no more samples than
        `n_neighbors`.

    See Also
    --------
    EmbeddingDisplay : A picture of the features, which shows these numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_decaf.inspection import cluster_quality
    >>> quality = cluster_quality(*load_iris(return_X_y=True))
    >>> round(quality.silhouette, 2), round(quality.knn_accuracy, 2)
    (0.5, 0.97)
    """
    X = check_array(X, order="C")
    labels, labelled = sortable_labels(y)
    check_consistent_length(X, labels)
    X = X[labelled]
    if not len(X):
        raise ValueError("y has no label: every one is missing.")
    classes, codes = np.unique(plain_labels(labels[labelled]), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has one class, {classes.tolist()[0]!r}: it must have at least two.")
    if len(classes) == len(X):
        raise ValueError(
            f"y has {len(X)} classes for {len(X)} samples: at least one must have two samples."
        )
    if len(X) <= n_neighbors:
        raise ValueError(
            f"n_neighbors={n_neighbors!r}: it must be less than the {len(X)} samples in X."
        )
    search = NearestNeighbors(n_neighbors=n_neighbors, metric=metric).fit(X)
    neighbors = codes[search.kneighbors(return_distance=False)]  # (n, k), never the sample itself
    votes = (neighbors[:, :, None] == neighbors[:, None, :]).sum(axis=2)  # for each one's label
    # the first of the largest is the nearest of those that win
    winners = np.take_along_axis(neighbors, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Bunch(
        silhouette=float(silhouette_score(X, codes, metric=metric)),
        knn_accuracy=float((winners == codes).mean()),
    )
