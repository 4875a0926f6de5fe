"""The mean of parameters over the steps of a training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class AveragedParameters:
    """Exponential moving average of parameters, which often predicts better than the last ones.

    Parameters
    ----------
    decay : float, default=0.999
        What remains of the average at each step, in [0, 1). The average begins with the
        parameters of the first step.

    Attributes
    ----------
    values : dict of str to ndarray
        The averages, copies of their own.
    """

    def __init__(self, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay!r} must be in [0, 1)")
        self.decay = decay
        self.values: dict[str, np.ndarray] = {}

    def update(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Take the parameters after a step into the average."""
        for name, values in parameters.items():
            if name in self.values:
                average = self.values[name]
                average += (1 - self.decay) * (values - average)
            else:
                self.values[name] = values.copy()
