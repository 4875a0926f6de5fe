"""Rows of features with the help of a cache: look up, agree on who computes what, compute, keep."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from .._features.recipe import Recipe
from .._utils.parallel import run_in_threads
from ..images._inputs import ImageInputs
from .activation_cache import ActivationCache
from .key_locks import Claims
from .keys import entry_key, identify, recipe_digest

_CHUNK = 256  # images identified and looked up at a time
_POLL = 0.02  # seconds between two looks for what others compute
_PATIENCE = 60.0  # seconds without news from the others after which nobody waits


def cached_rows(
    images: ImageInputs,
    recipe: Recipe,
    cache: ActivationCache,
    *,
    batch_size: int,
    n_threads: int,
    on_error: str,
    count: Callable[[int], None],
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Features of all images, computing each distinct one that is not in the cache once.

    Parameters
    ----------
    images : ImageInputs
    recipe : Recipe
    cache : ActivationCache
    batch_size, n_threads, on_error
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    count : callable
        Called with the number of images that are done.

    Returns
    -------
    features : ndarray of shape (n, n_features), float32
    failures : list of (row, message), by row
    """
    work = _Work(images, recipe, cache, batch_size, n_threads, on_error, count)
    work.look_up_all()
    work.compute_missing()
    return work.features, sorted(work.failures)


class _Selection(ImageInputs):
    """Some of the images, identified as they are read: the digest is of what gets decoded."""

    def __init__(self, images: ImageInputs, rows: Sequence[int], exif_transpose: bool):
        super().__init__(rows)
        self._images = images
        self._exif_transpose = exif_transpose
        self.digests: list[bytes | None] = [None] * len(rows)

    @property
    def is_cheap(self) -> bool:
        return False

    def __getitem__(self, i):
        image = self._images[self._items[i]]
        self.digests[i], image = identify(image, exif_transpose=self._exif_transpose)
        return image

    def name_row(self, i):
        return self._images.name_row(self._items[i])


class _Work:
    def __init__(self, images, recipe, cache, batch_size, n_threads, on_error, count):
        self.images, self.recipe, self.cache = images, recipe, cache
        self.wide = recipe.widened()
        self.batch_size, self.n_threads, self.on_error = batch_size, n_threads, on_error
        self.count = count
        self.columns = recipe.output_columns()
        self.wide_columns = self.wide.output_columns()
        self.recipe_digest = recipe_digest(recipe)
        self.features = np.empty((len(images), recipe.n_features), np.float32)
        self.failures: list[tuple[int, str]] = []
        # rows by the digest of their image; what could not be identified stands alone
        self.missing: dict[bytes | int, list[int]] = {}

    # What is there -----------------------------------------------------------------------------

    def look_up_all(self) -> None:
        for start in range(0, len(self.images), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(self.images)))
            chunk = _Selection(self.images, rows, self.recipe.exif_transpose)

            def identify_one(i, chunk=chunk):
                # of a sequence of the user's own; reading it again will tell
                with contextlib.suppress(OSError):
                    chunk[i]

            run_in_threads(identify_one, len(rows), self.n_threads)
            groups: dict[bytes | int, list[int]] = {}
            for row, digest in zip(rows, chunk.digests):
                groups.setdefault(row if digest is None else digest, []).append(row)
            found = self.look_up(groups)
            for digest, group in groups.items():
                if digest not in found:
                    self.missing.setdefault(digest, []).extend(group)

    def look_up(self, groups: dict[bytes | int, list[int]]) -> set[bytes]:
        """Fill in the rows of images that the cache has; return which these are."""
        keys = {
            (digest, output): entry_key(digest, self.recipe_digest, output)
            for digest in groups
            if isinstance(digest, bytes)
            for output in self.columns
        }
        values = self.cache.get(list(keys.values()))
        found = set()
        for digest, rows in groups.items():
            blobs = {output: values.get(keys.get((digest, output), b"")) for output in self.columns}
            if all(
                blob is not None and len(blob) == 4 * (columns.stop - columns.start)
                for blob, columns in zip(blobs.values(), self.columns.values())
            ):
                for output, columns in self.columns.items():
                    self.features[rows, columns] = np.frombuffer(blobs[output], "<f4")
                found.add(digest)
                self.count(len(rows))
        return found

    # What is not -------------------------------------------------------------------------------

    def compute_missing(self) -> None:
        give_up = time.monotonic() + _PATIENCE
        while self.missing:
            with Claims(self.cache.claims_path()) as claims:
                # Half of what is left at a time: enough to read ahead, and the other processes
                # find something to do.
                at_most = max(self.batch_size, len(self.missing) // 2)
                wait = time.monotonic() < give_up
                groups: dict[bytes | int, list[int]] = {}
                for digest, rows in self.missing.items():
                    if len(groups) >= at_most:
                        break
                    if not wait or isinstance(digest, int) or claims.take(self.claim_on(digest)):
                        groups[digest] = rows
                if groups:  # somebody may have finished them since they were looked up
                    for digest in self.look_up(groups):
                        del groups[digest], self.missing[digest]
                    self.compute(groups, claims)
                    give_up = time.monotonic() + _PATIENCE
                    continue
            # all that is left is being computed elsewhere; no claim is held while waiting
            time.sleep(_POLL)
            for digest in self.look_up(dict(list(self.missing.items())[:_CHUNK])):
                del self.missing[digest]
                give_up = time.monotonic() + _PATIENCE

    def claim_on(self, digest: bytes) -> bytes:
        return entry_key(digest, self.recipe_digest, "")

    def compute(self, groups: dict[bytes | int, list[int]], claims: Claims) -> None:
        """Compute an image of each group; what cannot be settled by that stays in `missing`."""
        if not groups:
            return
        names = list(groups)
        chosen = _Selection(
            self.images, [groups[name][0] for name in names], self.recipe.exif_transpose
        )
        batches = self.wide.iter_rows(
            chosen, batch_size=self.batch_size, n_threads=self.n_threads, on_error=self.on_error
        )
        for start, values, failed in batches:  # values: (m, width of the wide recipe)
            reasons = dict(failed)
            entries: dict[bytes, bytes] = {}
            for i, row_values in enumerate(values, start):
                name, digest = names[i], chosen.digests[i]
                first, *others = self.missing.pop(name)
                done = [first]
                if i in reasons:
                    self.failures.append((first, reasons[i]))
                elif digest is not None:
                    for output, columns in self.wide_columns.items():
                        key = entry_key(digest, self.recipe_digest, output)
                        entries[key] = row_values[columns].astype("<f4").tobytes()
                if others and digest == name and i not in reasons:
                    done += others
                else:  # each has to fail by its own name, or had another content after all
                    self.missing.update({row: [row] for row in others})
                for output, columns in self.columns.items():
                    self.features[done, columns] = row_values[self.wide_columns[output]]
                self.count(len(done))
            if entries:
                self.cache.put(entries)
            claims.release(
                [self.claim_on(name) for name in names[start : start + len(values)]
                 if isinstance(name, bytes)]
            )  # fmt: skip
