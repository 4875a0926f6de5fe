"""Class labels as indices of classes, and weights of images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from .._utils.labels import as_labels, is_missing, plain_labels, shown


def encode_labels(
    y: ArrayLike,
    n: int | None = None,
    *,
    classes: ArrayLike | None = None,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn labels into indices of classes.

    Parameters
    ----------
    y : array-like of shape (n,)
    n : int, optional
        Number of images, if it is known.
    classes : array-like, optional
        All labels that there may be, as the user gives them.
    known : ndarray, optional
        Those of an earlier call.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        Sorted.
    targets : ndarray of shape (n,), int

    Raises
    ------
    ValueError
        If there are more or fewer labels than images, one is missing or none of the classes, or
        `classes` are not those of an earlier call.
    """
    labels = plain_labels(as_labels(y, warn=True))
    if n is not None and len(labels) != n:
        raise ValueError(f"y has {len(labels)} labels, and X has {n} images.")
    missing = np.flatnonzero(is_missing(labels))
    if len(missing):
        raise ValueError(f"the label of row {missing[0]} is missing: leave such images out.")
    check_classification_targets(labels)
    if classes is not None:
        given = np.unique(plain_labels(as_labels(classes)))
        if known is not None and not np.array_equal(given, known):
            raise ValueError(
                f"classes={list(given)} are not those of an earlier call, {list(known)}."
            )
        known = given
    if known is None:
        return np.unique(labels, return_inverse=True)
    targets = np.searchsorted(known, labels)
    wrong = np.flatnonzero(known[np.minimum(targets, len(known) - 1)] != labels)
    if len(wrong):
        raise ValueError(
            f"the label of row {wrong[0]}, {shown(labels[wrong[0]])}, is none of the classes "
            f"{list(known)}."
        )
    return known, targets


def encode_portion(
    y: ArrayLike,
    n: int | None = None,
    *,
    classes: ArrayLike | None,
    known: np.ndarray | None,
    class_weight: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the labels of a call of ``partial_fit`` into indices of classes.

    Parameters
    ----------
    y, n, classes, known
        As of :func:`encode_labels`; `known` is None in the first call.
    class_weight : dict, "balanced" or None

    Returns
    -------
    classes, targets : ndarray
        As of :func:`encode_labels`.

    Raises
    ------
    ValueError
        If `classes` are missing in the first call, or weights depend on labels that come later;
        otherwise as of :func:`encode_labels`.
    """
    if known is None and classes is None:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    if isinstance(class_weight, str) and class_weight == "balanced":
        raise ValueError(
            "class_weight='balanced' is not for partial_fit, which does not see all labels: "
            "pass a dict, or sample_weight"
        )
    return encode_labels(y, n, classes=classes, known=known)


def image_weights(
    class_weight: object,
    classes: np.ndarray,
    targets: np.ndarray,
    sample_weight: ArrayLike | None,
) -> np.ndarray | None:
    """Weights of images, by their own and those of their classes; None if all are 1.

    Raises
    ------
    ValueError
        If they are not one number for each image, or a number is negative or not finite.
    """
    weights = None
    if sample_weight is not None:
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != targets.shape:
            raise ValueError(
                f"sample_weight has shape {weights.shape}; {targets.shape} is expected."
            )
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("sample_weight has numbers that are negative or not finite.")
        if not weights.any():
            raise ValueError("all sample weights are zero: there is nothing to learn from.")
    if class_weight is None:
        return weights
    by_class = compute_sample_weight(class_weight, classes[targets])
    return by_class if weights is None else by_class * weights
