"""Losses of the output of a network, with their gradients.

Each is a function of scores and targets that returns the loss, averaged over the images, and its
gradient by the scores, in their precision. The arithmetic is in float64: scores are few, and
losses small near the end.

All take these parameters:

sample_weight : ndarray of shape (n,), optional
    Weights of the images; the average is one with these weights.
total_weight : float, optional
    What the sum of the weights is taken for. By default it is their own; a part of a batch is
    given that of the whole batch, and losses and gradients of the parts then add up to the
    batch's.
"""

from __future__ import annotations

import numpy as np
from scipy import special

LossAndGradient = tuple[float, np.ndarray]


def multinomial_logistic(
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    label_smoothing: float = 0.0,
    sample_weight: np.ndarray | None = None,
    total_weight: float | None = None,
) -> LossAndGradient:
    """Compute the cross-entropy between targets and the softmax of class scores.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Before the softmax.
    targets : ndarray of shape (n,) or (n, n_classes)
        Indices of classes, or probabilities of all classes.
    label_smoothing : float, default=0.0
        Share of the targets that is spread evenly over all classes, in [0, 1].
    sample_weight, total_weight
        See the module.

    Returns
    -------
    float
        The average over the images of ``-sum(targets * log(softmax(scores)))``.
    ndarray of shape (n, n_classes)
        Its gradient by the scores.

    Raises
    ------
    ValueError
        If targets and scores do not fit together, a label is not an index of a class, or
        probabilities do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.training._losses import multinomial_logistic
    >>> loss, gradient = multinomial_logistic(np.zeros((1, 4)), np.array([2]))
    >>> print(f"{loss:.4f}", gradient)
    1.3863 [[ 0.25  0.25 -0.75  0.25]]
    """
    wide, shares = _prepare(scores, sample_weight, total_weight)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing={label_smoothing!r} must be in [0, 1]")
    probable = _probabilities(wide, targets)  # (n, n_classes)
    if label_smoothing:
        probable = (1 - label_smoothing) * probable + label_smoothing / wide.shape[1]
    logs = special.log_softmax(wide, axis=1)
    loss = -(shares @ (probable * logs).sum(axis=1))
    sums = probable.sum(axis=1, keepdims=True)  # 1, but for their rounding
    gradient = np.exp(logs) * sums - probable
    return float(loss), _narrowed(gradient * shares[:, np.newaxis], scores)


def kl_divergence(
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    total_weight: float | None = None,
) -> LossAndGradient:
    """Compute the Kullback-Leibler divergence of the softmax of scores from target probabilities.

    It is :func:`multinomial_logistic` less the entropy of the targets, and 0 where both agree.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Before the softmax.
    targets : ndarray of shape (n, n_classes)
        Probabilities.
    sample_weight, total_weight
        See the module.

    Returns
    -------
    float
        The average over the images of ``sum(targets * log(targets / softmax(scores)))``.
    ndarray of shape (n, n_classes)
        Its gradient by the scores.

    Raises
    ------
    ValueError
        If targets and scores do not fit together, or probabilities do not sum to 1.
    """
    targets = np.asarray(targets)
    _same_shape(scores, targets)
    _, shares = _prepare(scores, sample_weight, total_weight)
    loss, gradient = multinomial_logistic(
        scores, targets, sample_weight=sample_weight, total_weight=total_weight
    )
    entropies = special.entr(targets.astype(np.float64)).sum(axis=1)
    return float(loss - shares @ entropies), gradient


def logistic(
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    total_weight: float | None = None,
) -> LossAndGradient:
    """Compute the logistic loss of scores of yes-or-no questions.

    Parameters
    ----------
    scores : ndarray of shape (n,) or (n, n_questions)
        Logarithms of odds, before the sigmoid.
    targets : ndarray of the same shape
        0 for no, 1 for yes, or probabilities.
    sample_weight, total_weight
        See the module.

    Returns
    -------
    float
        The sum over the questions, averaged over the images.
    ndarray of the shape of `scores`
        Its gradient by the scores.

    Raises
    ------
    ValueError
        If targets and scores have different shapes, or a target is outside [0, 1].
    """
    targets = np.asarray(targets)
    wide, shares = _prepare(scores, sample_weight, total_weight)
    _same_shape(scores, targets)
    if not ((targets >= 0) & (targets <= 1)).all():
        raise ValueError("targets of the logistic loss must be in [0, 1]: 0 for no, 1 for yes")
    targets = targets.astype(np.float64)
    # log(1 + exp(x)) - t x, which does not overflow
    losses = np.logaddexp(0, wide) - targets * wide
    gradient = special.expit(wide) - targets
    return _average(losses, gradient, shares, scores)


def squared(
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    total_weight: float | None = None,
) -> LossAndGradient:
    """Compute half the squared distance between outputs and targets.

    The gradient is that of scikit-learn's ``MLPRegressor``, as are the losses of one output; over
    several outputs it reports their mean.

    Parameters
    ----------
    scores : ndarray of shape (n,) or (n, n_outputs)
    targets : ndarray of the same shape
    sample_weight, total_weight
        See the module.

    Returns
    -------
    float
        Half the sum of squares over the outputs, averaged over the images.
    ndarray of the shape of `scores`
        Its gradient by the scores.

    Raises
    ------
    ValueError
        If targets and scores have different shapes.
    """
    targets = np.asarray(targets)
    wide, shares = _prepare(scores, sample_weight, total_weight)
    _same_shape(scores, targets)
    gradient = wide - targets
    return _average(gradient**2 / 2, gradient, shares, scores)


def _prepare(scores, sample_weight, total_weight) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores in float64, and the share that each image has in the average."""
    n = len(scores)
    if n == 0:
        raise ValueError("a loss is an average over images, and there are none")
    if sample_weight is None:
        weights = np.ones(n)
    else:
        weights = np.asarray(sample_weight, np.float64)
        if weights.shape != (n,):
            raise ValueError(
                f"sample_weight has shape {weights.shape}, and there are {n} images: it must be "
                f"({n},)"
            )
        if not (np.isfinite(weights) & (weights >= 0)).all():
            raise ValueError("sample_weight has numbers that are negative or not finite")
    total = weights.sum() if total_weight is None else float(total_weight)
    if not total > 0:
        raise ValueError("the sum of sample_weight is 0: leave out batches without any weight")
    return scores.astype(np.float64), weights / total


def _same_shape(scores, targets) -> None:
    if scores.shape != targets.shape:
        raise ValueError(
            f"targets have shape {targets.shape}, and scores {scores.shape}: they must be the same"
        )


def _probabilities(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return targets as probabilities of all classes, (n, n_classes)."""
    if scores.ndim != 2:
        raise ValueError(f"scores of classes have shape (n, n_classes), and not {scores.shape}")
    n, n_classes = scores.shape
    targets = np.asarray(targets)
    if targets.shape == (n,):
        if targets.dtype.kind not in "iu":
            raise ValueError(
                f"labels are indices of classes, whole numbers, and not of type {targets.dtype}"
            )
        off = (targets < 0) | (targets >= n_classes)
        if off.any():
            raise ValueError(
                f"the label {targets[off][0]} of image {np.flatnonzero(off)[0]} is no index of one "
                f"of {n_classes} classes"
            )
        probable = np.zeros((n, n_classes))
        probable[np.arange(n), targets] = 1
        return probable
    if targets.shape != (n, n_classes):
        raise ValueError(
            f"targets have shape {targets.shape}, and scores {scores.shape}: they must be indices, "
            f"({n},), or probabilities, ({n}, {n_classes})"
        )
    probable = targets.astype(np.float64)
    off = (probable < 0).any(axis=1) | ~(np.abs(probable.sum(axis=1) - 1) < 1e-3)
    if off.any():
        raise ValueError(
            f"the targets of image {np.flatnonzero(off)[0]} are no probabilities: they have to sum "
            "to 1, and none may be negative"
        )
    return probable


def _average(losses, gradient, shares, scores) -> LossAndGradient:
    """Average over the images, and sum over outputs."""
    shares = shares.reshape(-1, *(1,) * (losses.ndim - 1))
    return float((shares * losses).sum()), _narrowed(shares * gradient, scores)


def _narrowed(gradient, scores) -> np.ndarray:
    """Return the gradient in the precision of the scores, and never as whole numbers."""
    return gradient.astype(np.result_type(scores.dtype, np.float32), copy=False)
