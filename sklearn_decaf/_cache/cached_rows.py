"""Rows of features with the help of a cache: looked up, or computed once by whoever is first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .._features.recipe import Recipe
from .._utils.parallel import run_in_threads
from ..images._inputs import ImageInputs, SelectedImages
from ..images._warnings import warn_of_ignored_transparency
from .activation_cache import ActivationCache
from .key_locks import KeyLocks
from .keys import identify
from .lookup import FeatureLookup

_CHUNK = 256  # images identified and looked up at a time
_POLL = 0.02  # seconds between two looks for what others compute

# What an image is known by: the digest of its content, or its row where it could not be read.
Name = bytes | int


def cached_rows(
    images: ImageInputs,
    recipe: Recipe,
    cache: ActivationCache,
    *,
    batch_size: int,
    n_threads: int,
    on_error: str,
    count: Callable[[int], None],
    patience: float = 60.0,
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
    patience : float, default=60.0
        Seconds without news from the processes and threads that compute the same images, after
        which nobody waits for them.

    Returns
    -------
    features : ndarray of shape (n, n_features), float32
    failures : list of (row, message), by row
    """
    computation = CachedComputation(
        images,
        recipe,
        FeatureLookup(cache, recipe),
        {"batch_size": batch_size, "n_threads": n_threads, "on_error": on_error},
        count,
    )
    computation.look_up_all()
    computation.compute_missing(cache.locks_path(), patience)
    warn_of_ignored_transparency(computation.opaque, len(images))
    return computation.features, sorted(computation.failures)


class CachedComputation:
    """Rows of features that are filled in by look-ups and by computation until none is missing.

    Images with the same content are one: it is computed once, for all their rows.

    Parameters
    ----------
    images : ImageInputs
    recipe : Recipe
    lookup : FeatureLookup
    run_options : dict
        Of `Recipe.iter_rows`: `batch_size`, `n_threads`, `on_error`.
    count : callable
        Called with the number of images that are done.

    Attributes
    ----------
    features : ndarray of shape (n, n_features), float32
    failures : list of (row, message)
    opaque : list of (row, name)
        Images that are transparent everywhere, and were read as opaque. They are not kept, so
        that each call warns of them.
    missing : dict of Name to list of int
        Rows that are not filled in yet, by their image.
    """

    def __init__(
        self,
        images: ImageInputs,
        recipe: Recipe,
        lookup: FeatureLookup,
        run_options: dict,
        count: Callable[[int], None],
    ):
        self.images = images
        self.recipe = recipe
        self.lookup = lookup
        self.run_options = run_options
        self.count = count
        self.features = np.empty((len(images), recipe.n_features), np.float32)
        self.failures: list[tuple[int, str]] = []
        self.opaque: list[tuple[int, str]] = []
        self.missing: dict[Name, list[int]] = {}

    def _fill(self, rows: list[int], row_features: np.ndarray) -> None:
        self.features[rows] = row_features
        self.count(len(rows))

    # Look-up -----------------------------------------------------------------------------------

    def look_up_all(self) -> None:
        """Identify all images, and fill in the rows of those that the cache has."""
        for start in range(0, len(self.images), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(self.images)))
            names = self._identify(rows)
            for row, name in zip(rows, names):
                self.missing.setdefault(name, []).append(row)
            self.look_up(names)

    def look_up(self, names: Iterable[Name]) -> int:
        """Fill in the rows of those images that the cache has; return how many images it had."""
        found = self.lookup.find(name for name in names if isinstance(name, bytes))
        for digest, row_features in found.items():
            self._fill(self.missing.pop(digest), row_features)
        return len(found)

    def _identify(self, rows: Sequence[int]) -> list[Name]:
        chunk = _IdentifiedImages(self.images, rows, self.recipe.exif_transpose)

        def identify_one(i: int) -> None:
            # of a sequence of the user's own; reading it again will tell
            with contextlib.suppress(OSError):
                chunk[i]

        run_in_threads(identify_one, len(rows), self.run_options["n_threads"])
        return [row if digest is None else digest for row, digest in zip(rows, chunk.digests)]

    # Computation -------------------------------------------------------------------------------

    def compute_missing(self, locks_path: str, patience: float) -> None:
        """Compute what is missing, and wait for what others compute at the same time."""
        give_up = time.monotonic() + patience
        while self.missing:
            with KeyLocks(locks_path) as locks:
                names = self._acquire(locks, wait=time.monotonic() < give_up)
                if names:
                    self.look_up(names)  # somebody may have finished them since
                    self._compute([name for name in names if name in self.missing], locks)
                    give_up = time.monotonic() + patience
                    continue
            # all that is left is being computed elsewhere; no lock is held while waiting
            time.sleep(_POLL)
            if self.look_up(list(self.missing)[:_CHUNK]):
                give_up = time.monotonic() + patience

    def _acquire(self, locks: KeyLocks, *, wait: bool) -> list[Name]:
        """Choose images to compute that nobody else does, or any if there is no waiting."""
        # Half of what is left at a time: enough to read ahead, and the other processes find
        # something to do.
        at_most = max(self.run_options["batch_size"], len(self.missing) // 2)
        names: list[Name] = []
        for name in self.missing:
            if len(names) >= at_most:
                break
            alone = not wait or isinstance(name, int)
            if alone or locks.acquire(self.lookup.lock_key(name)):
                names.append(name)
        return names

    def _compute(self, names: list[Name], locks: KeyLocks) -> None:
        """Compute these images; what cannot be settled by that stays in `missing`."""
        if not names:
            return
        first_rows = [self.missing[name][0] for name in names]
        chosen = _IdentifiedImages(self.images, first_rows, self.recipe.exif_transpose)
        opaque: list[tuple[int, str]] = []
        batches = self.lookup.widened.iter_rows(chosen, **self.run_options, opaque=opaque)
        for start, values, failed in batches:  # values: (m, width of `lookup.widened`)
            reasons, opaque_names = dict(failed), dict(opaque)
            computed: dict[bytes, np.ndarray] = {}
            done = range(start, start + len(values))
            for i, row_values, row_features in zip(done, values, self.lookup.narrow(values)):
                name, digest = names[i], chosen.digests[i]
                first, *others = self.missing.pop(name)
                rows = [first]
                if i in reasons:
                    self.failures.append((first, reasons[i]))
                elif i in opaque_names:
                    self.opaque.append((first, opaque_names[i]))
                elif digest is not None:
                    computed[digest] = row_values
                is_settled = i not in reasons and i not in opaque_names
                if others and digest == name and is_settled:
                    rows += others
                else:  # each is named by itself, or had another content after all
                    self.missing.update({row: [row] for row in others})
                self._fill(rows, row_features)
            self.lookup.keep(computed)
            locks.release(
                self.lookup.lock_key(names[i]) for i in done if isinstance(names[i], bytes)
            )


class _IdentifiedImages(SelectedImages):
    """Some of the images, identified as they are read: the digest is of what gets decoded."""

    def __init__(self, images: ImageInputs, rows: Sequence[int], exif_transpose: bool):
        super().__init__(images, rows)
        self._exif_transpose = exif_transpose
        self.digests: list[bytes | None] = [None] * len(rows)

    def __getitem__(self, i):
        self.digests[i], image = identify(
            super().__getitem__(i), exif_transpose=self._exif_transpose
        )
        return image
