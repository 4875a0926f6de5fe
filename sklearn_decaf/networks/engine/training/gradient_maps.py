"""Gradients of a loss by the outputs of layers, summed up while a pass goes backward.

A layer that is read by several has the sum of what comes from each of them. Where possible a sum is
not a step of its own: a convolution adds what was there while it writes. Memory is taken when the
first gradient comes and given back when the layer has handed its own gradient on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from .... import _kernels
from ...layers import Pads, Shape
from ..memory import NO_PADS, Arena, Maps
from .tape import Tape

# writes a gradient into maps, with other maps, of the same layout, added if there are any
Write = Callable[[Maps, Maps | None], None]


class GradientMaps:
    """Gradients by the outputs of layers, for a group of images.

    Parameters
    ----------
    tape : Tape
        The pass, to which sums and copies are added.
    arena : Arena
    n : int
        Images.
    shapes : dict of str to tuple
        Of the outputs, without the images.
    borders : dict of str to Pads
        The zeros that a layer wants around its gradient.
    """

    def __init__(
        self, tape: Tape, arena: Arena, n: int, shapes: dict[str, Shape], borders: dict[str, Pads]
    ):
        self._tape = tape
        self._arena = arena
        self._n = n
        self._shapes = shapes
        self._borders = borders
        self._sums: dict[str, Maps] = {}
        self._users: Counter[Maps] = Counter()

    def new(self, name: str) -> Maps:
        """Maps for the whole gradient by a layer's output."""
        maps = Maps(self._n, as_map(self._shapes[name]), self._borders.get(name, NO_PADS))
        maps.allocate(self._arena)
        self._users[maps] = 1
        return maps

    def plain(self, shape: Shape) -> Maps:
        """Maps without a border, for something in between; to be given back."""
        maps = Maps(self._n, shape)
        maps.allocate(self._arena)
        self._users[maps] = 1
        return maps

    def give_back(self, maps: Maps) -> None:
        """Tell that some maps are not read any more by whoever had them."""
        self._users[maps] -= 1
        if not self._users[maps]:
            del self._users[maps]
            self._arena.give_back(maps.array)

    def add(self, name: str, write: Write, *, adds: bool = False, bordered: bool = True) -> None:
        """Add what `write` computes to the gradient by a layer's output.

        Parameters
        ----------
        name : str
        write : callable
            ``write(out, residual)`` adds to the tape what writes to `out`.
        adds : bool, default=False
            Whether it can do with a `residual`; else that is always None.
        bordered : bool, default=True
            Whether it can write inside a border.
        """
        border = self._borders.get(name, NO_PADS)
        before = self._sums.get(name)
        fits = bordered or border == NO_PADS
        if fits and (before is None or (adds and before.pads == border)):
            out = self.new(name)
            write(out, before)
            self._replace(name, out)
            return
        part = self.plain(as_map(self._shapes[name]))
        write(part, None)
        self._add_maps(name, part)
        self.give_back(part)

    def pass_on(self, name: str, maps: Maps) -> None:
        """Add maps, which nobody may change from now on, to the gradient by a layer's output."""
        if name not in self._sums:
            self._users[maps] += 1
            self._sums[name] = maps
        else:
            self._add_maps(name, maps)

    def take(self, name: str) -> Maps:
        """The whole gradient by a layer's output, which may be changed; to be given back."""
        maps = self._sums.pop(name)
        if self._users[maps] == 1 and maps.pads == self._borders.get(name, NO_PADS):
            return maps
        out = self.new(name)
        self._tape.calls(copies(whole(maps), whole(out)))
        self.give_back(maps)
        return out

    def _add_maps(self, name: str, part: Maps) -> None:
        """Add maps to what there is; `part` stays as it is."""
        before, values = self._sums.get(name), whole(part)
        if before is None:
            out = self.new(name)
            self._tape.calls(copies(values, whole(out)))
            self._sums[name] = out
            return
        out = before if self._users[before] == 1 else self.new(name)
        add = _kernels.kernels.bind_add_and_clip
        views = zip(whole(before), values, whole(out))
        self._tape.calls([add(a, b, -math.inf, math.inf, c) for a, b, c in views])
        if out is not before:
            self._replace(name, out)

    def _replace(self, name: str, out: Maps) -> None:
        before = self._sums.get(name)
        if before is not None:
            self.give_back(before)
        self._sums[name] = out


def whole(maps: Maps) -> np.ndarray:
    """All values of maps, (n, h, w, c)."""
    return maps.rows(0, maps.shape[0])


def as_map(shape: Shape) -> Shape:
    """The shape of a map; a vector is a map of one pixel."""
    return shape if len(shape) == 3 else (1, 1, *shape)


def copies(sources: np.ndarray, targets: np.ndarray) -> list:
    """Calls that copy values (n, rows, w, c) to others, image by image."""
    copy = _kernels.kernels.bind_copy
    return [copy(source, target) for source, target in zip(sources, targets)]
