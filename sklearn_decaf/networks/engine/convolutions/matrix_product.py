"""1 x 1 convolutions: a matrix product of the map as it lies."""

from __future__ import annotations

from ...._kernels.calls import Phase, Task
from ...._kernels.places import Place, Rows
from ...layers._windows import pair
from ..memory import Maps
from ..workspace import split_evenly
from .operands import ConvAlgorithm, ConvOperands


class MatrixProduct(ConvAlgorithm):
    """The pixels of a map are the rows of the product."""

    def __init__(self, operands: ConvOperands):
        super().__init__(operands)
        conv, x, out = operands.conv, operands.x, operands.out
        # without borders, the rows of a map are one long row of pixels
        self._joined = pair(conv.stride) == (1, 1) and x.width == out.shape[1] == out.width

    def compute(self, first: int, end: int) -> list[Phase]:
        x, out = self.operands.x, self.operands.out
        oh = out.shape[0]
        if self._joined and (first, end) == (0, oh) and x.height == out.height == oh:
            return [self._all_pixels()]
        n_parts = self.operands.workspace.n_parts
        return [
            [self._rows(i, a, b) for i in range(x.n) for a, b in split_evenly(first, end, n_parts)]
        ]

    def _all_pixels(self) -> Phase:
        """The pixels of all images, divided among the threads."""
        x, out, residual = self.operands.x, self.operands.out, self.operands.residual
        oh, ow, _ = out.shape
        c = x.channels
        target, other = _as_one_row(out), None if residual is None else _as_one_row(residual)
        return [
            self._all_groups(
                Rows(x.storage.array, a * c, 0, c, (1, b - a)),
                Place(target, (0, a, out.channel), other),
            )
            for a, b in split_evenly(0, x.n * oh * ow, self.operands.workspace.n_parts)
        ]

    def _rows(self, i: int, first: int, end: int) -> Task:
        """Some rows of one image."""
        conv, x, out = self.operands.conv, self.operands.x, self.operands.out
        (pad_top, _), (pad_left, _) = conv.pads(x.shape)
        (sy, sx), c = pair(conv.stride), x.channels
        start = (x.row(first * sy - pad_top) * x.width + x.left - pad_left) * c
        shape, place = (end - first, out.shape[1]), self.operands.place(i, first, end)
        if self._joined:
            shape, place = (1, (end - first) * out.shape[1]), place.as_one_row()
        return self._all_groups(
            Rows(x.storage.array[i], start, sy * x.width * c, sx * c, shape), place
        )

    def _all_groups(self, rows: Rows, place: Place) -> Task:
        conv, task = self.operands.conv, []
        depth = self.operands.x.channels // conv.groups
        for g in range(conv.groups):
            own = Rows(rows.x, rows.start + g * depth, rows.row_step, rows.column_step, rows.shape)
            task += self.product(own, g, place)
        return task


def _as_one_row(maps: Maps):
    """All pixels of all images: (1, n * h * w, c)."""
    return maps.storage.array.reshape(1, -1, maps.channels)
