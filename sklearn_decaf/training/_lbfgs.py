"""L-BFGS over all images at once, for small networks and small collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize

LossAndGradients = tuple[float, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class LBFGSResult:
    """How a minimisation ended.

    Attributes
    ----------
    loss : float
        At the end.
    n_iter : int
        Iterations that were made.
    n_evaluations : int
        Losses that were computed, each with its gradients.
    converged : bool
        False where it stopped for another reason, such as the number of iterations.
    message : str
        The reason, in SciPy's words.
    """

    loss: float
    n_iter: int
    n_evaluations: int
    converged: bool
    message: str


def minimise(
    compute: Callable[[Mapping[str, np.ndarray]], LossAndGradients],
    parameters: Mapping[str, np.ndarray],
    *,
    max_iter: int = 200,
    max_evaluations: int = 15000,
    tol: float = 1e-4,
    callback: Callable[[Mapping[str, np.ndarray]], None] | None = None,
) -> LBFGSResult:
    """Minimise a loss by SciPy's L-BFGS-B, with the limits of scikit-learn's ``MLPClassifier``.

    Parameters
    ----------
    compute : callable
        Takes the parameters, and returns the loss of all images and its gradients. Parameters
        without a gradient stay as they are.
    parameters : dict of str to ndarray
        Changed in place; at the end they are the best that were found.
    max_iter : int, default=200
    max_evaluations : int, default=15000
    tol : float, default=1e-4
        The largest number of the gradient at which the loss counts as minimal.
    callback : callable, optional
        Called with the parameters after each iteration.

    Returns
    -------
    LBFGSResult

    Raises
    ------
    FloatingPointError
        If the loss is not finite at the beginning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.training._lbfgs import minimise
    >>> parameters = {"fc.bias": np.array([3.0, -1.0])}
    >>> def compute(p):
    ...     return float((p["fc.bias"] ** 2).sum()), {"fc.bias": 2 * p["fc.bias"]}
    >>> minimise(compute, parameters).converged
    True
    >>> bool(np.abs(parameters["fc.bias"]).max() < 1e-4)
    True
    """
    loss, gradients = compute(parameters)
    if not np.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} before the first step")
    trained = {name: parameters[name] for name in gradients}  # views, in a fixed order

    def assign(vector: np.ndarray) -> None:
        start = 0
        for values in trained.values():
            values[...] = vector[start : start + values.size].reshape(values.shape)
            start += values.size

    def evaluate(vector: np.ndarray) -> tuple[float, np.ndarray]:
        assign(vector)
        loss, gradients = compute(parameters)
        return loss, _flat(gradients[name] for name in trained)

    def report(vector: np.ndarray) -> None:
        assign(vector)  # the last that was evaluated may have been one too far
        if callback is not None:
            callback(parameters)

    found = optimize.minimize(
        evaluate,
        _flat(trained.values()),
        jac=True,
        method="L-BFGS-B",
        callback=report,
        options={"maxiter": max_iter, "maxfun": max_evaluations, "gtol": tol},
    )
    assign(found.x)
    return LBFGSResult(
        float(found.fun), int(found.nit), int(found.nfev), bool(found.success), str(found.message)
    )


def _flat(arrays) -> np.ndarray:
    """Put arrays into one vector, in the precision that SciPy computes in."""
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)
