"""The part of a network that works on maps, compiled to a list of calls on fixed buffers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial, singledispatchmethod
from time import perf_counter

import numpy as np

from .. import _kernels
from .._parallel import ThreadTeam
from .algorithms import PackedConv, kernel_swaps_channels
from .architecture import INPUT, Architecture
from .convolutions import ConvolutionCompiler, split_evenly
from .fusion import ConvStep, fuse
from .layers import LRN, Add, Concat, Conv, GlobalAveragePool, GlobalMaxPool, Layer, MaxPool, ReLU
from .memory import NO_PADS, Arena, Maps
from .schedule import Phase, Schedule, Scheduler, Step


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
        What :meth:`run` is given: `INPUT` alone, or layers.
    outputs : collection of str
        Layers whose values :meth:`run` hands out.
    n_images : int, default=1
        Images computed at a time.
    n_parts : int, default=1
        Threads among which each step is divided.
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
    ):
        self.n_images = n_images
        self.n_parts = n_parts
        self._architecture = architecture
        self._packed = packed
        self._shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
        self._arena = Arena()
        self._convolutions = ConvolutionCompiler(self._arena, n_parts)
        self._scheduler = Scheduler()
        self._schedule: Schedule = []
        self._values: dict[str, Maps] = {}
        self._owned: dict[str, np.ndarray] = {}  # what the arena gave for a layer
        self._steps = fuse(architecture, layers, outputs)
        self._outputs = tuple(outputs)
        self._reads_left = dict.fromkeys(outputs, 1)  # an output is never given back
        for step in self._steps:
            for name in self._reads(step):
                self._reads_left[name] = self._reads_left.get(name, 0) + 1
        self._load = self._compile_inputs(inputs)
        waiting: list[str] = []  # read for the last time, in a chain that is not complete
        for step in self._steps:
            schedule = self._scheduler.add(self._compile(step))
            waiting += self._reads(step)
            if schedule is not None:
                self._end_chain(schedule, waiting)
        self._end_chain(self._scheduler.flush(), waiting)
        self._phases = [phase for _, phase in self._schedule]
        self._calls = [call for phase in self._phases for call in phase]
        self._results = {name: self._result(name) for name in outputs}

    def run(self, source, team: ThreadTeam | None = None) -> dict[str, np.ndarray]:
        """Compute the outputs.

        Parameters
        ----------
        source : ndarray of shape (h, w, 3), or dict of str to ndarray
            One RGB image, or the values of the `inputs` for at most `n_images` images.
        team : ThreadTeam, optional
            Threads that share the work of each step.

        Returns
        -------
        dict of str to ndarray
            With `n_images` rows; valid until the next call.
        """
        self._load(source)
        if team is None:
            for call in self._calls:
                call()
        else:
            team.run(self._phases)
        return self._results

    def profile(self, source) -> tuple[dict[str, np.ndarray], dict[tuple[str, ...], float]]:
        """Compute the outputs, and the seconds that each step took, by the layers it computes."""
        seconds: dict[tuple[str, ...], float] = {}
        start = perf_counter()
        self._load(source)
        seconds[()] = perf_counter() - start
        for step, phase in self._schedule:
            start = perf_counter()
            for call in phase:
                call()
            seconds[step.layers] = seconds.get(step.layers, 0.0) + perf_counter() - start
        return self._results, seconds

    # Values and their memory -----------------------------------------------------------------

    def _reads(self, step: Layer | ConvStep) -> tuple[str, ...]:
        if not isinstance(step, ConvStep):
            return self._architecture.inputs(step.name)
        inputs = self._architecture.inputs(step.conv.name)
        return inputs if step.residual is None else (*inputs, step.residual)

    def _end_chain(self, schedule: Schedule, waiting: list[str]) -> None:
        self._schedule += schedule
        for name in waiting:
            self._reads_left[name] -= 1
            # a member of a concatenation that was written in place has no memory of its own
            if self._reads_left[name] == 0 and name in self._owned:
                self._arena.give_back(self._owned.pop(name))
        waiting.clear()
        self._convolutions.release_scratch()

    def _result(self, name: str) -> np.ndarray:
        value = self._values[name]
        return value.view if isinstance(value, Maps) else value

    def _new_maps(self, name: str, *, border: bool = True) -> Maps:
        """Memory for the maps of a layer, with the border of zeros that its readers want."""
        shape = self._shapes[name]
        pads = self._border(name) if border else NO_PADS
        if pads == NO_PADS:
            array = self._arena.take((self.n_images, *shape))
        else:
            array = self._arena.take_bordered(self.n_images, shape, pads)
        self._owned[name] = array
        self._values[name] = Maps(array, shape, pads[0][0], pads[1][0])
        return self._values[name]

    def _border(self, name: str) -> tuple:
        """The zeros that all readers of a layer can do with; none if they do not agree."""
        wanted = set()
        for step in self._steps:
            if name not in self._reads(step):
                continue
            if not isinstance(step, ConvStep) or step.residual == name:
                return NO_PADS
            pads = step.conv.pads(self._shapes[name])
            kind = self._packed[step.conv.name].algorithm.kind
            if pads != NO_PADS or kind != "matrix":  # that one reads from inside any border
                wanted.add(pads)
        return wanted.pop() if len(wanted) == 1 else NO_PADS

    def _dense(self, name: str) -> np.ndarray:
        """The maps of a layer as an array (n, h, w, c) without a border."""
        return self._values[name].array

    # Inputs ----------------------------------------------------------------------------------

    def _compile_inputs(self, inputs: Collection[str]) -> Callable:
        if tuple(inputs) == (INPUT,):
            return self._compile_image()
        for name in inputs:
            self._new_maps(name)

        def load(blobs: Mapping[str, np.ndarray]) -> None:
            for name in inputs:
                self._values[name].view[: len(blobs[name])] = blobs[name]

        return load

    def _compile_image(self) -> Callable[[np.ndarray], None]:
        """Prepare the call that writes an image, preprocessed, into the first layer's input."""
        first = self._steps[0]
        if not isinstance(first, ConvStep) or self._reads_left.get(INPUT) != 1:
            raise ValueError("the image has to be read by one convolution, the first layer")
        conv, algorithm = first.conv, self._packed[first.conv.name].algorithm
        preprocessing = self._architecture.preprocessing
        h, w, c = self._shapes[INPUT]
        (top, bottom), (left, right) = conv.pads((h, w, c))
        if algorithm.block > 1:
            # blocks of pixels become channels: (rows, b, columns, b * c) -> (rows, columns, b, b * c)
            b = algorithm.block
            oh, ow, _ = self._shapes[conv.name]
            hb, wb = oh + algorithm.r - 1, ow + algorithm.r - 1
            padded = self._arena.take_bordered(
                1, (h, w, c), ((top, max(hb * b - top - h, 0)), (left, max(wb * b - left - w, 0)))
            )
            blocks = self._arena.take((1, hb, wb, b * b * c))
            self._values[INPUT] = Maps(blocks, (hb, wb, b * b * c))
            whole = padded[0, : hb * b, : wb * b].reshape(hb, b, wb, b * c)
            scatter = partial(
                np.copyto, blocks.reshape(hb, wb, b, b * c), whole.transpose(0, 2, 1, 3)
            )
        else:
            padded = self._arena.take_bordered(1, (h, w, c), ((top, bottom), (left, right)))
            self._values[INPUT] = Maps(padded, (h, w, c), top, left)
            scatter = None
        rows = padded[0].reshape(padded.shape[1], -1)[top : top + h, left * c : (left + w) * c]
        bgr = preprocessing.channel_order == "bgr"
        in_kernel = kernel_swaps_channels(self._architecture, conv)
        swap, keep = slice(None, None, -1), slice(None)
        to_rgb = swap if in_kernel else keep
        mean = preprocessing.crop_mean().astype(np.float32)[..., to_rgb]  # (3,) or (h, w, 3)
        mean = np.tile(mean, w) if mean.ndim == 1 else mean.reshape(h, w * c)
        std = np.tile(np.asarray(preprocessing.std, np.float32)[to_rgb], w)
        channels = swap if bgr and not in_kernel else keep
        flip = swap if preprocessing.flip_vertical else keep
        scaled = bool((std != 1).any())

        def load(image: np.ndarray) -> None:
            np.subtract(image[flip, :, channels].reshape(h, w * c), mean, out=rows)
            if scaled:
                np.divide(rows, std, out=rows)
            if scatter is not None:
                scatter()

        return load

    # Compiling one step ----------------------------------------------------------------------

    def _step(self, name, sources, compute, rows_needed=None, layers=(), **options) -> Step:
        shape = self._shapes[name]
        return Step(
            name,
            layers or (name,),
            tuple(sources),
            shape[0],
            4 * self.n_images * math.prod(shape),
            rows_needed or (lambda end: end),
            compute,
            **options,
        )

    def _whole(self, name: str, sources, calls: list) -> Step:
        """A step that computes everything at once."""
        return self._step(name, sources, lambda first, end: [[call] for call in calls],
                          by_rows=False)

    @singledispatchmethod
    def _compile(self, step) -> Step:
        raise TypeError(f"the engine has no step for layers of type {type(step).__name__}")

    @_compile.register
    def _(self, layer: MaxPool) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._dense(source), self._new_maps(layer.name)
        height, columns = x.shape[1], out.shape[1]
        pool = partial(_kernels.kernels.max_pool, size=layer.size, stride=layer.stride,
                       left=out.left, columns=columns)

        def compute(first: int, end: int) -> list[Phase]:
            phase = [
                partial(pool, x=x[i, a * layer.stride :],
                        out=out.array[i, out.top + a : out.top + b])
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(
            layer.name, (source,), compute,
            lambda end: min(height, (end - 1) * layer.stride + layer.size),
        )

    @_compile.register
    def _(self, layer: LRN) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._dense(source), self._new_maps(layer.name)
        normalise = partial(_kernels.kernels.lrn, size=layer.size, alpha=layer.alpha,
                            beta=layer.beta, k=layer.k, left=out.left)

        def compute(first: int, end: int) -> list[Phase]:
            phase = [
                partial(normalise, x=x[i, a:b], out=out.array[i, out.top + a : out.top + b])
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(layer.name, (source,), compute)

    @_compile.register
    def _(self, layer: ReLU) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        limits = np.float32(0), np.float32(layer.max_value)
        out = self._new_maps(layer.name).view
        call = partial(np.clip, self._values[source].view, *limits, out=out)
        return self._whole(layer.name, (source,), [call])

    @_compile.register
    def _(self, layer: Add) -> Step:
        sources = self._architecture.inputs(layer.name)
        a, b = (self._values[name].view for name in sources)
        out = self._new_maps(layer.name).view
        return self._whole(layer.name, sources, [partial(np.add, a, b, out=out)])

    @_compile.register(GlobalAveragePool | GlobalMaxPool)
    def _(self, layer) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x = self._values[source].view
        out = self._arena.take((self.n_images, x.shape[-1]))
        self._values[layer.name] = self._owned[layer.name] = out
        reduce = np.mean if isinstance(layer, GlobalAveragePool) else np.max
        # image by image: the order of the sums must not depend on how many there are
        calls = [partial(reduce, x[i], axis=(0, 1), out=out[i]) for i in range(self.n_images)]
        return self._whole(layer.name, (source,), calls)

    @_compile.register
    def _(self, layer: Concat) -> Step:
        """Copy the inputs that were not written in place."""
        out = self._concat_maps(layer.name)
        copies = []
        for name, offset in self._concat_offsets(layer.name):
            value = self._values[name]
            if value.array is not out.array:
                target = out.view[..., offset : offset + value.shape[-1]]
                copies.append((target, value.view))

        def compute(first: int, end: int) -> list[Phase]:
            return [
                [partial(np.copyto, target[:, first:end], value[:, first:end])]
                for target, value in copies
            ]

        return self._step(layer.name, self._architecture.inputs(layer.name), compute)

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
        residual = None
        if step.residual is not None:
            residual = self._values[step.residual].array
            out = self._new_maps(step.output, border=False)
        elif step.concat is not None:
            whole = self._concat_maps(step.concat)
            offset = dict(self._concat_offsets(step.concat))[step.output]
            out = Maps(whole.array, shape, whole.top, whole.left, offset)
            self._values[step.output] = out
        else:
            # the kernels for depthwise convolutions write whole rows only
            out = self._new_maps(step.output, border=packed.algorithm.kind != "depthwise")
        compute, align, reach = self._convolutions.compile(
            conv, packed, x, out, step.limits, residual
        )
        sources = self._reads(step)
        if source == INPUT:
            return self._step(
                step.output, sources, compute, lambda end: 0, step.layers, align=align
            )
        in_height = self._shapes[source][0]
        top = conv.pads(self._shapes[source])[0][0]

        def rows_needed(end: int) -> int:
            return min(in_height, (reach(end) - 1) * conv.stride + conv.kernel_size - top)

        if copy is not None:
            compute = _after(copy, rows_needed, compute)
        return self._step(step.output, sources, compute, rows_needed, step.layers, align=align)

    def _with_border(self, conv: Conv, source: str) -> tuple[Maps, Callable | None]:
        """The input of a convolution with the border it wants.

        Where that means a copy, also the function that returns the call to copy some rows.
        """
        x = self._values[source]
        pads = conv.pads(self._shapes[source])
        if source == INPUT or pads == NO_PADS:
            return x, None
        h, w, _ = x.shape
        (top, bottom), (left, right) = pads
        _, hp, wp, _ = x.array.shape
        if (x.top, x.left, hp, wp) == (top, left, top + h + bottom, left + w + right):
            return x, None
        array = self._arena.take_bordered(self.n_images, x.shape, pads)
        self._convolutions.add_scratch(array)
        bordered = Maps(array, x.shape, top, left)
        target, value = bordered.view, x.view

        def copy(first: int, end: int) -> Callable:
            return partial(np.copyto, target[:, first:end], value[:, first:end])

        return bordered, copy


def _after(copy: Callable, rows_needed: Callable[[int], int], compute: Callable) -> Callable:
    """Let each call of `compute` copy the rows it reads first that were not copied yet."""
    done = 0

    def both(first: int, end: int) -> list[Phase]:
        nonlocal done
        needed = max(done, rows_needed(end))
        phases = [[copy(done, needed)]] if needed > done else []
        done = needed
        return phases + compute(first, end)

    return both
