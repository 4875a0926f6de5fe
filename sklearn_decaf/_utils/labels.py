"""Class labels from any container as an array, some of them missing.

None, NaN, pandas' NA, a null of polars or Arrow and a masked value all mean that a row has no
label. A few missing labels leave the others what they are: integers stay integers. What estimators
demand of labels they check themselves, those of domain adaptation by `_adaptation.domains`.
"""

from __future__ import annotations

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d


def as_labels(y, *, warn: bool = False) -> np.ndarray:
    """Labels as a new or the same array of shape (n,).

    Missing labels are None, in an array of objects, unless `y` is an array already: then they are
    what they were there.

    Parameters
    ----------
    y : array-like of shape (n,)
        A list, an array, masked or not, or a column of pandas, polars or Arrow.
    warn : bool, default=False
        Warn of a single column (n, 1), as scikit-learn does.

    Raises
    ------
    ValueError
        If `y` has several columns.

    Examples
    --------
    >>> from sklearn_decaf._utils.labels import as_labels
    >>> as_labels([0, 1, None])
    array([0, 1, None], dtype=object)
    >>> as_labels([0, 1, 1])
    array([0, 1, 1])
    """
    if hasattr(y, "columns") and len(y.columns) == 1:  # a data frame
        y = y[y.columns[0]]
        if warn:
            message = "y is a data frame of one column: pass the column."
            warnings.warn(message, DataConversionWarning, stacklevel=3)
    if hasattr(y, "null_count") and not hasattr(y, "columns"):
        y = y.to_pylist() if hasattr(y, "to_pylist") else y.to_list()  # of Arrow, of polars
    if isinstance(y, list | tuple) and all(np.ndim(label) == 0 for label in y):
        labels = np.empty(len(y), dtype=object)
        labels[:] = y
        labels[is_missing(labels)] = None
        return plain_labels(labels)
    missing = None
    if isinstance(y, np.ma.MaskedArray):
        missing, y = np.ma.getmaskarray(y), y.data
    elif hasattr(y, "isna") and hasattr(y, "dtype"):  # pandas
        missing = np.asarray(y.isna())
        if missing.any():
            known = np.asarray(y[~missing])  # of a type that has no place for NA
            y = np.empty(len(missing), dtype=object)
            y[~missing] = known
    labels = column_or_1d(np.asarray(y), warn=warn)
    if missing is not None and missing.any():
        labels = labels.astype(object)
        labels[missing.reshape(labels.shape)] = None
    return labels


def is_missing(labels: np.ndarray) -> np.ndarray:
    """Mask of missing labels, in what `as_labels` returns."""
    kind = labels.dtype.kind
    if kind == "f":
        return np.isnan(labels)
    if kind == "U":  # np.array(["mug", np.nan]) writes it as text
        return labels == "nan"
    if kind in "mM":
        return np.isnat(labels)
    if kind == "O":
        return np.array([_is_missing(label) for label in labels], dtype=bool)
    return np.zeros(labels.shape, dtype=bool)


def _is_missing(label) -> bool:
    if label is None or label is np.ma.masked or type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, np.datetime64 | np.timedelta64):
        return bool(np.isnat(label))
    return isinstance(label, Real) and math.isnan(label)


def plain_labels(labels: np.ndarray) -> np.ndarray:
    """Labels of an array of objects, none of them missing, in an array of their own type.

    Booleans, integers, numbers and strings have one; a mixture of strings and numbers stays.
    """
    if labels.dtype != object or not len(labels):
        return labels
    for kind in (bool | np.bool_, str, bytes, Integral, Real):
        if all(isinstance(label, kind) for label in labels):
            return np.array(labels.tolist())
    return labels


def shown(label) -> str:
    """A class label as an error message shows it."""
    return repr(label.item() if isinstance(label, np.generic) else label)
