"""Activations of images and of their mirror images, computed once and learned from many times."""

from __future__ import annotations

import numpy as np


class CachedViews:
    """Outputs of a frozen layer, for several views of each image.

    In training one view is drawn for each image and epoch; where nothing is learned it is the
    first, the image itself.

    Parameters
    ----------
    views : list of ndarray of shape (n, h, w, c) or (n, c)
        The image, and its mirror image if that is learned from.
    """

    is_slow = False

    def __init__(self, views: list[np.ndarray]):
        self.views = views

    def __len__(self) -> int:
        return len(self.views[0])

    def take(
        self, rows: np.ndarray, epoch: int | None = None, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return a batch, see :class:`~._data.TrainingData`."""
        first = self.views[0]
        if rng is None or len(self.views) == 1:
            return first[rows]
        drawn = rng.integers(len(self.views), size=len(rows))
        batch = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for i, (row, view) in enumerate(zip(rows, drawn)):
            batch[i] = self.views[view][row]
        return batch
