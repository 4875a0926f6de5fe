"""Rows of one recipe in a cache, an entry for each layer or pooling in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .._features.recipe import Recipe
from .activation_cache import ActivationCache
from .keys import entry_key, recipe_digest


class FeatureLookup:
    """Find and keep rows of features, of which an entry of the cache holds a piece.

    A piece is one output of the network, a layer or a pooling of it. What is computed and kept is
    a row of `widened`, which has more outputs than the recipe asks for.

    Parameters
    ----------
    cache : ActivationCache
    recipe : Recipe

    Attributes
    ----------
    widened : Recipe
        What to compute for an image that is not there.
    """

    def __init__(self, cache: ActivationCache, recipe: Recipe):
        self._cache = cache
        self.widened = recipe.widened()
        self._columns = recipe.output_columns()
        self._widened_columns = self.widened.output_columns()
        self._n_features = recipe.n_features
        self._recipe_digest = recipe_digest(recipe)

    def find(self, images: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """Find the rows of images, given by their digests; those that lack a piece are left out."""
        keys = {image: [self._key(image, output) for output in self._columns] for image in images}
        pieces = self._cache.get([key for of_image in keys.values() for key in of_image])
        rows = {}
        for image, of_image in keys.items():
            row = self._row([pieces.get(key) for key in of_image])
            if row is not None:
                rows[image] = row
        return rows

    def keep(self, rows: Mapping[bytes, np.ndarray]) -> None:
        """Keep rows of `widened`, by the digests of their images."""
        entries = {
            self._key(image, output): row[columns].astype("<f4").tobytes()
            for image, row in rows.items()
            for output, columns in self._widened_columns.items()
        }
        if entries:
            self._cache.put(entries)

    def narrow(self, rows: np.ndarray) -> np.ndarray:
        """Take the columns of the recipe, (n, n_features), from rows of `widened`."""
        narrow = np.empty((len(rows), self._n_features), np.float32)
        for output, columns in self._columns.items():
            narrow[:, columns] = rows[:, self._widened_columns[output]]
        return narrow

    def lock_key(self, image: bytes) -> bytes:
        """Key of the lock that is held while this image is computed."""
        return self._key(image, "")

    def _key(self, image: bytes, output: str) -> bytes:
        return entry_key(image, self._recipe_digest, output)

    def _row(self, pieces: list[bytes | None]) -> np.ndarray | None:
        row = np.empty(self._n_features, np.float32)
        for piece, columns in zip(pieces, self._columns.values()):
            if piece is None or len(piece) != 4 * (columns.stop - columns.start):
                return None
            row[columns] = np.frombuffer(piece, "<f4")
        return row
