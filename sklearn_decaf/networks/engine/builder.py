"""Builder of a program, which functions that turn layers into steps work with.

A kind of layer has a method ``compile_step(builder) -> Step``. It asks the builder for
the maps that the layer reads and for new maps to write to, and hands back a step made by
:meth:`ProgramBuilder.step`, whose `compute` binds kernels (:mod:`sklearn_decaf._kernels`) to the
rows that it is asked for. No memory is there yet when a step is compiled: `Maps.rows` and
`Maps.image` may be used inside `compute` only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from ... import _kernels
from ..._kernels.calls import Call, Phase
from ..architecture import INPUT, Architecture
from ..layers import Layer, Pads
from .convolutions import PackedConv
from .fusion import FusedConv
from .limits import Limits
from .memory import NO_PADS, Arena, Maps
from .steps import Read, Rows, Step, same_rows
from .workspace import Workspace, split_evenly


class ProgramBuilder:
    """The maps of a program, by layer, and its memory.

    Parameters
    ----------
    architecture : Architecture
    packed : dict
        By layer: :class:`PackedConv` of a convolution, else a list of arrays.
    layers : sequence of Layer and FusedConv
        What is to be computed, in order.
    n_images : int
        Images computed at a time.
    n_parts : int
        Threads among which each step is divided.
    limits : Limits

    Attributes
    ----------
    n_images, n_parts : int
    maps : dict of str to Maps
        Where the values of layers lie.
    shapes : dict of str to tuple
        Of all layers and the image, without the batch.
    """

    def __init__(
        self,
        architecture: Architecture,
        packed: Mapping[str, PackedConv | list[np.ndarray]],
        layers: Sequence[Layer | FusedConv],
        n_images: int,
        n_parts: int,
        limits: Limits,
    ):
        self.architecture = architecture
        self.packed = packed
        self.layers = layers
        self.n_images = n_images
        self.n_parts = n_parts
        self.limits = limits
        self.shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
        self.arena = Arena()
        self.workspace = Workspace(self.arena, n_parts)
        self.maps: dict[str, Maps] = {}

    # For a kind of layer -----------------------------------------------------------------------

    def input(self, layer: Layer) -> Maps:
        """The maps of the one layer that this layer reads."""
        (maps,) = self.inputs(layer)
        return maps

    def inputs(self, layer: Layer) -> list[Maps]:
        """The maps of all layers that this layer reads; they may lie inside borders."""
        return [self.maps[name] for name in self.architecture.inputs(layer.name)]

    def plain_input(self, layer: Layer) -> Maps:
        """The same as :meth:`input`, of maps that are whole arrays, without a border.

        All maps are, unless their readers are convolutions or concatenations only.
        """
        maps = self.input(layer)
        assert maps.storage.pads == NO_PADS and maps.channels == maps.shape[-1]
        return maps

    def new_maps(self, name: str, *, border: bool = True) -> Maps:
        """Make the maps of a layer, to be allocated later.

        They lie inside the border of zeros that their readers want, unless `border` is False. A
        vector is a map of one pixel.
        """
        shape = self.shapes[name]
        if len(shape) == 1:
            shape = 1, 1, *shape
        pads = self._wanted_border(name) if border else NO_PADS
        self.maps[name] = Maps(self.n_images, shape, pads)
        return self.maps[name]

    def parameters(self, layer: Layer) -> list[np.ndarray]:
        """The parameters of a layer that is no convolution, float32, in their order."""
        return self.packed[layer.name]

    def split(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Cut rows into parts that several threads may compute at the same time."""
        return split_evenly(first, end, self.n_parts)

    def pointwise(self, layer: Layer, bind: Callable[..., Call]) -> Step:
        """Make the step of a layer each of whose values is made from those at the same position.

        ``bind(*inputs, out)`` is given views of the same rows, (rows, w, c), of one image.
        """
        inputs, out = self.inputs(layer), self.new_maps(layer.name)

        def compute(first: int, end: int) -> list[Phase]:
            parts = [
                [maps.rows(a, b) for maps in (*inputs, out)] for a, b in self.split(first, end)
            ]
            return [[[bind(*views)] for part in parts for views in zip(*part)]]

        return self.step(layer, out, compute)

    def copies(self, sources: np.ndarray, targets: np.ndarray) -> Phase:
        """A phase that copies values (n, rows, w, c) to others, image by image."""
        copy = _kernels.kernels.bind_copy
        return [[copy(source, target)] for source, target in zip(sources, targets)]

    def step(
        self,
        layer: Layer,
        out: Maps,
        compute: Callable[[int, int], list[Phase]],
        *,
        stride: int = 1,
        before: int = 0,
        rows_needed: Rows = same_rows,
        whole: Collection[int] = (),
        by_rows: bool = True,
    ) -> Step:
        """Make the step of a layer; for the parameters see :class:`~.steps.Step` and `Read`.

        `whole` are the numbers of the inputs of which all rows are read for any row of the output.
        """
        reads = []
        for i, source in enumerate(self.architecture.inputs(layer.name)):
            if i in whole:
                reads.append(Read.all_rows(source, self.maps[source].shape[0]))
            else:
                reads.append(Read(source, stride, before, rows_needed))
        return Step((layer.name,), tuple(reads), out, compute, by_rows=by_rows)

    # Concatenations ------------------------------------------------------------------------------

    def concatenation(self, name: str) -> Maps:
        """The maps of a concatenation, made when one of its inputs is written into them."""
        return self.maps[name] if name in self.maps else self.new_maps(name)

    def first_channels(self, name: str) -> list[tuple[str, int]]:
        """The inputs of a concatenation, and the channel at which each begins."""
        result, channel = [], 0
        for source in self.architecture.inputs(name):
            result.append((source, channel))
            channel += self.shapes[source][-1]
        return result

    def new_part(self, name: str, concat: str) -> Maps:
        """Make the maps of a layer as a part of those of a concatenation."""
        whole = self.concatenation(concat)
        channel = dict(self.first_channels(concat))[name]
        self.maps[name] = Maps(self.n_images, self.shapes[name], whole.pads, whole, channel)
        return self.maps[name]

    # Memory --------------------------------------------------------------------------------------

    def reads(self, layer: Layer | FusedConv) -> tuple[str, ...]:
        """Names of what is read to compute a layer."""
        fused = isinstance(layer, FusedConv)
        return layer.inputs if fused else self.architecture.inputs(layer.name)

    def count_reads(self, outputs: Collection[str]) -> dict[str, int]:
        """Count how often the maps of each layer are read; an output is read after all else."""
        counts = dict.fromkeys(outputs, 1)
        for layer in self.layers:
            for name in self.reads(layer):
                counts[name] = counts.get(name, 0) + 1
        return counts

    def give_back(self, name: str) -> None:
        """Let the memory of a layer's maps be used again."""
        maps = self.maps[name]
        if maps.parent is None:  # else it is a part of a concatenation
            self.arena.give_back(maps.array)

    def _wanted_border(self, name: str) -> Pads:
        """The zeros that all readers of a layer can do with; none if they do not agree."""
        wanted = set()
        for layer in self.layers:
            if name not in self.reads(layer):
                continue
            if not isinstance(layer, FusedConv) or layer.residual == name:
                return NO_PADS
            pads = layer.conv.pads(self.shapes[name])
            kind = self.packed[layer.conv.name].algorithm.kind
            if pads != NO_PADS or kind != "matrix":  # that one reads from inside any border
                wanted.add(pads)
        return wanted.pop() if len(wanted) == 1 else NO_PADS
