"""Call lists whose results show in which order, and how often, their tasks ran."""

from __future__ import annotations

import numpy as np

from sklearn_decaf import _kernels
from sklearn_decaf._kernels.calls import CallList

THREADS = [1, 2, 3, 4, 9, 40]
C = 3  # channels


def f32(*shape):
    return np.zeros(shape, np.float32)


def add(a, b, out):
    return _kernels.kernels.bind_add_and_clip(a, b, -np.inf, np.inf, out)


class Chain:
    """A call list that adds 1 for each of its phases, if they run in order and completely.

    Each task of a phase reads what all tasks of the phase before wrote: their average, plus 1.
    It also counts its runs.
    """

    def __init__(self, widths=(5, 1, 4, 0, 7)):
        kernels = _kernels.kernels
        self.x, self.result = f32(1, 1, C), f32(C)
        self.counts = [f32(width, 1, 1, 1) for width in widths]
        self.added = sum(width > 0 for width in widths)
        ones, phases, before = np.ones((1, 1, C), np.float32), [], self.x
        for width, counts in zip(widths, self.counts):
            after, phase = np.full((width, 1, C), np.nan, np.float32), []
            for count, own in zip(counts, after):
                average = f32(C)
                phase.append(
                    [
                        kernels.bind_average(before, average),
                        add(average.reshape(1, 1, C), ones, own.reshape(1, 1, C)),
                        add(count, ones[..., :1], count),
                    ]
                )
            phases.append(phase)
            before = after if width else before
        phases.append([[kernels.bind_average(before, self.result)]])
        self.call_list = CallList(phases, [self.x], [self.result])

    def runs(self):
        """How often the tasks ran, all the same number of times."""
        found = {int(count) for counts in self.counts for count in counts.ravel()}
        assert len(found) <= 1
        return found.pop() if found else None


def items_of(n):
    """Items, and an array for their results."""
    x = np.arange(n * C, dtype=np.float32).reshape(n, 1, 1, C)
    return x, np.full((n, C), np.nan, np.float32)


def assert_added(x, results, number):
    np.testing.assert_array_equal(results, x.reshape(results.shape) + number)
