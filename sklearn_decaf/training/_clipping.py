"""Limits on the size of gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def clip_by_norm(gradients: Mapping[str, np.ndarray], max_norm: float) -> float:
    """Scale all gradients alike, in place, so that they have no more than a Euclidean norm.

    Parameters
    ----------
    gradients : dict of str to ndarray
    max_norm : float
        May be infinite, to know the norm only.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    FloatingPointError
        If a gradient is not finite; it names the parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.training._clipping import clip_by_norm
    >>> gradients = {"fc.kernel": np.array([[3.0]]), "fc.bias": np.array([4.0])}
    >>> clip_by_norm(gradients, 2.5)
    5.0
    >>> gradients
    {'fc.kernel': array([[1.5]]), 'fc.bias': array([2.])}
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm={max_norm!r} must be larger than 0")
    check_finite(gradients)
    squares = (float(np.square(g, dtype=np.float64).sum()) for g in gradients.values())
    norm = math.sqrt(math.fsum(squares))
    if norm > max_norm:
        for gradient in gradients.values():
            gradient *= max_norm / norm
    return norm


def clip_by_value(gradients: Mapping[str, np.ndarray], max_value: float) -> None:
    """Limit each number of the gradients to [-max_value, max_value], in place.

    Parameters
    ----------
    gradients : dict of str to ndarray
    max_value : float

    Raises
    ------
    FloatingPointError
        If a gradient is not finite; it names the parameter.
    """
    if not max_value > 0:
        raise ValueError(f"max_value={max_value!r} must be larger than 0")
    check_finite(gradients)
    for gradient in gradients.values():
        np.clip(gradient, -max_value, max_value, out=gradient)


def check_finite(gradients: Mapping[str, np.ndarray]) -> None:
    """Raise a FloatingPointError that names the first gradient with a number that is not finite."""
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            raise FloatingPointError(
                f"the gradient of {name!r} is not finite: the training diverged; a lower learning "
                "rate or a warm-up may keep it stable"
            )
