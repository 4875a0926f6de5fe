"""One call of `extract`: finished blocks are kept, failed images retried, the rest computed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from .._utils.progress import Progress
from ..exceptions import ImageAccessError
from ..transformers import DeCAFTransformer
from .blocks import Reasons, computed_blocks
from .formats import has_fixed_lists, read_features, write_block
from .output_folder import NOT_DECODED, NOT_OPENED, Failure, OutputFolder, Part
from .path_lists import explain_missing


class ResumableRun:
    """The steps that finish an output, of which each keeps what is finished.

    Parameters
    ----------
    output : OutputFolder
    transformer : DeCAFTransformer
        As `for_files` returns it.

    Attributes
    ----------
    parts : dict of int to Part
        The finished blocks, by number.
    n_computed : int
        Images that this call computed, or found to be no images.
    """

    def __init__(self, output: OutputFolder, transformer: DeCAFTransformer):
        self.output = output
        self.transformer = transformer
        self.files, self.settings = output.files, output.settings
        self.parts = output.finished()
        self.n_computed = 0

    # Steps -------------------------------------------------------------------------------------

    def retry(self, *, all_failed: bool, verbose: bool) -> None:
        """Compute images of finished blocks that failed: all, or those that were not opened."""
        rows = {}
        for number, part in sorted(self.parts.items()):
            failed = [f.row for f in part.failed if all_failed or f.kind != NOT_DECODED]
            if failed:
                rows[number] = failed
        if rows or len(self.parts) < self.output.n_blocks:
            self._convert_fixed_lists()
            rows = {number: rows[number] for number in rows if number in self.parts}
        if not rows:
            return
        n_rows = sum(map(len, rows.values()))
        if verbose:
            print(f"[extract] {n_rows} images that failed are tried again", file=sys.stderr)
        n_before = self.n_computed
        with closing(self._compute(rows.values(), verbose)) as blocks:
            for number, (_, features, reasons) in zip(rows, blocks):
                self._replace_rows(number, rows[number], features, reasons)
        if verbose:
            n_settled = self.n_computed - n_before
            print(f"[extract] {n_settled} of them have another result now", file=sys.stderr)

    def compute_unfinished(self, *, allow_missing: bool, verbose: bool) -> None:
        """Compute and write the blocks that are not finished."""
        to_do = [number for number in range(self.output.n_blocks) if number not in self.parts]
        ranges = [self._rows(number) for number in to_do]
        n_finished = len(self.files) - sum(map(len, ranges))
        if verbose and n_finished:
            print(
                f"[extract] {n_finished} of {len(self.files)} images were finished before",
                file=sys.stderr,
            )
        with closing(self._compute(ranges, verbose)) as blocks:
            for number, (rows, features, reasons) in zip(to_do, blocks):
                if not allow_missing:
                    self._refuse_outage(rows, reasons)
                self._write(number, features, _failures(reasons))
                self.n_computed += len(rows)

    def complete(self) -> None:
        """Write the manifest."""
        try:
            self.output.complete(self.parts)
        except OSError as error:
            raise self._explained(error) from error

    # What they share ---------------------------------------------------------------------------

    def _rows(self, number: int) -> range:
        size = self.settings["block_size"]
        return range(number * size, min((number + 1) * size, len(self.files)))

    def _compute(
        self, blocks: Iterable[Sequence[int]], verbose: bool
    ) -> Iterator[tuple[Sequence[int], np.ndarray, Reasons]]:
        """Blocks of features; to be closed, or threads go on after an error or Ctrl-C."""
        blocks = list(blocks)
        progress = Progress(sum(map(len, blocks)), "extract", enabled=bool(verbose))
        return computed_blocks(self.transformer, self.files, blocks, progress.update)

    def _write(self, number: int, features: np.ndarray, failed: Sequence[Failure]) -> None:
        rows = self._rows(number)
        write = partial(
            write_block,
            self.settings["format"],
            number=number,
            start=rows.start,
            names=[self.files.name(row) for row in rows],
            features=features,
            reasons={failure.row: failure.reason for failure in failed},
            settings=self.settings,
        )
        try:
            self.parts[number] = self.output.add(number, rows.start, len(rows), failed, write)
        except OSError as error:
            raise self._explained(error) from error

    def _replace_rows(
        self, number: int, rows: Sequence[int], features: np.ndarray, reasons: Reasons
    ) -> None:
        """Put into a finished block what became of images that failed before."""
        part = self.parts[number]
        failed = {failure.row: failure for failure in part.failed}
        found = {failure.row: failure for failure in _failures(reasons)}
        changed = [
            (row, row_features)
            for row, row_features in zip(rows, features)
            # that a file still cannot be opened is nothing new
            if (row not in reasons or not reasons[row].is_access) and found.get(row) != failed[row]
        ]
        if not changed:
            return
        block = self._read(part)
        for row, row_features in changed:
            block[row - part.start] = row_features
            del failed[row]
            if row in found:
                failed[row] = found[row]
        self._write(number, block, [failed[row] for row in sorted(failed)])
        self.n_computed += len(changed)

    def _read(self, part: Part) -> np.ndarray:
        path = self.output.folder / part.features_file
        return read_features(path, self.settings["n_features"])

    def _convert_fixed_lists(self) -> None:
        """Write the parts of an older version anew, or there would be two kinds in one table."""
        for number, part in list(self.parts.items()):
            if not has_fixed_lists(self.output.folder / part.features_file):
                continue
            try:
                self._write(number, self._read(part), part.failed)
            except ValueError:  # nobody can read it: compute it again
                del self.parts[number]

    def _refuse_outage(self, rows: Sequence[int], reasons: Reasons) -> None:
        """Raise if not one of several files can be opened: nothing of that may be kept."""
        if len(rows) < 2 or not all(row in reasons and reasons[row].is_access for row in rows):
            return
        names = [self.files.name(row) for row in rows[:20]]
        hint = explain_missing(names, self.files.root)
        raise ImageAccessError(
            f"not one of the {len(rows)} files of rows {rows[0]} to {rows[-1]} can be opened "
            f"({self.files[rows[0]]!r}: {reasons[rows[0]].rstrip('.')}): "
            + (hint or "is their disk there, and may you read it?")
            + f" {self._n_finished()}: mend that and do the same again. If they are gone for good, "
            "allow_missing=True (--allow-missing) makes rows of NaN of them."
        )

    def _n_finished(self) -> str:
        return f"{len(self.parts)} of {self.output.n_blocks} blocks are finished and kept"

    def _explained(self, error: OSError) -> OSError:
        message = (
            f"{error.strerror or error}; {self._n_finished()}: remove the cause and do the same "
            "again"
        )
        return OSError(error.errno, message, str(self.output.folder))


def _failures(reasons: Reasons) -> list[Failure]:
    return [
        Failure(row, str(reasons[row]), NOT_OPENED if reasons[row].is_access else NOT_DECODED)
        for row in sorted(reasons)
    ]
