"""The part of a network that works on maps, compiled to a list of calls on fixed buffers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import singledispatchmethod

import numpy as np

from ... import _kernels
from ..._kernels.calls import Phase, Tape
from ..architecture import INPUT, Architecture
from ..layers import LRN, Add, Concat, Conv, GlobalAveragePool, GlobalMaxPool, Layer, MaxPool, ReLU
from .algorithms import PackedConv, kernel_swaps_channels
from .convolutions import ConvolutionCompiler, split_evenly
from .fusion import ConvStep, fuse
from .memory import NO_PADS, Arena, Maps
from .schedule import Schedule, Step, schedule, split_chains


class TrunkProgram:
    """A list of calls on buffers of its own, for one caller at a time.

    Parameters
    ----------
    architecture : Architecture
    packed : dict of str to PackedConv
        Only read, so that programs share it.
    layers : sequence of Layer
        What is to be computed, in order.
    inputs : collection of str
        What the tape is given: `INPUT` alone, or layers.
    outputs : collection of str
        Layers whose values it hands out.
    n_images : int, default=1
        Images computed at a time.
    n_parts : int, default=1
        Threads among which each step is divided.
    pixels : dtype, default=uint8
        Of the image, uint8 or float32, where `INPUT` is the input.

    Attributes
    ----------
    tape : Tape
        Takes an image of shape (h, w * 3), or for each of the `inputs` an array of shape
        (n_images, h, w, c), and gives one for each of the `outputs`.
    """

    def __init__(
        self,
        architecture: Architecture,
        packed: Mapping[str, PackedConv],
        layers: Sequence[Layer],
        inputs: Collection[str],
        outputs: Collection[str],
        n_images: int = 1,
        n_parts: int = 1,
        pixels=np.uint8,
    ):
        self.n_images = n_images
        self.n_parts = n_parts
        self._architecture = architecture
        self._packed = packed
        self._shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
        self._arena = Arena()
        self._convolutions = ConvolutionCompiler(self._arena, n_parts)
        self._values: dict[str, Maps] = {}
        self._fused = fuse(architecture, layers, outputs)
        reads_left = dict.fromkeys(outputs, 1)  # an output is never given back
        for step in self._fused:
            for name in self._reads(step):
                reads_left[name] = reads_left.get(name, 0) + 1
        loading, inputs_ = self._compile_inputs(inputs, pixels)
        self._schedule: Schedule = []
        self._steps = [self._compile(step) for step in self._fused]
        for chain in split_chains(self._steps):
            inside = [name for step in chain for name in step.sources]
            kept = {
                step.output
                for step in chain
                if reads_left.get(step.output, 0) > inside.count(step.output)
            }
            self._schedule += schedule(chain, kept, self._arena)
            for name in inside:
                reads_left[name] -= 1
                if reads_left[name] == 0:
                    self._give_back(name)
            self._convolutions.release_scratch()
        storing, results = self._compile_outputs(outputs)
        phases = [*loading, *(phase for _, phase in self._schedule), *storing]
        # the layers that each phase computes
        self._layers_of = [
            *(() for _ in loading),
            *(step.layers for step, _ in self._schedule),
            *(() for _ in storing),
        ]
        self.tape = Tape(phases, inputs_, results)

    def seconds_by_layers(self, seconds: np.ndarray) -> dict[tuple[str, ...], float]:
        """Add up the seconds of the tape's phases by the layers that they compute."""
        totals = {(): 0.0, **dict.fromkeys((step.layers for step in self._steps), 0.0)}
        for layers, time in zip(self._layers_of, seconds):
            totals[layers] += float(time)
        return totals

    # Values and their memory -----------------------------------------------------------------

    def _reads(self, step: Layer | ConvStep) -> tuple[str, ...]:
        if not isinstance(step, ConvStep):
            return self._architecture.inputs(step.name)
        inputs = self._architecture.inputs(step.conv.name)
        return inputs if step.residual is None else (*inputs, step.residual)

    def _give_back(self, name: str) -> None:
        value = self._values[name]
        if value.parent is None:  # else it is a part of a concatenation
            self._arena.give_back(value.array)

    def _new_maps(self, name: str, *, border: bool = True) -> Maps:
        """The maps of a layer, to be allocated, with the border of zeros that its readers want."""
        shape = self._shapes[name]
        if len(shape) == 1:  # pooled
            shape = 1, 1, *shape
        pads = self._border(name) if border else NO_PADS
        self._values[name] = Maps(self.n_images, shape, pads)
        return self._values[name]

    def _border(self, name: str) -> tuple:
        """The zeros that all readers of a layer can do with; none if they do not agree."""
        wanted = set()
        for step in self._fused:
            if name not in self._reads(step):
                continue
            if not isinstance(step, ConvStep) or step.residual == name:
                return NO_PADS
            pads = step.conv.pads(self._shapes[name])
            kind = self._packed[step.conv.name].algorithm.kind
            if pads != NO_PADS or kind != "matrix":  # that one reads from inside any border
                wanted.add(pads)
        return wanted.pop() if len(wanted) == 1 else NO_PADS

    # Inputs and outputs ----------------------------------------------------------------------

    def _compile_inputs(self, inputs, pixels) -> tuple[list[Phase], list[np.ndarray]]:
        """The phases that take over the inputs, and the arrays where they are expected."""
        if tuple(inputs) == (INPUT,):
            return self._compile_image(pixels)
        units, arrays = [], []
        for name in inputs:
            maps = self._new_maps(name)
            maps.allocate(self._arena)
            if maps.pads == NO_PADS:
                arrays.append(maps.array)
                continue
            plain = np.zeros((self.n_images, *maps.shape), np.float32)
            arrays.append(plain)
            units += self._copies(plain, maps.rows(0, maps.shape[0]))
        return ([units] if units else []), arrays

    def _compile_outputs(self, outputs) -> tuple[list[Phase], list[np.ndarray]]:
        """The phases that make the outputs contiguous, and the arrays where they are."""
        units, arrays = [], []
        for name in outputs:
            value = self._values[name]
            rows = value.rows(0, value.shape[0])
            if not rows.flags.c_contiguous:
                plain = np.empty(rows.shape, np.float32)
                units += self._copies(rows, plain)
                rows = plain
            arrays.append(rows)
        return ([units] if units else []), arrays

    def _copies(self, sources: np.ndarray, targets: np.ndarray) -> Phase:
        """Units that copy the maps of each image."""
        copy = _kernels.kernels.bind_copy
        return [[copy(source, target)] for source, target in zip(sources, targets)]

    def _compile_image(self, pixels) -> tuple[list[Phase], list[np.ndarray]]:
        """The phases that write an image, preprocessed, into the first layer's input."""
        first = self._fused[0]
        readers = [step for step in self._fused if INPUT in self._reads(step)]
        if not isinstance(first, ConvStep) or readers != [first] or first.residual == INPUT:
            raise ValueError("the image has to be read by one convolution, the first layer")
        conv, algorithm = first.conv, self._packed[first.conv.name].algorithm
        h, w, c = self._shapes[INPUT]
        kernels = _kernels.kernels
        (top, bottom), (left, right) = conv.pads((h, w, c))
        scatter: list[Phase] = []
        if algorithm.block > 1:
            # blocks of pixels become channels: (h, b, w, b * c) -> (h, w, b, b * c)
            b = algorithm.block
            oh, ow, _ = self._shapes[conv.name]
            hb, wb = oh + algorithm.r - 1, ow + algorithm.r - 1
            padded = self._arena.take_bordered(
                1, (h, w, c), ((top, max(hb * b - top - h, 0)), (left, max(wb * b - left - w, 0)))
            )
            blocks = self._arena.take((1, hb, wb, b * b * c))
            self._values[INPUT] = Maps(1, (hb, wb, b * b * c), array=blocks)
            parts = blocks.reshape(hb, wb, b, b * c)
            whole = padded[0, : hb * b, : wb * b].reshape(hb, b, wb, b * c)
            units = [
                [kernels.bind_copy(whole[y0:y1, i], parts[y0:y1, :, i]) for i in range(b)]
                for y0, y1 in split_evenly(0, hb, self.n_parts)
            ]
            scatter.append(units)
        else:
            padded = self._arena.take_bordered(1, (h, w, c), ((top, bottom), (left, right)))
            self._values[INPUT] = Maps(1, (h, w, c), conv.pads((h, w, c)), array=padded)
        inside = padded.reshape(padded.shape[1], 1, -1)
        inside = inside[top : top + h, :, left * c : (left + w) * c]
        preprocessing = self._architecture.preprocessing
        mean, std = _mean_and_std(self._architecture, conv, w)
        image = np.zeros((h, w * c), pixels)
        flip = preprocessing.flip_vertical
        units = []
        for a, b in split_evenly(0, h, self.n_parts):
            rows = slice(h - b, h - a) if flip else slice(a, b)
            own = mean[a:b] if len(mean) > 1 else mean
            units.append([kernels.bind_preprocess(image[rows], own, std, flip, inside[a:b])])
        return [units, *scatter], [image]

    # Compiling one step ----------------------------------------------------------------------

    @singledispatchmethod
    def _compile(self, step) -> Step:
        raise TypeError(f"the engine has no step for layers of type {type(step).__name__}")

    @_compile.register
    def _(self, layer: MaxPool) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._plain(source), self._new_maps(layer.name)
        size, s = layer.size, layer.stride
        height, place = x.shape[0], (out.left, out.shape[1])

        def rows_needed(end: int) -> int:
            return min(height, (end - 1) * s + size)

        def compute(first: int, end: int) -> list[Phase]:
            pool = _kernels.kernels.bind_max_pool
            phase = [
                [pool(x.image(i, a * s, rows_needed(b)), size, s, out.image(i, a, b), *place)]
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(layer, out, compute, stride=s, rows_needed=rows_needed)

    @_compile.register
    def _(self, layer: LRN) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._plain(source), self._new_maps(layer.name)
        constants = layer.size, layer.alpha, layer.beta, layer.k

        def compute(first: int, end: int) -> list[Phase]:
            normalise = _kernels.kernels.bind_lrn
            phase = [
                [normalise(x.image(i, a, b), *constants, out.image(i, a, b), out.left)]
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(layer, out, compute)

    @_compile.register
    def _(self, layer: ReLU) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._values[source], self._new_maps(layer.name)

        def compute(first: int, end: int) -> list[Phase]:
            clip = _kernels.kernels.bind_clip
            both = zip(x.rows(first, end), out.rows(first, end))
            return [[[clip(source, 0, layer.max_value, target)] for source, target in both]]

        return self._step(layer, out, compute)

    @_compile.register
    def _(self, layer: Add) -> Step:
        a, b = (self._values[name] for name in self._architecture.inputs(layer.name))
        out = self._new_maps(layer.name)

        def compute(first: int, end: int) -> list[Phase]:
            add = _kernels.kernels.bind_add_and_clip
            rows = zip(*(maps.rows(first, end) for maps in (a, b, out)))
            return [[[add(x, y, -np.inf, np.inf, target)] for x, y, target in rows]]

        return self._step(layer, out, compute)

    @_compile.register(GlobalAveragePool)
    @_compile.register(GlobalMaxPool)
    def _(self, layer) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._values[source], self._new_maps(layer.name)
        kernels = _kernels.kernels
        average = isinstance(layer, GlobalAveragePool)
        reduce = kernels.bind_average if average else kernels.bind_maximum

        def compute(first: int, end: int) -> list[Phase]:
            maps, vectors = x.rows(0, x.shape[0]), out.rows(0, 1)[:, 0, 0]
            return [[[reduce(map_, row)] for map_, row in zip(maps, vectors)]]

        return self._step(layer, out, compute, by_rows=False)

    @_compile.register
    def _(self, layer: Concat) -> Step:
        """Copy the inputs that are not written in place."""
        out = self._concat_maps(layer.name)
        copies = [
            (self._values[name], offset)
            for name, offset in self._concat_offsets(layer.name)
            if self._values[name].parent is not out
        ]

        def compute(first: int, end: int) -> list[Phase]:
            target = out.rows(first, end)
            return [
                self._copies(x.rows(first, end), target[..., c : c + x.shape[-1]])
                for x, c in copies
            ]

        return self._step(layer, out, compute)

    def _step(self, layer: Layer, out: Maps, compute, **options) -> Step:
        """The step of a layer that stands alone."""
        sources = self._architecture.inputs(layer.name)
        return Step(layer.name, (layer.name,), sources, out, compute, **options)

    def _plain(self, name: str) -> Maps:
        """The maps of a layer, which have no border: not all their readers could do with it."""
        maps = self._values[name]
        assert maps.storage.pads == NO_PADS and maps.channels == maps.shape[-1]
        return maps

    def _concat_maps(self, name: str) -> Maps:
        return self._values[name] if name in self._values else self._new_maps(name)

    def _concat_offsets(self, name: str) -> list[tuple[str, int]]:
        offsets, offset = [], 0
        for source in self._architecture.inputs(name):
            offsets.append((source, offset))
            offset += self._shapes[source][-1]
        return offsets

    @_compile.register
    def _(self, step: ConvStep) -> Step:
        conv = step.conv
        (source,) = self._architecture.inputs(conv.name)
        packed = self._packed[conv.name]
        shape = self._shapes[conv.name]
        x, copy = self._with_border(conv, source)
        residual = None if step.residual is None else self._values[step.residual]
        if step.concat is not None:
            offset = dict(self._concat_offsets(step.concat))[step.output]
            parent = self._concat_maps(step.concat)
            out = Maps(self.n_images, shape, parent.pads, parent, offset)
            self._values[step.output] = out
        else:
            # a residual lies as the output does; the depthwise kernels write whole rows only
            plain = residual is not None or packed.algorithm.kind == "depthwise"
            out = self._new_maps(step.output, border=not plain)
        compute, align, reach = self._convolutions.compile(
            conv, packed, x, out, step.limits, residual
        )
        in_height = self._shapes[source][0]
        before = conv.pads(self._shapes[source])[0][0]

        def rows_needed(end: int) -> int:
            return min(in_height, (reach(end) - 1) * conv.stride + conv.kernel_size - before)

        if copy is not None:
            compute = _after(copy, rows_needed, compute)
        return Step(
            step.output,
            step.layers,
            self._reads(step),
            out,
            compute,
            stride=conv.stride,
            before=before,
            rows_needed=rows_needed,
            align=align,
            reach=reach,
        )

    def _with_border(self, conv: Conv, source: str) -> tuple[Maps, Callable | None]:
        """The input of a convolution with the border it wants.

        Where that means a copy, also the function that returns the phase to copy some rows.
        """
        x = self._values[source]
        pads = conv.pads(self._shapes[source])
        if source == INPUT or pads in (NO_PADS, x.storage.pads):
            return x, None
        bordered = Maps(self.n_images, x.shape, pads)

        def copy(first: int, end: int) -> Phase:
            if bordered.array is None:
                bordered.allocate(self._arena)
                self._convolutions.add_scratch(bordered.array)
            return self._copies(x.rows(first, end), bordered.rows(first, end))

        return bordered, copy


def swaps_pixels(architecture: Architecture, first: Conv) -> bool:
    """Whether the program is to be given BGR pixels: the first kernel cannot turn RGB to BGR."""
    bgr = architecture.preprocessing.channel_order == "bgr"
    return bgr and not kernel_swaps_channels(architecture, first)


def _mean_and_std(architecture: Architecture, first: Conv, width: int):
    """The mean (1 or h, w * 3) and the deviation (w * 3,), in the order of the pixels."""
    preprocessing = architecture.preprocessing
    swap, keep = slice(None, None, -1), slice(None)
    order = swap if kernel_swaps_channels(architecture, first) else keep
    mean = preprocessing.crop_mean().astype(np.float32)[..., order]  # (3,) or (h, w, 3)
    rows = np.tile(mean, width)[np.newaxis] if mean.ndim == 1 else mean.reshape(len(mean), -1)
    std = np.tile(np.asarray(preprocessing.std, np.float32)[order], width)
    return np.ascontiguousarray(rows), std


def _after(copy: Callable, rows_needed: Callable[[int], int], compute: Callable) -> Callable:
    """Let each call of `compute` copy the rows it reads first that were not copied yet."""
    done = 0

    def both(first: int, end: int) -> list[Phase]:
        nonlocal done
        # none, where a row of the border is all that is read
        needed = max(done, rows_needed(end))
        copies = copy(done, needed)
        phases = [copies] if needed > done else []
        done = needed
        return phases + compute(first, end)

    return both
