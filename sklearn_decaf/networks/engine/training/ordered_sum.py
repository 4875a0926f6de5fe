"""A sum that several threads contribute to, always in the same order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import numpy as np

Gradients = Mapping[str, Mapping[str, np.ndarray]]  # by layer and parameter


class OrderedSum:
    """The sum of losses and gradients of groups, added in the order of the groups.

    Whoever comes before its turn waits, so that only threads hold gradients, not groups.

    Attributes
    ----------
    value : float
    arrays : dict of str to dict of str to ndarray
        The same memory each time.
    """

    def __init__(self):
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        self.restart()

    def restart(self) -> None:
        """Begin a new sum."""
        self._turns = threading.Condition()  # a new one: a fork may have copied a locked one
        self.value = 0.0
        self._next = 0
        self._failed = False

    def clear(self) -> None:
        """Set the gradients of the last sum to zero: there is nothing to add."""
        for own in self.arrays.values():
            for sums in own.values():
                sums[...] = 0

    def add(
        self,
        turn: int,
        value: float,
        arrays: Gradients,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Add what group number `turn` found, once all before it are there, and call `then`."""
        with self._turns:
            self._turns.wait_for(lambda: self._next == turn or self._failed)
            if self._failed:
                return
        self.value += value
        for layer, own in arrays.items():
            sums = self.arrays.setdefault(layer, {})
            for name, part in own.items():
                if name not in sums:
                    sums[name] = np.array(part)
                elif turn == 0:
                    np.copyto(sums[name], part)
                else:
                    sums[name] += part
        if then is not None:
            then()
        with self._turns:
            self._next += 1
            self._turns.notify_all()

    def guard(self, work: Callable[[int], None]) -> Callable[[int], None]:
        """Make work whose errors let nobody wait for a turn that does not come."""

        def run(turn: int) -> None:
            try:
                work(turn)
            except BaseException:
                with self._turns:
                    self._failed = True
                    self._turns.notify_all()
                raise

        return run
