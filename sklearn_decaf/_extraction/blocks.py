"""Features of blocks of files: of one block, or of many in their order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import numpy as np

from ..images._inputs import FailureReason, ImageInputs, describe
from ..transformers import DeCAFTransformer

Reasons = dict[int, FailureReason]  # why images failed, by row


def compute_block(
    transformer: DeCAFTransformer, files: Sequence[str], rows: Sequence[int]
) -> tuple[np.ndarray, Reasons]:
    """Compute the features of one block of files.

    What `extract` computes in one process, block by block, any executor can compute elsewhere:
    this function, its arguments and its results can be pickled. A block's features are the same to
    the bit wherever and with whatever others it is computed (with the same compiled kernels).

    Parameters
    ----------
    transformer : DeCAFTransformer
        No dropout is applied, and images that cannot be read are reported, whatever it says.
    files : sequence of str
        Paths of all photographs, or of those of this block: ``files[start:stop]`` is less to send
        to another process.
    rows : sequence of int
        Indices of the block's files.

    Returns
    -------
    features : ndarray of shape (n_rows, n_features), float32
        NaN for images that failed.
    reasons : dict of int to str
        Why images failed, by row. The attribute `is_access` of a reason says whether the file
        could not be opened or read.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf._extraction.blocks import compute_block
    >>> with ThreadPoolExecutor() as executor:
    ...     task = executor.submit(compute_block, DeCAFTransformer(), ["missing.jpg"], [0])
    ...     features, reasons = task.result()
    >>> features.shape, reasons[0].is_access
    ((1, 320), True)
    """
    blocks = computed_blocks(for_files(transformer), files, [rows], lambda n: None)
    for _, features, reasons in blocks:
        return features, reasons
    raise AssertionError("one block gives one result")


def for_files(transformer: DeCAFTransformer) -> DeCAFTransformer:
    """A copy of a transformer that computes bare features and reports what it cannot read.

    Raises
    ------
    ValueError
        If a parameter is wrong, or is for something else than files.
    TypeError
        If it is no DeCAFTransformer.
    """
    if not isinstance(transformer, DeCAFTransformer):
        raise TypeError(f"transformer={transformer!r}: it must be a DeCAFTransformer.")
    if transformer.dropout is True:
        raise ValueError(
            "dropout=True: it must be False, because extract writes features as the network gives "
            "them. Apply ActivationDropout to them when you train."
        )
    if transformer.image_shape is not None:
        raise ValueError(
            f"image_shape={transformer.image_shape!r}: it must be None, because extract reads "
            "files and no rows of pixels."
        )
    copy = transformer._variant(dropout=False, on_error="nan", verbose=False)
    copy._validate_params()
    return copy


def computed_blocks(
    transformer: DeCAFTransformer,
    files: Sequence[str],
    blocks: Sequence[Sequence[int]],
    count: Callable[[int], None],
) -> Iterator[tuple[Sequence[int], np.ndarray, Reasons]]:
    """Compute the features of blocks of files, in their order.

    Parameters
    ----------
    transformer : DeCAFTransformer
        As `for_files` returns it.
    files : sequence of str
    blocks : sequence of sequences of int
        Rows of the files.
    count : callable
        Called with the number of images that are done.

    Yields
    ------
    rows : sequence of int
        The block.
    features : ndarray of shape (n_rows, n_features), float32
        NaN for images that failed.
    reasons : dict of int to str
        Why images failed, by row.
    """
    if not any(map(len, blocks)):
        for rows in blocks:
            yield rows, np.empty((0, transformer._recipe().n_features), np.float32), {}
        return
    if transformer.cache is not None:
        for rows in blocks:
            images = _Rows(files, [rows])
            features, failed = transformer._compute(images, count)
            yield rows, features, dict(map(images.reason, failed))
        return

    # All blocks in one loop: between calls some threads would wait for the others.
    images = _Rows(files, blocks)
    recipe = transformer._recipe()
    batches = recipe.iter_rows(images, **transformer._run_options())
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

    def __init__(self, files: Sequence[str], blocks: Sequence[Sequence[int]]):
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

    def reason(self, failure: tuple[int, FailureReason]) -> tuple[int, FailureReason]:
        """Row among all files, and the reason without that row and the path."""
        i, message = failure
        reason = FailureReason(message.removeprefix(f"{self.name_row(i)}, {describe(self[i])}: "))
        reason.is_access = message.is_access
        return self.row(i), reason
