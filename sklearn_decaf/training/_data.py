"""What a training gets its images from."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class TrainingData(Protocol):
    """Images, or what else a network is given, by row.

    A class may have an attribute ``is_slow``: if it is True, the next batch is made in a thread
    beside the computation.
    """

    def __len__(self) -> int: ...

    def take(
        self, rows: np.ndarray, epoch: int | None, rng: np.random.Generator | None
    ) -> np.ndarray:
        """Return the inputs of a batch, in the order of `rows`.

        Parameters
        ----------
        rows : ndarray of int
        epoch : int or None
            The epoch, from 0 on, in which the images are learned from; None where they are only
            looked at, and nothing random may happen to them.
        rng : Generator or None
            For what is random, the same whenever the batch is made again; None with no epoch.

        Returns
        -------
        ndarray of shape (len(rows), h, w, c) or (len(rows), c)
        """
