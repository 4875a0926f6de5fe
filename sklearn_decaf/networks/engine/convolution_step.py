"""The step of a convolution, with what is fused into it, where its results are read."""

from __future__ import annotations

from ..._kernels.calls import Phase
from ..architecture import INPUT
from ..layers import Conv, Pads
from ..layers._windows import pair
from .builder import ProgramBuilder
from .convolutions import ConvOperands, compile_convolution
from .fusion import FusedConv
from .memory import NO_PADS, Maps
from .steps import Read, Step


def compile_convolution_step(fused: FusedConv, builder: ProgramBuilder) -> Step:
    """Make the step of a convolution and the layers fused into it."""
    conv, source = fused.conv, fused.inputs[0]
    packed = builder.packed[conv.name]
    bordered = _bordered_copy(conv, source, builder)
    residual = None if fused.residual is None else builder.maps[fused.residual]
    if fused.concat is not None:
        out = builder.new_part(fused.name, fused.concat)
    else:
        # a residual lies as the output does; the depthwise kernels write whole rows only
        plain = residual is not None or packed.algorithm.kind == "depthwise"
        out = builder.new_maps(fused.name, border=not plain)
    algorithm = compile_convolution(
        ConvOperands(
            conv,
            packed,
            builder.maps[source] if bordered is None else bordered.maps,
            out,
            fused.bounds,
            residual,
            builder.workspace,
            builder.limits,
        )
    )
    in_shape = builder.shapes[source]
    (before, _), _ = conv.pads(in_shape)
    stride, span = pair(conv.stride)[0], conv.spans[0]

    def rows_needed(n: int) -> int:
        return min(in_shape[0], (algorithm.reach(n) - 1) * stride + span - before)

    def compute(first: int, end: int) -> list[Phase]:
        copies = []
        if bordered is not None:
            copies = bordered.copy_up_to(rows_needed(end), first * stride - before)
        phases = copies + algorithm.compute(first, end)
        if fused.works_in_place:
            parts = [out.rows(a, b) for a, b in builder.split(first, end)]
            bind = fused.activation.bind
            phases.append([[bind(view, view)] for part in parts for view in part])
        return phases

    reads = [Read(source, stride, before, rows_needed)]
    if fused.residual is not None:
        reads.append(Read(fused.residual))  # row by row, whatever the convolution's stride
    return Step(
        fused.layers,
        tuple(reads),
        out,
        compute,
        algorithm.align,
        algorithm.reach,
        weight_bytes=packed.nbytes,
    )


def _bordered_copy(conv: Conv, source: str, builder: ProgramBuilder) -> _BorderedCopy | None:
    """A copy of the input inside the border that a convolution wants; None if it has that."""
    pads = conv.pads(builder.shapes[source])
    if source == INPUT or pads in (NO_PADS, builder.maps[source].storage.pads):
        return None
    return _BorderedCopy(builder, builder.maps[source], pads)


class _BorderedCopy:
    """A copy of maps inside a border of zeros, made in turns: just the rows that are read next."""

    def __init__(self, builder: ProgramBuilder, source: Maps, pads: Pads):
        self.maps = Maps(source.n, source.shape, pads)
        self._builder = builder
        self._source = source
        self._n_copied = 0

    def copy_up_to(self, n: int, start: int) -> list[Phase]:
        """Copy the rows from `start` to n that were not copied yet.

        Rows between windows, where these are lower than their stride, are read by nobody, and may
        be out of memory already.
        """
        first = max(self._n_copied, start)
        if self.maps.array is None:
            self.maps.allocate(self._builder.arena)
            self._builder.workspace.keep(self.maps.array)
        if n <= first:  # where a row of the border is all that is read, none
            return []
        self._n_copied = n
        return [self._builder.copies(self._source.rows(first, n), self.maps.rows(first, n))]
