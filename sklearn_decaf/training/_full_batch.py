"""A training with L-BFGS: all images in each step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._utils.parallel import single_threaded_blas
from ._lbfgs import LBFGSResult, minimise
from ._loop import TrainingLoop
from ._penalties import penalise
from ._state import Arrays


def run_lbfgs(
    loop: TrainingLoop, *, max_iter: int, max_evaluations: int, tol: float
) -> tuple[Arrays, LBFGSResult]:
    """Train the parameters of a loop by L-BFGS in place of its own steps.

    Images are taken as they are, and dropout has the same zeros at each evaluation: the loss has
    to be one function.

    Parameters
    ----------
    loop : TrainingLoop
        Its state gets the loss of each iteration.
    max_iter, max_evaluations, tol
        See :func:`minimise`.

    Returns
    -------
    dict of str to ndarray
        All parameters of the plan.
    LBFGSResult
    """
    plan, state, options = loop.plan, loop.state, loop.options
    inputs = loop.data.take(loop.rows, None, None)
    weight = loop.objective.mean_weight(loop.rows)
    loss_of = loop.objective.of_batch(loop.rows, weight)
    losses = [0.0]

    def compute(parameters: Mapping[str, np.ndarray]) -> tuple[float, Mapping[str, np.ndarray]]:
        plan.refresh()
        with np.errstate(all="ignore"):
            loss, gradients = plan.gradients(
                inputs, loss_of, seed=state.seed, n_threads=options.n_threads
            )
            loss += penalise(plan.parameters, gradients, l1=options.l1, l2=options.l2)
        losses[0] = loss
        return loss, gradients

    def take_note(parameters: Mapping[str, np.ndarray]) -> None:
        state.epoch += 1
        state.n_steps += 1
        state.losses.append(losses[0])
        state.step_losses.append(losses[0])

    with single_threaded_blas():
        found = minimise(
            compute,
            plan.parameters,
            max_iter=max_iter,
            max_evaluations=max_evaluations,
            tol=tol,
            callback=take_note,
        )
    plan.refresh()
    state.best_loss = min(state.best_loss, found.loss)
    state.stopped = found.message
    return {name: values.copy() for name, values in plan.parameters.items()}, found
