"""Scratch memory of the calls that are being made, and the parts that they are divided in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .memory import Arena


def split_evenly(first: int, end: int, n_parts: int) -> Iterator[tuple[int, int]]:
    """Cut a range into at most `n_parts` that are not empty."""
    n = end - first
    n_parts = max(1, min(n_parts, n))
    for part in range(n_parts):
        yield first + n * part // n_parts, first + n * (part + 1) // n_parts


class Workspace:
    """Scratch memory, from an arena, for steps that run between each other.

    It is kept until :meth:`release`, as calls made from one step may run between those of another.

    Parameters
    ----------
    arena : Arena
    n_parts : int
        Parts of a phase that may run at the same time, each with scratch memory of its own.
    """

    def __init__(self, arena: Arena, n_parts: int):
        self.arena = arena
        self.n_parts = n_parts
        self._taken: list[np.ndarray] = []

    def take(self, shape, dtype=np.float32) -> np.ndarray:
        """An array of the given shape; its values are arbitrary."""
        array = self.arena.take(shape, dtype)
        self.keep(array)
        return array

    def take_for_parts(self, *wanted: tuple) -> Callable[[], list[list[np.ndarray]]]:
        """Arrays, given by shape and dtype, for each part; taken when they are first asked for."""
        taken: list[list[np.ndarray]] = []

        def arrays() -> list[list[np.ndarray]]:
            if not taken:
                taken.extend(
                    [self.take(shape, dtype) for shape, dtype in wanted]
                    for _ in range(self.n_parts)
                )
            return taken

        return arrays

    def keep(self, array: np.ndarray) -> None:
        """Keep an array from the arena as long as other scratch memory."""
        self._taken.append(array)

    def release(self) -> None:
        """Give all scratch memory back: the calls that use it are complete."""
        for array in self._taken:
            self.arena.give_back(array)
        self._taken.clear()
