"""Checks of domain labels and class labels: source or target, labelled or not.

The rule, shared with skada: a domain label is an integer, `>= 0` for a source domain and `< 0` for
a target domain; the class label -1, or a missing one, means that a row has no label.
"""

from __future__ import annotations

import numbers
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets

from .._utils.labels import as_labels, is_missing, plain_labels

#: The domains of rows that come without domain labels, as in skada.
DEFAULT_SOURCE, DEFAULT_TARGET = 1, -2

_RULE = "integers, >= 0 for source rows and < 0 for target rows"


def check_sample_domain(sample_domain, n_samples: int) -> np.ndarray:
    """Domain labels as a new int64 array of shape (n_samples,); a scalar is broadcast."""
    if sparse.issparse(sample_domain):
        raise ValueError(
            f"sample_domain must be {_RULE}, one per row of X; got a sparse matrix. "
            "Pass sample_domain.toarray().ravel()."
        )
    if isinstance(sample_domain, np.ma.MaskedArray) and np.ma.is_masked(sample_domain):
        raise ValueError(f"sample_domain must be {_RULE}; got masked values.")
    labels = np.asarray(sample_domain)
    if labels.dtype == object:
        # a pandas column of integers, or a mixture: look at each value
        flat = labels.ravel().tolist()
        for value in flat:
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
                raise ValueError(
                    f"sample_domain must be {_RULE}; got the value {value!r} "
                    f"of type {type(value).__name__}."
                )
        labels = np.asarray(flat, dtype=float).reshape(labels.shape)
    if labels.dtype.kind == "b":
        raise ValueError(
            f"sample_domain must be {_RULE}; got booleans, which do not say what True stands for. "
            "Write np.where(is_source, 1, -2)."
        )
    if labels.dtype.kind not in "iuf":
        raise ValueError(
            f"sample_domain must be {_RULE}; got values of type {labels.dtype}. "
            "Give every domain a number: +1, +2, ... for sources and -1, -2, ... for targets."
        )
    if labels.dtype.kind == "f":
        odd = labels[~(np.isfinite(labels) & (labels == np.round(labels)))]
        if odd.size:
            raise ValueError(f"sample_domain must be {_RULE}; got the value {odd.flat[0]}.")
    if labels.ndim == 0:
        return np.full(n_samples, int(labels), dtype=np.int64)
    if labels.ndim != 1:
        raise ValueError(
            "sample_domain must have one value per row of X, shape (n_samples,); "
            f"got shape {labels.shape}. Use sample_domain.ravel()."
        )
    if len(labels) != n_samples:
        raise ValueError(
            "sample_domain must have one value per row of X: "
            f"got {len(labels)} values for {n_samples} rows."
        )
    return labels.astype(np.int64)


def is_unlabelled(y) -> np.ndarray:
    """Mask of the rows without a class label: those missing, and -1 ("-1" among strings)."""
    y = as_labels(y)
    if y.dtype.kind == "O":
        minus_one = np.array([isinstance(label, str | Real) and label in (-1, "-1") for label in y])
        return is_missing(y) | minus_one.astype(bool)
    if y.dtype.kind in "US":
        # np.array(["mug", -1]) writes the integer as a string
        return is_missing(y) | (y == ("-1" if y.dtype.kind == "U" else b"-1"))
    return is_missing(y) | (y == -1) if y.dtype.kind in "iuf" else is_missing(y)


def fit_domains(sample_domain, y, n_samples: int) -> np.ndarray:
    """Domain labels at fit; without them the rows without a class label are the target."""
    if sample_domain is not None:
        return check_sample_domain(sample_domain, n_samples)
    unlabelled = np.zeros(n_samples, dtype=bool) if y is None else is_unlabelled(y)
    if not unlabelled.any():
        raise ValueError(
            "sample_domain is missing, and no row of y is unlabelled (-1 or no label), so source "
            "and target rows cannot be told apart. Pass sample_domain to fit: "
            f"{_RULE}. In a Pipeline, enable metadata routing and pass sample_domain to the "
            "pipeline's fit, or write <step>__sample_domain with routing off."
        )
    return np.where(unlabelled, DEFAULT_TARGET, DEFAULT_SOURCE).astype(np.int64)


def predict_domains(sample_domain, n_samples: int) -> np.ndarray:
    """Domain labels after fit; without them every row is a target row."""
    if sample_domain is None:
        return np.full(n_samples, DEFAULT_TARGET, dtype=np.int64)
    return check_sample_domain(sample_domain, n_samples)


def check_labels(y, n_samples: int, estimator) -> tuple[np.ndarray, np.ndarray]:
    """Class labels as a 1-D array, and the mask of the rows that have one.

    What stands in the other rows means nothing.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    if sparse.issparse(y):
        raise ValueError("y must be one class label per row; got a sparse matrix.")
    y = as_labels(y, warn=True)
    if len(y) != n_samples:
        raise ValueError(f"y must have one label per row of X: got {len(y)} for {n_samples} rows.")
    labelled = ~is_unlabelled(y)
    if not labelled.any():
        raise ValueError("y has no labelled row: every label is -1 or missing.")
    known = plain_labels(y[labelled])
    if known.dtype.kind == "f" and np.isinf(known).any():
        raise ValueError("Input y contains infinity.")
    check_classification_targets(known)
    labels = np.zeros(n_samples, dtype=known.dtype)
    labels[labelled] = known
    return labels, labelled


def labels_and_predictions(y, predicted, rows) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of labelled rows, of types that a metric can compare."""
    labels = plain_labels(as_labels(y)[rows])
    predicted = plain_labels(as_labels(predicted)[rows])
    if labels.dtype.kind == "f" and predicted.dtype.kind in "iu":
        predicted = predicted.astype(float)  # labels that were read beside NaN
    return labels, predicted


def require_rows(
    mask: np.ndarray, kind: str, sample_domain: np.ndarray, caller: str, fold: str = "training"
) -> None:
    """Raise unless `mask` has a row; `kind` is source or target, with or without "labelled"."""
    if mask.any():
        return
    found, counts = np.unique(sample_domain, return_counts=True)
    listing = ", ".join(
        f"domain {d}: {n} sample{'s' if n > 1 else ''}" for d, n in zip(found, counts)
    )
    advice = f"Give {kind.removeprefix('labelled ')} rows a sample_domain "
    advice += ">= 0" if kind.endswith("source") else "< 0"
    if kind.startswith("labelled"):
        advice += ", and some of them a class label other than -1"
    raise ValueError(
        f"{caller} needs {kind} rows, and there is none ({listing}). {advice}. In "
        f"cross-validation, use a splitter that puts them in every {fold} fold, such as "
        "DomainShuffleSplit."
    )


def known_domains(sample_domain, n_samples: int, fitted: np.ndarray, caller: str) -> np.ndarray:
    """Domain labels after fit where each domain is treated differently.

    Without labels the rows are of the target domain, of which there must be one only.
    """
    if sample_domain is None:
        targets = fitted[fitted < 0]
        if len(targets) != 1:
            raise ValueError(
                f"{caller} was fitted with the target domains {targets.tolist()}: "
                "pass sample_domain to say which of them the rows come from."
            )
        return np.full(n_samples, targets[0])
    labels = check_sample_domain(sample_domain, n_samples)
    unseen = np.setdiff1d(labels, fitted)
    if unseen.size:
        raise ValueError(
            f"sample_domain holds domain {unseen[0]}, which was not there in fit: {caller} knows "
            f"the domains {fitted.tolist()}. Fit again with some rows of it, unlabelled ones "
            "(y = -1) suffice, or give the rows the label of a known domain."
        )
    return labels


def ordered_domains(labels: np.ndarray) -> np.ndarray:
    """The distinct domains: sources 0, 1, 2, ..., then targets -1, -2, ..."""
    found = np.unique(labels)
    return np.concatenate([found[found >= 0], found[found < 0][::-1]])
