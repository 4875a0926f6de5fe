"""The calls of a convolution's backward pass: gradients by its input and by its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .... import _kernels
from ...._kernels.places import UNBOUNDED, tiles_apart
from ...layers import Conv, Pads
from ...layers._windows import pair
from ..convolutions import Algorithm, ConvOperands, compile_convolution
from ..convolutions.winograd import TileGrid
from ..limits import Limits
from ..memory import NO_PADS, Maps
from ..workspace import Workspace
from .data_gradients import DataGradient, DataGradientPart
from .gradient_maps import GradientMaps, copies, whole
from .tape import Tape

# What the parts of a gradient by a kernel take, measured: nanoseconds for each pair of an input
# channel and a filter.
POINT_OF_TILE = 0.01  # a product of two numbers of transformed tiles
POINT_SUM = 0.6  # a sum of those, written, read, and transformed back
PRODUCT = 0.0091  # a product of two numbers of the maps


@dataclass(frozen=True, eq=False)
class ConvolutionBackward:
    """Adds the backward passes of convolutions to a tape.

    Parameters
    ----------
    tape : Tape
    gradients : GradientMaps
    workspace : Workspace
    limits : Limits
    """

    tape: Tape
    gradients: GradientMaps
    workspace: Workspace
    limits: Limits

    # By the input --------------------------------------------------------------------------------

    def by_input(self, gradient: DataGradient, source: str, by_output: Maps) -> None:
        """Add the gradient by the layer that is read."""
        kinds = {part.packed.algorithm.kind for part in gradient.parts}
        alone = gradient.complete and len(gradient.parts) == 1

        def write(out: Maps, residual: Maps | None) -> None:
            x = by_output if kinds == {"matrix"} else self._inside(by_output, gradient.pads)
            if alone:
                self._convolve(gradient.parts[0], x, out, residual)
            else:
                self._convolve_parts(gradient, x, out)
            self.workspace.release()

        fits = not alone or kinds != {"depthwise"}  # which writes whole rows only
        self.gradients.add(source, write, adds=alone and fits, bordered=fits)

    def by_depthwise_input(
        self, conv: Conv, kernel: np.ndarray, source: str, by_output: Maps
    ) -> None:
        """Add the gradient by the layer that a depthwise convolution with strides reads."""
        bind = _kernels.kernels.bind_depthwise_input_gradient
        steps = pair(conv.stride), (1, 1)  # the kernel is packed with zeros for dilation

        def write(out: Maps, _) -> None:
            (top, _), (left, _) = conv.pads(out.shape)
            both = zip(whole(by_output), whole(out))
            self.tape.calls([bind(g, kernel, *steps, (top, left), own) for g, own in both])

        self.gradients.add(source, write)

    def _convolve(
        self, part: DataGradientPart, x: Maps, out: Maps, residual: Maps | None = None
    ) -> None:
        operands = ConvOperands(
            part.conv, part.packed, x, out, UNBOUNDED, residual, self.workspace, self.limits
        )
        self.tape.phases(compile_convolution(operands).compute(0, out.shape[0]))

    def _convolve_parts(self, gradient: DataGradient, x: Maps, out: Maps) -> None:
        """Compute every s-th row and column, and copy them to their places."""
        if not gradient.complete:
            self.tape.calls([_kernels.kernels.bind_fill(one, 0) for one in whole(out)])
        for part in gradient.parts:
            own = self.gradients.plain(part.shape)
            self._convolve(part, x, own)
            places = whole(out)[:, part.rows, part.columns]
            self.tape.calls(copies(whole(own), places))
            self.gradients.give_back(own)

    def _inside(self, maps: Maps, pads: Pads) -> Maps:
        """The maps inside a border of zeros: themselves, or a copy."""
        if maps.storage.pads == pads and maps.parent is None:
            return maps
        copy = Maps(maps.n, maps.shape, pads)
        copy.allocate(self.workspace.arena)
        self.workspace.keep(copy.array)
        self.tape.calls(copies(whole(maps), whole(copy)))
        return copy

    # By the kernel -------------------------------------------------------------------------------

    def by_kernel(
        self, conv: Conv, algorithm: Algorithm, x: Maps, by_output: Maps, out: np.ndarray
    ) -> None:
        """Add the gradient by the kernel.

        Parameters
        ----------
        conv : Conv
        algorithm : Algorithm
            Of the forward pass.
        x, by_output : Maps
        out : ndarray of shape (kh, kw, c / groups, filters)
            Is written to; in the form of :func:`.kernel_forms.kernel_form`.
        """
        if algorithm.block > 1:
            conv = Conv(conv.name, filters=conv.filters, kernel_size=algorithm.r)
        pads, kernels = conv.pads(x.shape), _kernels.kernels
        pointwise = pair(conv.kernel_size) == (1, 1) and pads == NO_PADS
        if not pointwise:
            x = self._inside(x, pads)
        values, gradient = (whole(x) if pointwise else x.array), whole(by_output)
        windows = pair(conv.kernel_size), pair(conv.stride), pair(conv.dilation)
        if algorithm.kind == "depthwise":
            bind, own = kernels.bind_depthwise_kernel_gradient, out[:, :, 0]
            both = enumerate(zip(values, gradient))
            self.tape.calls([bind(v, windows, g, own, i > 0) for i, (v, g) in both])
        elif algorithm.kind == "winograd" and _winograd_pays(algorithm, conv, by_output):
            self._by_tiles(conv, algorithm, x, by_output, out)
        else:
            depth, filters = values.shape[3] // conv.groups, conv.filters // conv.groups
            for g in range(conv.groups):
                channels = slice(g * depth, (g + 1) * depth)
                own = slice(g * filters, (g + 1) * filters)
                for task in kernels.bind_kernel_gradient(
                    values[..., channels], windows, gradient[..., own], out[..., own]
                ):
                    self.tape.calls(task)
        self.workspace.release()

    def _by_tiles(
        self, conv: Conv, algorithm: Algorithm, x: Maps, by_output: Maps, out: np.ndarray
    ) -> None:
        """Sum the products of transformed tiles of inputs and gradients; transform the sums back.

        As many rows of tiles at a time as fit into the cache, but enough for their sums, which are
        read and written each time.
        """
        h, w, filters = by_output.shape
        grid, c = TileGrid(algorithm.m, algorithm.r, h, w), x.shape[2]
        groups = conv.groups
        sums = self.workspace.take((groups, grid.n_products, c // groups, filters // groups))
        row_bytes = 4 * grid.n_products * grid.across * (c + filters)
        n_rows = max(1, max(self.limits.tile_bytes, 2 * sums.nbytes) // row_bytes)
        n_rows = min(n_rows, x.n * grid.down)
        of_x, of_gradient = (
            self.workspace.take(
                (grid.n_products, tiles_apart(n_rows * grid.across, channels), channels)
            )
            for channels in (c, filters)
        )
        kernels, gradient = _kernels.kernels, whole(by_output)
        rows = [(i, row) for i in range(x.n) for row in range(grid.down)]
        for first in range(0, len(rows), n_rows):
            some = rows[first : first + n_rows]
            for i in dict.fromkeys(i for i, _ in some):
                own = [row for j, row in some if j == i]
                start = some.index((i, own[0])) * grid.across
                tiles = grid.tile_rows(own[0], len(own), start)
                self.tape.calls(
                    [
                        kernels.bind_winograd_input(tiles, x.array[i], 0, of_x),
                        kernels.bind_winograd_output_gradient(tiles, gradient[i], of_gradient),
                    ]
                )
            t = len(some) * grid.across
            for g, total in enumerate(sums):
                (depth, width) = total.shape[1:]
                left = of_x[:, :t, g * depth : (g + 1) * depth]
                right = of_gradient[:, :t, g * width : (g + 1) * width]
                product = kernels.bind_transposed_product(left, right, total, first > 0)
                self.tape.calls([product])
        width = filters // groups
        for g, total in enumerate(sums):
            own = out[..., g * width : (g + 1) * width]
            back = kernels.bind_winograd_kernel_gradient(total, algorithm.m, algorithm.r, own)
            self.tape.calls([back])


def _winograd_pays(algorithm: Algorithm, conv: Conv, by_output: Maps) -> bool:
    """Tell whether transformed tiles take less time than the products of windows.

    Not where few tiles share large sums.
    """
    h, w, _ = by_output.shape
    grid = TileGrid(algorithm.m, algorithm.r, h, w)
    tiles = by_output.n * grid.down * grid.across
    transformed = grid.n_products * (tiles * POINT_OF_TILE + POINT_SUM)
    plain = math.prod(pair(conv.kernel_size)) * by_output.n * h * w * PRODUCT
    return transformed < plain
