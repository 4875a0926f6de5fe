"""Validation: images that are held back, and how good a network is on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from ..networks.engine.training import TrainingPlan
from ._data import TrainingData

#: Images of one call of the network where nothing is learned.
FORWARD_BATCH = 128


@dataclass(frozen=True)
class Validation:
    """Rows that are not trained on, and the function that scores the network's outputs of them.

    Attributes
    ----------
    rows : ndarray of int
        Rows of the data.
    score : callable
        Given the outputs of the network for these rows, returns a float, larger if better.
    """

    rows: np.ndarray
    score: Callable[[np.ndarray], float]


def split_rows(
    n: int, fraction: float, rng: np.random.RandomState, *, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into those to train on and those to validate on.

    Parameters
    ----------
    n : int
    fraction : float
        Share of the rows to validate on.
    rng : RandomState
    labels : ndarray of shape (n,), optional
        Classes, of each of which both parts have their share.

    Returns
    -------
    train, validation : ndarray of int
        In ascending order.

    Raises
    ------
    ValueError
        If there are too few rows, or too few of a class.
    """
    try:
        train, validation = train_test_split(
            np.arange(n), test_size=fraction, random_state=rng, stratify=labels
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction}: {n} images cannot be split "
            f"({error})"
        ) from error
    return np.sort(train), np.sort(validation)


def outputs_of(
    plan: TrainingPlan, data: TrainingData, rows: np.ndarray, n_threads: int
) -> np.ndarray:
    """Compute the outputs of a network for rows of the data, batch by batch.

    Groups of images are filled up with copies, so that an image's outputs do not depend on how
    many are with it.
    """
    parts = []
    for i in range(0, len(rows), FORWARD_BATCH):
        own = rows[i : i + FORWARD_BATCH]
        inputs = data.take(own, None, None)
        lacking = -len(inputs) % plan.group_size
        if lacking:
            inputs = np.concatenate([inputs, np.repeat(inputs[:1], lacking, axis=0)])
        parts.append(plan.forward(inputs, n_threads=n_threads)[: len(own)])
    return np.concatenate(parts)
