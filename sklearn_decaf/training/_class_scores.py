"""Predictions of classifiers that compute a score for each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._utils.types import Images


class ClassScoresMixin(ClassifierMixin):
    """Mixin of classifiers whose method `_scores` gives the class scores before the softmax."""

    classes_: np.ndarray
    #: The scores of images, (n, n_classes), float32; raises if nothing is fitted.
    _scores: Callable[[Any], np.ndarray]

    def decision_function(self, X: Images) -> np.ndarray:
        """Compute the class scores, before the softmax.

        Parameters
        ----------
        X : images
            Whatever ``fit`` takes.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes), float32
            With two classes, the score of the second less that of the first.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Images) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : images
            Whatever ``fit`` takes.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The class with the largest score, for each image.
        """
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: Images) -> np.ndarray:
        """Compute the probabilities of the classes.

        Parameters
        ----------
        X : images
            Whatever ``fit`` takes.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float64
            Softmax of the scores.
        """
        return softmax(self._scores(X).astype(np.float64), axis=1)

    def predict_log_proba(self, X: Images) -> np.ndarray:
        """Compute the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : images
            Whatever ``fit`` takes.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), float64
        """
        return log_softmax(self._scores(X).astype(np.float64), axis=1)

    def score(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy of `predict`.

        Parameters
        ----------
        X : images
            Whatever ``fit`` takes.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        score : float
            The share of the images whose class is found.
        """
        return float(super().score(X, y, sample_weight=sample_weight))


def accuracy(targets: np.ndarray, sample_weight: np.ndarray | None, scores: np.ndarray) -> float:
    """Compute the share of the images whose largest score is that of their class.

    Parameters
    ----------
    targets : ndarray of shape (n,), int
        Indices of classes.
    sample_weight : ndarray of shape (n,) or None
        How much each image counts.
    scores : ndarray of shape (n, n_classes)
    """
    return float(np.average(scores.argmax(axis=1) == targets, weights=sample_weight))
