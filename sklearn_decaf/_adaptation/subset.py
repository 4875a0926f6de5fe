"""Baselines S, T and ST: a classifier trained on the source, the target, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from .base import DomainMetaClassifier
from .domains import check_labels, fit_domains, predict_domains, require_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from typing_extensions import Self


def _inner_has(method):
    def check(self):
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class DomainSubsetClassifier(DomainMetaClassifier):
    """Train a classifier on the source rows, the target rows, or both.

    These are the baselines S, T and ST in the tables of [1]_. Rows without a label (-1) are left
    out of training.

    Parameters
    ----------
    estimator : classifier
        It is cloned and trained. It may be a pipeline that starts with images.

    train_on : {"source", "target", "both"}, default="both"
        The rows to train on.

    Attributes
    ----------
    estimator_ : classifier
        The trained clone of `estimator`.

    classes_ : ndarray of shape (n_classes,)
        The class labels of the training rows.

    n_features_in_ : int
        Number of features seen by the inner estimator; there only if it has one.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by the inner estimator; there only if it has them.

    See Also
    --------
    LateFusionClassifier : Combine the scores of a source and a target classifier.
    FeatureAugmentation : Train on both, with features of their own for every domain.

    References
    ----------
    .. [1] J. Donahue et al. DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition. ICML 2014, section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import LinearSVC
    >>> from sklearn_decaf.adaptation import DomainSubsetClassifier
    >>> X = np.array([[0.0], [1.0], [5.0], [6.0]])
    >>> y = np.array(["cat", "dog", "cat", "dog"])
    >>> sample_domain = np.array([1, 1, -2, -2])  # >= 0: source, < 0: target
    >>> for rows in "source", "target":
    ...     classifier = DomainSubsetClassifier(LinearSVC(C=100), train_on=rows)
    ...     print(rows, classifier.fit(X, y, sample_domain=sample_domain).predict([[4.9], [6.1]]))
    source ['dog' 'dog']
    target ['cat' 'dog']
    """

    _parameter_constraints: dict = {
        "estimator": "no_validation",
        "train_on": [StrOptions({"source", "target", "both"})],
    }

    def __init__(
        self, estimator: BaseEstimator, train_on: Literal["source", "target", "both"] = "both"
    ) -> None:
        self.estimator = estimator
        self.train_on = train_on

    def fit(
        self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None, **fit_params: Any
    ) -> Self:
        """Train on the chosen rows.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows of all domains, in any form that the inner estimator takes.

        y : array-like of shape (n_samples,)
            Class labels; -1, None, NaN and NA are no label.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Domain labels, >= 0 for source rows and < 0 for target rows. None: the rows without a
            class label are the target.

        **fit_params : dict
            Passed to the inner `fit`, cut to its rows: for example `sample_weight`. With
            metadata routing on, the inner estimator has to request them.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If a wanted domain has no labelled row.
        """
        self._validate_params()
        n_samples = _num_samples(X)
        labels, labelled = check_labels(y, n_samples, self)
        domains = fit_domains(sample_domain, y, n_samples)
        source, target = labelled & (domains >= 0), labelled & (domains < 0)
        caller = f"DomainSubsetClassifier(train_on={self.train_on!r})"
        if self.train_on in ("source", "both"):
            require_rows(source, "labelled source", domains, caller)
        if self.train_on in ("target", "both"):
            require_rows(target, "labelled target", domains, caller)
        rows = {"source": source, "target": target, "both": labelled}[self.train_on]
        params = self._route_fit(domains, fit_params)
        self.estimator_ = self._fit_rows(X, labels, rows, params)
        self.classes_ = np.unique(labels[rows])
        self._copy_features_seen(self.estimator_)
        return self

    def _call(self, method, X, sample_domain):
        check_is_fitted(self)
        predict_domains(sample_domain, _num_samples(X))
        return getattr(self.estimator_, method)(X)

    def predict(self, X: Any, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used: the prediction is the same for all domains.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The predicted labels.
        """
        return self._call("predict", X, sample_domain)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: Any, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Compute the scores of the inner classifier.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The scores; one column if there are two classes.
        """
        return self._call("decision_function", X, sample_domain)

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X: Any, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Compute the class probabilities of the inner classifier.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            The probabilities.
        """
        return self._call("predict_proba", X, sample_domain)

    @available_if(_inner_has("predict_log_proba"))
    def predict_log_proba(self, X: Any, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Compute the logarithms of the class probabilities of the inner classifier.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            The logarithms.
        """
        return self._call("predict_log_proba", X, sample_domain)
