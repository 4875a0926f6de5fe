"""Late fusion: a source and a target classifier, whose scores are combined."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._utils.labels import shown
from .base import DomainMetaClassifier
from .domains import check_labels, fit_domains, predict_domains, require_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from typing_extensions import Self


class LateFusionClassifier(DomainMetaClassifier):
    """Combine the scores of a source classifier and a target classifier.

    One clone of the estimator is trained on the labelled source rows and one on the labelled
    target rows. The class with the largest combined score is predicted. A class that only one
    domain has gets the score of that domain's classifier.

    Scores are combined as they are. Where the two classifiers score on different scales, as
    decision functions of different `C` do, calibrate the estimator first, for example with
    :class:`~sklearn.calibration.CalibratedClassifierCV`.

    Parameters
    ----------
    estimator : classifier
        It is cloned, and trained twice. It must have `decision_function` or `predict_proba`; the
        first is used if it has both.

    fusion : {"linear", "max"}, default="linear"
        "linear" takes a weighted mean of the two scores, "max" the larger one.

    target_weight : float, default=0.5
        Weight of the target score in [0, 1], for ``fusion="linear"``. The source score has weight
        1 - `target_weight`.

    Attributes
    ----------
    source_estimator_, target_estimator_ : classifier
        The two trained clones.

    classes_ : ndarray of shape (n_classes,)
        The class labels of both domains.

    n_features_in_ : int
        Number of features seen by the inner estimators; there only if they have it.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen by the inner estimators; there only if they have them.

    See Also
    --------
    DomainSubsetClassifier : One classifier for the rows of the source, the target, or both.

    References
    ----------
    .. [1] J. Hoffman, E. Tzeng, J. Donahue, Y. Jia, K. Saenko and T. Darrell. One-Shot Adaptation
       of Supervised Deep Convolutional Models. arXiv:1312.6204, 2013 (late fusion).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import LinearSVC
    >>> from sklearn_decaf.adaptation import LateFusionClassifier
    >>> X = np.array([[0.0], [1.0], [5.0], [6.0]])
    >>> y = np.array(["cat", "dog", "cat", "dog"])
    >>> classifier = LateFusionClassifier(LinearSVC(C=100), target_weight=0.95)
    >>> classifier.fit(X, y, sample_domain=[1, 1, -2, -2]).predict([[5.0], [6.5]])
    array(['cat', 'dog'], dtype='<U3')
    """

    _parameter_constraints: dict = {
        "estimator": "no_validation",
        "fusion": [StrOptions({"linear", "max"})],
        "target_weight": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        fusion: Literal["linear", "max"] = "linear",
        *,
        target_weight: float = 0.5,
    ) -> None:
        self.estimator = estimator
        self.fusion = fusion
        self.target_weight = target_weight

    def fit(
        self, X: Any, y: ArrayLike, sample_domain: ArrayLike | None = None, **fit_params: Any
    ) -> Self:
        """Train both classifiers.

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
            If a domain has no labelled row, or only rows of one class.
        """
        self._validate_params()
        n_samples = _num_samples(X)
        labels, labelled = check_labels(y, n_samples, self)
        domains = fit_domains(sample_domain, y, n_samples)
        sides = {"source": labelled & (domains >= 0), "target": labelled & (domains < 0)}
        for side, rows in sides.items():
            require_rows(rows, f"labelled {side}", domains, type(self).__name__)
            found = np.unique(labels[rows])
            if len(found) < 2:
                raise ValueError(
                    "LateFusionClassifier trains a classifier on each domain, and the labelled "
                    f"{side} rows are all of one class, {shown(found[0])}. Label {side} rows of "
                    "another class, or use DomainSubsetClassifier."
                )
        params = self._route_fit(domains, fit_params)
        self.source_estimator_ = self._fit_rows(X, labels, sides["source"], params)
        self.target_estimator_ = self._fit_rows(X, labels, sides["target"], params)
        self.classes_ = np.unique(labels[labelled])
        self._copy_features_seen(self.source_estimator_)
        return self

    def decision_function(self, X: Any, sample_domain: ArrayLike | None = None) -> np.ndarray:
        """Compute the combined scores.

        Parameters
        ----------
        X : sequence of length n_samples
            The rows.

        sample_domain : int or array-like of shape (n_samples,), default=None
            Checked, and not used.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The scores; one column if there are two classes, positive for the second.
        """
        check_is_fitted(self)
        predict_domains(sample_domain, _num_samples(X))
        pair = np.stack(
            [self._scores(e, X) for e in (self.source_estimator_, self.target_estimator_)]
        )  # (2, n, k), NaN where a classifier does not know the class
        if self.fusion == "max":
            scores = np.fmax(pair[0], pair[1])
        else:
            mixed = (1 - self.target_weight) * pair[0] + self.target_weight * pair[1]
            scores = np.where(np.isnan(mixed), np.fmax(pair[0], pair[1]), mixed)
        return (scores[:, 1] - scores[:, 0]) / 2 if len(self.classes_) == 2 else scores

    def _scores(self, estimator, X):
        if hasattr(estimator, "decision_function"):
            known = np.asarray(estimator.decision_function(X), dtype=float)
            if known.ndim == 1:
                known = np.column_stack([-known, known])
        else:
            known = estimator.predict_proba(X)
        scores = np.full((len(known), len(self.classes_)), np.nan)
        scores[:, np.searchsorted(self.classes_, estimator.classes_)] = known
        return scores

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
        return self._best_labels(self.decision_function(X, sample_domain))
