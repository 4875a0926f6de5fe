"""From files to blocks of features, computed in one go while the finished ones are written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np

from ..images._inputs import ImageInputs, describe
from .file_list import FileList


def computed_blocks(
    transformer, files: FileList, blocks: Sequence[range], count: Callable[[int], None]
) -> Iterator[tuple[range, np.ndarray, dict[int, str]]]:
    """Compute the features of blocks of files, in their order.

    Parameters
    ----------
    transformer : DeCAFTransformer
        With ``on_error="nan"``.
    files : FileList
    blocks : sequence of range
        Rows of the files, none empty.
    count : callable
        Called with the number of images that are done.

    Yields
    ------
    rows : range
        The block.
    features : ndarray of shape (n, n_features), float32
        NaN for images that failed.
    reasons : dict of int to str
        Why images failed, by row.
    """
    if not blocks:
        return
    if transformer.cache is not None:
        for rows in blocks:
            images = _Rows(files, [rows])
            features, failed = transformer._compute(images, count)
            yield rows, features, dict(map(images.reason, failed))
        return

    # All in one go: between calls some threads would wait for the others.
    images = _Rows(files, blocks)
    recipe = transformer._recipe()
    batches = recipe.iter_rows(images, **transformer._how())
    batch, failed = np.empty((0, recipe.n_features), np.float32), []  # not in a block yet
    end = 0
    for rows in blocks:
        features = np.empty((len(rows), recipe.n_features), np.float32)
        end += len(rows)
        filled = 0
        while filled < len(rows):
            if not len(batch):
                _, batch, failures = next(batches)
                failed += failures
                count(len(batch))
            part = batch[: len(rows) - filled]
            features[filled : filled + len(part)] = part
            filled, batch = filled + len(part), batch[len(part) :]
        here = [failure for failure in failed if failure[0] < end]
        failed = failed[len(here) :]
        yield rows, features, dict(map(images.reason, here))


class _Rows(ImageInputs):
    """Some of the files, which know their rows among all."""

    def __init__(self, files: FileList, blocks: Sequence[range]):
        super().__init__(range(sum(map(len, blocks))))
        self._files, self._blocks = files, blocks
        self._ends = list(accumulate(map(len, blocks)))

    def row(self, i: int) -> int:
        """The row among all files."""
        block = bisect_right(self._ends, i)
        return self._blocks[block][i - self._ends[block]]

    def __getitem__(self, i):
        return self._files[self.row(i)]

    @property
    def is_cheap(self) -> bool:
        return False

    def name_row(self, i):
        return f"row {self.row(i)}"

    def reason(self, failure: tuple[int, str]) -> tuple[int, str]:
        """Row among all files, and the reason without that row and the path."""
        i, message = failure
        return self.row(i), message.removeprefix(f"{self.name_row(i)}, {describe(self[i])}: ")
