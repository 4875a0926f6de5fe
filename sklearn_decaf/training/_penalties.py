"""Penalties on the size of parameters, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ._by_layer import ByLayer, by_parameter


def penalise(
    parameters: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    *,
    l1: ByLayer = 0.0,
    l2: ByLayer = 0.0,
) -> float:
    """Add the gradients of penalties in place, and return the penalties.

    A penalty is ``l1 * sum(abs(w)) + l2 / 2 * sum(w ** 2)``. It is one on kernels: biases, scales
    and shifts have one only where they are named. `l2` is then what torch calls weight decay;
    scikit-learn's ``MLPClassifier`` divides its ``alpha`` by the images of a batch, which this
    does not.

    Parameters
    ----------
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``.
    gradients : dict of str to ndarray
        Of those that are trained; other parameters do not count.
    l1, l2 : float or dict of str to float, default=0.0
        For all kernels, or by names of layers or of parameters.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a number is negative, or if there is no such layer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.training._penalties import penalise
    >>> parameters = {"fc.kernel": np.array([[1.0, -2.0]]), "fc.bias": np.array([5.0, 5.0])}
    >>> gradients = {"fc.kernel": np.zeros((1, 2)), "fc.bias": np.zeros(2)}
    >>> penalise(parameters, gradients, l1=0.5, l2=1.0)
    4.0
    >>> gradients["fc.kernel"]
    array([[ 1.5, -2.5]])
    """
    absolute = by_parameter(l1, parameters, "l1", kernels_only=True)
    square = by_parameter(l2, parameters, "l2", kernels_only=True)
    total = 0.0
    for name, gradient in gradients.items():
        values = parameters[name]
        if absolute[name]:
            total += absolute[name] * float(np.abs(values).sum(dtype=np.float64))
            gradient += absolute[name] * np.sign(values)
        if square[name]:
            total += square[name] / 2 * float(np.square(values).sum(dtype=np.float64))
            gradient += square[name] * values
    return total
