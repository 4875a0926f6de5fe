"""Builder of the programs that train: all maps are kept, and nothing is given back."""

from __future__ import annotations

import numpy as np

from ...._kernels._arrays import aligned_zeros
from ..builder import ProgramBuilder
from .gradient_maps import as_map


class GroupBuilder(ProgramBuilder):
    """A builder that has, besides, the factors of dropout layers."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._factors: dict[str, np.ndarray] = {}

    def factors(self, name: str) -> np.ndarray:
        """Return what a dropout layer multiplies by, (n, h, w, c); ones at first."""
        if name not in self._factors:
            array = aligned_zeros((self.n_images, *as_map(self.shapes[name])))
            array[...] = 1
            self._factors[name] = array
        return self._factors[name]
