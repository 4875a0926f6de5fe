"""The best pipeline of frozen features and a linear classifier, from which fine-tuning starts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from .._utils.parallel import single_threaded_blas
from ._head import Head, scale_rows

_N_SPLITS = 3
# values of C that are tried, where the mean squared length of the rows is 1
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
_DEFAULT_STRENGTH = 100.0  # where there are too few images to try any
_SEARCHING: dict[str, Any] = {"tol": 1e-3, "max_iter": 200}
_FITTING: dict[str, Any] = {"tol": 1e-5, "max_iter": 1000}


@dataclass(frozen=True)
class Choice:
    """A pipeline of frozen features that may be fitted.

    Attributes
    ----------
    head : Head
        The layer, and how its rows are scaled.
    C : float
        Inverse strength of the regularisation, of
        :class:`~sklearn.linear_model.LogisticRegression` on these rows.
    score : float
        Accuracy in cross-validation; 0 where there was none.
    """

    head: Head
    C: float
    score: float


@dataclass(frozen=True)
class FrozenPipeline:
    """Logistic regression on frozen features, fitted.

    Attributes
    ----------
    choice : Choice
    kernel : ndarray of shape (d, n_classes), float32
    bias : ndarray of shape (n_classes,), float32
    """

    choice: Choice
    kernel: np.ndarray
    bias: np.ndarray

    def scores(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """The class scores, (n, n_classes), of unscaled rows by the names of layers."""
        head = self.choice.head
        return scale_rows(features[head.layer], head.scaling) @ self.kernel + self.bias


def compare_pipelines(
    features: Mapping[str, np.ndarray],
    heads: Sequence[Head],
    targets: np.ndarray,
    *,
    C: float | Literal["auto"] = "auto",
    sample_weight: np.ndarray | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Choice, ...]:
    """Cross-validate pipelines of frozen features, and choose a C for each.

    Parameters
    ----------
    features : dict of str to ndarray of shape (n, d)
        Rows by the names of layers, unscaled.
    heads : sequence of Head
        What a pipeline may begin with.
    targets : ndarray of shape (n,), int
        Indices of classes.
    C : float or "auto", default="auto"
        As :class:`~sklearn.linear_model.LogisticRegression` has it.
    sample_weight : ndarray of shape (n,), optional
    random_state : int, RandomState instance or None, default=None
        Draws the folds.

    Returns
    -------
    tuple of Choice
        One for each head, the best first; of equally good ones, in the order of the heads. Where
        there are too few images to cross-validate, all are equally good.
    """
    counts = np.unique(targets, return_counts=True)[1]
    splits = []
    if (len(heads) > 1 or C == "auto") and min(counts) > 1 and len(counts) > 1:
        n_splits = min(_N_SPLITS, min(counts))
        folds = StratifiedKFold(n_splits, shuffle=True, random_state=random_state)
        splits = list(folds.split(targets, targets))
    choices = []
    for head in heads:
        rows = scale_rows(features[head.layer], head.scaling)
        square = _mean_square(rows)
        tried = _STRENGTHS if splits else (_DEFAULT_STRENGTH,)
        Cs = tuple(strength / square for strength in tried) if C == "auto" else (float(C),)
        scores = np.zeros(len(Cs))
        for split in splits:
            scores += np.array(_path_scores(rows, targets, sample_weight, Cs, *split)) / len(splits)
        choices.append(Choice(head, Cs[scores.argmax()], float(scores.max())))
    return tuple(sorted(choices, key=lambda choice: -choice.score))


def fit_pipeline(
    features: Mapping[str, np.ndarray],
    choice: Choice,
    targets: np.ndarray,
    n_classes: int,
    sample_weight: np.ndarray | None = None,
) -> FrozenPipeline:
    """Fit the classifier of a pipeline.

    Parameters
    ----------
    features, targets, sample_weight
        As of `compare_pipelines`.
    choice : Choice
    n_classes : int
        Classes of which there is no image have scores that are lower than those of all others.

    Returns
    -------
    FrozenPipeline
    """
    rows = scale_rows(features[choice.head.layer].astype(np.float64), choice.head.scaling)
    seen = np.unique(targets)
    kernel = np.zeros((rows.shape[1], n_classes))
    intercept = np.zeros(len(seen))
    if len(seen) > 1:
        ((model, scale),) = _path(rows, targets, sample_weight, (choice.C,), _FITTING)
        coef, intercept = model.coef_, model.intercept_
        if len(seen) == 2:  # one row then, for the difference
            coef = np.vstack([-coef, coef]) / 2
            intercept = np.r_[-intercept, intercept] / 2
        kernel[:, seen] = coef.T * scale
    # lower than any score that a class with images has here
    lowest = float((rows @ kernel[:, seen] + intercept).min())
    bias = np.full(n_classes, lowest - 1.0)
    bias[seen] = intercept
    return FrozenPipeline(choice, kernel.astype(np.float32), bias.astype(np.float32))


def _mean_square(rows: np.ndarray) -> float:
    """The mean squared length of rows."""
    return float(np.square(rows, dtype=np.float64).sum(axis=1).mean()) or 1.0


def _path_scores(rows, targets, sample_weight, Cs, train, test) -> list[float]:
    """Accuracies on test rows of classifiers for all values of C."""
    weights = (None, None) if sample_weight is None else (sample_weight[train], sample_weight[test])
    scores = []
    for model, scale in _path(rows[train], targets[train], weights[0], Cs, _SEARCHING):
        hits = model.predict(rows[test] * rows.dtype.type(scale)) == targets[test]
        scores.append(float(np.average(hits, weights=weights[1])))
    return scores


def _path(rows, targets, sample_weight, Cs, options) -> Iterator[tuple[LogisticRegression, float]]:
    """Classifiers for rising values of C, each started from the one before, of scaled rows.

    Rows whose numbers have a mean square of 1 need the fewest steps. What is yielded is the same
    object each time, and the factor of the rows that it was fitted to.
    """
    square = _mean_square(rows) / rows.shape[1]
    scale = square**-0.5
    scaled = rows * rows.dtype.type(scale)
    model = LogisticRegression(warm_start=len(Cs) > 1, **options)
    for C in Cs:
        model.set_params(C=C * square)
        with warnings.catch_warnings(), single_threaded_blas():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(scaled, targets, sample_weight)
        yield model, scale
