"""Convolutions as products of windows that are copied to rows first (im2col)."""

from __future__ import annotations

import numpy as np

from .... import _kernels
from ...._kernels.calls import Phase, Task
from ...._kernels.places import Rows
from ...layers._windows import pair
from ..workspace import split_evenly
from .operands import ConvAlgorithm, ConvOperands


class Patches(ConvAlgorithm):
    """Some rows of windows at a time, which are multiplied while they are in the cache."""

    dtype = np.float32

    def __init__(self, operands: ConvOperands):
        super().__init__(operands)
        conv = operands.conv
        oh, ow, _ = operands.out.shape
        self._depth = operands.x.channels // conv.groups
        self._n_rows = min(oh, max(1, operands.limits.product_rows // ow))
        kh, kw = pair(conv.kernel_size)
        shape = self._n_rows, ow, kh, kw * self._depth
        self._scratch = operands.workspace.take_for_parts((shape, self.dtype))

    def compute(self, first: int, end: int) -> list[Phase]:
        phases = []
        for i in range(self.operands.x.n):
            parts = split_evenly(first, end, self.operands.workspace.n_parts)
            phase = []
            for (a, b), (patches,) in zip(parts, self._scratch()):
                task: Task = []
                for y in range(a, b, self._n_rows):
                    task += self._block(i, y, min(y + self._n_rows, b), patches)
                phase.append(task)
            phases.append(phase)
        return phases

    def _block(self, i: int, a: int, b: int, patches: np.ndarray) -> Task:
        """Copy the windows of some rows of outputs, group by group, and multiply them."""
        conv, x, out = self.operands.conv, self.operands.x, self.operands.out
        sides, stride, dilation = map(pair, (conv.kernel_size, conv.stride, conv.dilation))
        (pad_top, _), _ = conv.pads(x.shape)
        ow, depth = out.shape[1], self._depth
        size = sides[0] * sides[1] * depth
        image, place = x.image(i, a * stride[0] - pad_top), self.operands.place(i, a, b)
        shape = b - a, ow
        if out.width == ow:
            shape, place = (1, (b - a) * ow), place.as_one_row()
        task: Task = []
        for g in range(conv.groups):
            copy = _kernels.kernels.bind_patches
            windows = (sides, stride, dilation)
            task.append(copy(image, windows, 0, b - a, g * depth, depth, patches))
            task += self.product(Rows(patches, 0, ow * size, size, shape), g, place)
        return task


class DoublePatches(Patches):
    """The same with patches in float64, and so are the sums."""

    dtype = np.float64
