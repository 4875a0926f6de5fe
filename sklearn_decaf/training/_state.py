"""How far a training has come: all that it needs to go on from there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass
class TrainingState:
    """What a training remembers from step to step, beside its parameters and its solver.

    Shuffles and all other draws follow from the seed, the epoch and the step, so that nothing
    more is needed to take the training up again at any step.

    Attributes
    ----------
    seed : int
        Of all draws.
    epoch : int
        Epochs that are done, those of earlier calls included.
    step : int
        Steps that are done of the epoch after them.
    n_steps : int
        Steps that are done in all.
    first_step : int
        The step from which the learning rate counts.
    epoch_loss : float
        Sum of the losses of the images of this epoch.
    best_loss, best_score : float
        Of all epochs: the smallest loss, the largest score in validation.
    best_epoch : int
        The epoch after which the best parameters were kept.
    n_no_change : int
        Epochs in a row that brought no progress.
    stopped : str
        Why the training is over; empty while it goes on.
    losses, validation_scores : list of float
        One an epoch; `validation_scores` has one more in front if the initial parameters were
        validated.
    step_losses, learning_rates : list of float
        One a step.
    best : dict of str to ndarray
        Copies of the best parameters.
    """

    seed: int = 0
    epoch: int = 0
    step: int = 0
    n_steps: int = 0
    first_step: int = 0
    epoch_loss: float = 0.0
    best_loss: float = math.inf
    best_score: float = -math.inf
    best_epoch: int = 0
    n_no_change: int = 0
    stopped: str = ""
    losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    best: Arrays = field(default_factory=dict)

    def generator(self, purpose: str, *place: int) -> np.random.Generator:
        """Return the generator of the draws for a purpose, at a place such as an epoch and a step.

        Parameters
        ----------
        purpose : {"shuffle", "batch", "dropout"}
        *place : int
        """
        return np.random.default_rng((self.seed, _PURPOSES.index(purpose), *place))

    def continued(self) -> TrainingState:
        """Return where another training of the same parameters begins.

        It goes on with the counts and the curves, and begins with the first learning rate. What
        was best, and what was not finished, is of the earlier one.
        """
        return TrainingState(
            seed=self.seed,
            epoch=self.epoch,
            n_steps=self.n_steps,
            first_step=self.n_steps,
            losses=list(self.losses),
            validation_scores=list(self.validation_scores),
            step_losses=list(self.step_losses),
            learning_rates=list(self.learning_rates),
        )


_PURPOSES = ("shuffle", "batch", "dropout")
