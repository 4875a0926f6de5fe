"""A network that has learned, in use: on the engine's compiled programs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .._utils.parallel import single_threaded_blas
from ..networks.engine import Plan
from ..networks.engine.training import TrainingPlan
from ..networks.weights.weights import Weights
from ._data import TrainingData
from ._validation import FORWARD_BATCH, outputs_of


class Predictor:
    """Computes the outputs of a network whose parameters do not change any more.

    Networks that the engine cannot run, such as those without a convolution, are computed as in
    training.

    Parameters
    ----------
    weights : Weights
    output : str
        The layer with the outputs.
    exact : bool
    """

    def __init__(self, weights: Weights, output: str, *, exact: bool):
        net, parameters = weights.architecture, weights.parameters
        self.shape = net.shapes()[output]
        self._plan: Plan | None = None
        self._training_plan: TrainingPlan | None = None
        try:
            self._plan = Plan(net, parameters, [output], exact=exact)
        except (TypeError, ValueError):
            self._training_plan = TrainingPlan(net, parameters, output, exact=exact)

    def run(self, data: TrainingData, n_threads: int) -> np.ndarray:
        """Compute the outputs of all images, (n, n_outputs)."""
        rows = np.arange(len(data))
        if len(rows) == 0:
            return np.empty((0, *self.shape), np.float32)
        if self._plan is None:
            assert self._training_plan is not None
            with single_threaded_blas():
                return outputs_of(self._training_plan, data, rows, n_threads)
        found = np.empty((len(rows), *self.shape), np.float32)
        for i in range(0, len(rows), FORWARD_BATCH):
            inputs = data.take(rows[i : i + FORWARD_BATCH], None, None)
            (found[i : i + len(inputs)],) = self._plan.run(inputs, n_threads)
        return found


@lru_cache(maxsize=8)
def predictor(weights: Weights, output: str, exact: bool) -> Predictor:
    """Return the predictor of weights, the same for the same weights, as they never change."""
    return Predictor(weights, output, exact=exact)
