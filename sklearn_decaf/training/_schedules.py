"""The learning rate, step by step.

A schedule is called with the number of a step, from 0 on, and returns the rate of that step. At
the end of each epoch it is told the loss, and says whether to stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """The same rate always."""

    rate: float

    def __call__(self, step: float) -> float:
        """Return the rate of a step."""
        return self.rate

    def end_epoch(self, loss: float) -> bool:
        """Hear of the loss of an epoch, and tell whether to stop; never."""
        return False


@dataclass(frozen=True)
class Cosine(Constant):
    """A linear rise, then half a wave of the cosine down to `end` (Loshchilov and Hutter 2017).

    Parameters
    ----------
    rate : float
        The largest, at the end of the rise.
    n_steps : int
        Of the whole training; later ones have the rate `end`.
    warm_up : float, default=0.1
        Share of the steps that rise, in [0, 1].
    end : float, default=0.0
        Where the rate goes.
    """

    n_steps: int
    warm_up: float = 0.1
    end: float = 0.0

    def __post_init__(self):
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up={self.warm_up!r} is a share of the steps, in [0, 1]")

    def __call__(self, step: float) -> float:
        rise = round(self.warm_up * self.n_steps)
        if step < rise:
            return self.rate * (step + 1) / rise
        if step >= self.n_steps:
            return self.end
        share = (step - rise) / (self.n_steps - rise)
        return self.end + (self.rate - self.end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Step(Constant):
    """A rate that is multiplied by `factor` after every so many steps."""

    every: int
    factor: float = 0.1

    def __post_init__(self):
        if not self.every > 0:
            raise ValueError(f"every={self.every!r} must be larger than 0")

    def __call__(self, step: float) -> float:
        return self.rate * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Inverse(Constant):
    """``rate / (1 + speed * step) ** power``, Caffe's "inv".

    With a speed of 1 it is scikit-learn's "invscaling", which counts images instead of steps.
    """

    speed: float = 1.0
    power: float = 0.5

    def __call__(self, step: float) -> float:
        return self.rate / (1 + self.speed * step) ** self.power


class Adaptive:
    """A fifth of the rate when the loss no longer falls, as ``MLPClassifier`` has it.

    It stops when the loss does not fall and the rate is 1e-6 or less.

    Parameters
    ----------
    rate : float
        At the beginning.
    tol : float, default=1e-4
        By how much the loss has to be lower than the best one before.
    n_iter_no_change : int, default=10
        How many epochs in a row may fail to do so.

    Attributes
    ----------
    current : float
        The rate now.
    """

    def __init__(self, rate: float, *, tol: float = 1e-4, n_iter_no_change: int = 10):
        self.rate, self.tol, self.n_iter_no_change = rate, tol, n_iter_no_change
        self.current = rate
        self._best = math.inf
        self._failed = 0

    def __call__(self, step: float) -> float:
        """Return the rate of a step."""
        return self.current

    def end_epoch(self, loss: float) -> bool:
        """Hear of the loss of an epoch, and tell whether to stop."""
        self._failed = self._failed + 1 if loss > self._best - self.tol else 0
        self._best = min(self._best, loss)
        if self._failed <= self.n_iter_no_change:
            return False
        if self.current <= 1e-6:
            return True
        self.current /= 5
        self._failed = 0
        return False
