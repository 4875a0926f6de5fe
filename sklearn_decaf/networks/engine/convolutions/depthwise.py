"""Depthwise convolutions: each channel with a filter of its own, by a direct kernel."""

from __future__ import annotations

from .... import _kernels
from ...._kernels.calls import Phase
from ...layers._windows import pair
from ..workspace import split_evenly
from .operands import ConvAlgorithm


class Depthwise(ConvAlgorithm):
    """Rows of the output, each from the rows under its windows; no scratch memory."""

    def compute(self, first: int, end: int) -> list[Phase]:
        given = self.operands
        conv, packed, x, out = given.conv, given.packed, given.x, given.out
        k, s = len(packed.kernels[0]), pair(conv.stride)[0]
        (pad_top, _), _ = conv.pads(x.shape)
        kernels = _kernels.kernels
        double = packed.algorithm.double
        bind = kernels.bind_depthwise_double if double else kernels.bind_depthwise
        weights = packed.kernels[0], packed.bias[0]
        phase = []
        for i in range(x.n):
            for a, b in split_evenly(first, end, given.workspace.n_parts):
                image = x.image(i, a * s - pad_top, (b - 1) * s - pad_top + k)
                phase.append([bind(image, *weights, s, *given.bounds, out.image(i, a, b))])
        return [phase]
