"""Progress of an epoch, with its number, its loss and its validation score."""

from __future__ import annotations

from .._utils.progress import Progress


class EpochProgress:
    """Show a bar for each epoch.

    Parameters
    ----------
    label : str
        Name of the training.
    epoch, last_epoch : int
        Which epoch it is, from 1 on, and of how many.
    n_images : int
        To train on.
    done : int, default=0
        Those that are done.
    enabled : bool, default=True
    """

    def __init__(
        self,
        label: str,
        epoch: int,
        last_epoch: int,
        n_images: int,
        *,
        done: int = 0,
        enabled: bool = True,
    ):
        self._label = f"{label}, epoch {epoch}/{last_epoch}"
        self._bar = Progress(n_images, self._label, enabled=enabled)
        self._bar.done = done

    def step(self, n: int, loss: float) -> None:
        """Count images of a step; the last ones of the epoch wait for its end."""
        self._bar.label = f"{self._label}, loss {loss:.4g}"
        if self._bar.done + n < self._bar.total:
            self._bar.update(n)

    def end(self, loss: float, score: float | None = None) -> None:
        """Show the epoch as done."""
        validation = "" if score is None else f", validation {score:.4g}"
        self._bar.label = f"{self._label}, loss {loss:.4g}{validation}"
        self._bar.update(self._bar.total - self._bar.done)
