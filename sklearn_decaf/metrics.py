"""Scores of the target rows, the measure of domain adaptation.

The scorers go where scikit-learn takes `scoring`. With metadata routing on they ask for
`sample_domain` by themselves and look at target rows only::

    GridSearchCV(model, grid, cv=DomainShuffleSplit(), scoring=target_accuracy)

With routing off, scikit-learn passes no `sample_domain` to a scorer, and all rows of the test fold
count as target rows. The splitters of :mod:`sklearn_decaf.model_selection` test on target rows
alone, so the scores are the same with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import _num_samples

from ._adaptation.domains import (
    is_unlabelled,
    labels_and_predictions,
    predict_domains,
    require_rows,
)
from ._utils.labels import as_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "TargetScorer",
    "target_accuracy",
    "target_accuracy_score",
    "target_mean_class_accuracy",
    "target_mean_class_accuracy_score",
]


def _target_rows(y_true, sample_domain):
    labelled = ~is_unlabelled(y_true)
    domains = predict_domains(sample_domain, len(labelled))
    rows = (domains < 0) & labelled
    require_rows(rows, "labelled target", domains, "a score of the target", fold="test")
    return np.flatnonzero(rows)


def target_accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_domain: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the accuracy on the labelled target rows.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True class labels. Rows without one (-1, None, NaN or NA) are left out.

    y_pred : array-like of shape (n_samples,)
        Predicted class labels.

    sample_domain : int or array-like of shape (n_samples,), default=None
        Domain labels. Rows >= 0, of the source, are left out. None: all rows are of the target.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        The accuracy, between 0 and 1.

    Raises
    ------
    ValueError
        If there is no labelled target row.

    Examples
    --------
    >>> from sklearn_decaf.metrics import target_accuracy_score
    >>> target_accuracy_score([0, 1, 0, 1], [1, 1, 0, 0], sample_domain=[1, -2, -2, -2])
    0.666...
    """
    return _score(accuracy_score, y_true, y_pred, sample_domain, sample_weight)


def target_mean_class_accuracy_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_domain: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the mean over the classes of the accuracy on the labelled target rows of each.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True class labels. Rows without one (-1, None, NaN or NA) are left out.

    y_pred : array-like of shape (n_samples,)
        Predicted class labels.

    sample_domain : int or array-like of shape (n_samples,), default=None
        Domain labels. Rows >= 0, of the source, are left out. None: all rows are of the target.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    score : float
        The mean of the accuracies, between 0 and 1. Classes without a labelled target row do not
        count.

    Raises
    ------
    ValueError
        If there is no labelled target row.

    Examples
    --------
    >>> from sklearn_decaf.metrics import target_mean_class_accuracy_score
    >>> target_mean_class_accuracy_score([0, 0, 0, 1], [0, 0, 1, 1], sample_domain=-2)
    0.833...
    """
    return _score(balanced_accuracy_score, y_true, y_pred, sample_domain, sample_weight)


def _score(metric, y_true, y_pred, sample_domain, sample_weight):
    rows = _target_rows(y_true, sample_domain)
    weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
    return float(metric(*labels_and_predictions(y_true, y_pred, rows), sample_weight=weight))


class TargetScorer(BaseEstimator):
    """Scorer that predicts and scores the labelled target rows only.

    Parameters
    ----------
    metric : callable
        Function ``metric(y_true, y_pred, *, sample_weight=None)``, of which higher values are
        better.

    See Also
    --------
    target_accuracy_score : The accuracy, from predictions.
    target_mean_class_accuracy_score : The mean of the accuracies of the classes.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.metrics import accuracy_score
    >>> from sklearn_decaf.metrics import TargetScorer
    >>> X, y, sample_domain = [[0], [1], [2]], [0, 1, 0], [1, -2, -2]
    >>> classifier = DummyClassifier(strategy="constant", constant=0).fit(X, y)
    >>> TargetScorer(accuracy_score)(classifier, X, y, sample_domain=sample_domain)
    0.5
    """

    __metadata_request__score = {"sample_domain": True}

    def __init__(self, metric: Callable[..., float]) -> None:
        self.metric = metric

    def __call__(
        self,
        estimator: BaseEstimator,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score an estimator.

        Parameters
        ----------
        estimator : classifier
            A fitted classifier.

        X : sequence of length n_samples
            The rows.

        y : array-like of shape (n_samples,)
            Their class labels. Rows without one (-1, None, NaN or NA) are left out.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels; source rows (>= 0) are left out. None: all rows are of the target. Passed
            on to `predict` where that takes it.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The score.

        Raises
        ------
        ValueError
            If there is no labelled target row.
        """
        rows = _target_rows(y, sample_domain)
        params = {}
        if sample_domain is not None and _predict_takes_domains(estimator):
            params["sample_domain"] = predict_domains(sample_domain, _num_samples(X))[rows]
        predicted = estimator.predict(_safe_indexing(X, rows), **params)
        weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return _score(self.metric, as_labels(y)[rows], predicted, None, weight)

    def score(
        self,
        estimator: BaseEstimator,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Score an estimator; the same as calling the scorer.

        Parameters
        ----------
        estimator : classifier
            A fitted classifier.

        X : sequence of length n_samples
            The rows.

        y : array-like of shape (n_samples,)
            Their class labels.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The score.
        """
        return self(estimator, X, y, sample_domain, sample_weight)


def _predict_takes_domains(estimator) -> bool:
    if get_config()["enable_metadata_routing"]:
        routing = get_routing_for_object(estimator)
        return "sample_domain" in routing.consumes("predict", ["sample_domain"])
    return "sample_domain" in inspect.signature(estimator.predict).parameters


#: Scorer: accuracy on the labelled target rows.
target_accuracy = TargetScorer(accuracy_score)

#: Scorer: mean per-class accuracy on the labelled target rows.
target_mean_class_accuracy = TargetScorer(balanced_accuracy_score)
