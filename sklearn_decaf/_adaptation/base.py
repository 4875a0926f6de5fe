"""Base classes: documentation links, requests for `sample_domain`, `score`, inner classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Bunch, _safe_indexing, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import _num_samples, validate_data

from .._utils.doc_link import doc_link_template
from .domains import is_unlabelled, labels_and_predictions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class AdaptationEstimator(BaseEstimator):
    """An estimator whose HTML representation links to its page of the documentation."""

    _doc_link_module = "sklearn_decaf"
    _doc_link_template = doc_link_template("sklearn_decaf.adaptation")

    def _check_rows(self, X, *, reset: bool):
        """Rows of floats in C order: those of a frame come by columns, and sums of them would be
        rounded otherwise."""
        return validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            order="C",
            reset=reset,
        )


class DomainClassifierMixin(ClassifierMixin):
    """A classifier whose methods take `sample_domain`."""

    # On the class, so that nobody has to call set_fit_request and friends. They are read only
    # where metadata routing is on.
    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__predict = {"sample_domain": True}
    __metadata_request__score = {"sample_domain": True}

    def score(
        self,
        X: Any,
        y: ArrayLike,
        sample_domain: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Compute the accuracy of `predict` on the rows that have a label.

        To score target rows only, use the scorers of :mod:`sklearn_decaf.metrics`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows.

        y : array-like of shape (n_samples,)
            Their class labels. Rows without one (-1, None, NaN or NA) are left out.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: all are target.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            The mean accuracy, between 0 and 1.

        Raises
        ------
        ValueError
            If no row has a label.
        """
        labelled = ~is_unlabelled(y)
        if not labelled.any():
            raise ValueError("score needs labelled rows, and every y is -1 or missing.")
        predicted = self.predict(X, sample_domain=sample_domain)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)[labelled]
        pair = labels_and_predictions(y, predicted, labelled)
        return accuracy_score(*pair, sample_weight=sample_weight)

    def _best_labels(self, scores: np.ndarray) -> np.ndarray:
        """Labels with the largest scores; two classes have one column, positive for the second."""
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]


class DomainMetaClassifier(DomainClassifierMixin, MetaEstimatorMixin, AdaptationEstimator):
    """A classifier that trains copies of another one on chosen rows.

    The rows are not looked at here, so they may be anything that the inner estimator takes.
    """

    __metadata_request__predict_proba = {"sample_domain": True}
    __metadata_request__predict_log_proba = {"sample_domain": True}
    __metadata_request__decision_function = {"sample_domain": True}

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the routing of metadata to the inner estimator.

        Returns
        -------
        routing : MetadataRouter
            What this estimator and the inner one ask for.
        """
        return (
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def _route_fit(self, sample_domain, params):
        """Metadata of the caller, for all rows, that the inner fit requests."""
        params = {name: value for name, value in params.items() if value is not None}
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", sample_domain=sample_domain, **params).estimator.fit
        return Bunch(**params)

    def _fit_rows(self, X, y, rows, params):
        """Train a copy of the inner estimator on some rows."""
        n_samples = _num_samples(X)
        chosen = np.flatnonzero(rows)
        X = _indexable(X)
        return clone(self.estimator).fit(
            _safe_indexing(X, chosen),
            y[chosen],
            **{name: _rows_of(value, chosen, n_samples) for name, value in params.items()},
        )

    def _copy_features_seen(self, estimator) -> None:
        """Take over the number and the names of features from a fitted inner estimator."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.classifier_tags.poor_score = True
        return tags


def _indexable(X):
    """Convert X, if need be, to a form that rows can be taken from."""
    if sparse.issparse(X):
        return X if X.format in ("csr", "csc", "lil") else X.tocsr()
    return X if hasattr(X, "__getitem__") or hasattr(X, "iloc") else np.asarray(X)


def _rows_of(value, rows, n_samples):
    """Take the chosen rows of metadata with one value per row; return other metadata as it is."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return value
    try:
        per_row = _num_samples(value) == n_samples
    except TypeError:
        return value
    return _safe_indexing(value, rows) if per_row else value
