"""The part of a network that works on maps, compiled to a list of calls on fixed buffers."""

from __future__ import annotations

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
from .schedule import Phase, Schedule, Step, schedule, split_chains


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
        self._values: dict[str, Maps] = {}
        self._fused = fuse(architecture, layers, outputs)
        reads_left = dict.fromkeys(outputs, 1)  # an output is never given back
        for step in self._fused:
            for name in self._reads(step):
                reads_left[name] = reads_left.get(name, 0) + 1
        self._load = self._compile_inputs(inputs)
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

    def profile(
        self, source, team: ThreadTeam | None = None
    ) -> tuple[dict[str, np.ndarray], dict[tuple[str, ...], float]]:
        """Compute the outputs, and the seconds that each step took, by the layers it computes."""
        start = perf_counter()
        self._load(source)
        seconds = {(): perf_counter() - start}
        seconds.update(dict.fromkeys((step.layers for step in self._steps), 0.0))
        for step, phase in self._schedule:
            start = perf_counter()
            if team is None:
                for call in phase:
                    call()
            else:
                team.run([phase])
            seconds[step.layers] += perf_counter() - start
        return self._results, seconds

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

    def _result(self, name: str) -> np.ndarray:
        value = self._values[name]
        rows = value.rows(0, value.shape[0])
        return rows if len(self._shapes[name]) == 3 else rows[:, 0, 0]

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

    # Inputs ----------------------------------------------------------------------------------

    def _compile_inputs(self, inputs: Collection[str]) -> Callable:
        if tuple(inputs) == (INPUT,):
            return self._compile_image()
        targets = {}
        for name in inputs:
            maps = self._new_maps(name)
            maps.allocate(self._arena)
            targets[name] = maps.rows(0, maps.shape[0])

        def load(blobs: Mapping[str, np.ndarray]) -> None:
            for name, target in targets.items():
                target[: len(blobs[name])] = blobs[name].reshape(-1, *target.shape[1:])

        return load

    def _compile_image(self) -> Callable[[np.ndarray], None]:
        """Prepare the call that writes an image, preprocessed, into the first layer's input."""
        first = self._fused[0]
        readers = [step for step in self._fused if INPUT in self._reads(step)]
        if not isinstance(first, ConvStep) or readers != [first] or first.residual == INPUT:
            raise ValueError("the image has to be read by one convolution, the first layer")
        conv, algorithm = first.conv, self._packed[first.conv.name].algorithm
        preprocessing = self._architecture.preprocessing
        h, w, c = self._shapes[INPUT]
        (top, bottom), (left, right) = conv.pads((h, w, c))
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
            whole = padded[0, : hb * b, : wb * b].reshape(hb, b, wb, b * c)
            scatter = partial(
                np.copyto, blocks.reshape(hb, wb, b, b * c), whole.transpose(0, 2, 1, 3)
            )
        else:
            padded = self._arena.take_bordered(1, (h, w, c), ((top, bottom), (left, right)))
            self._values[INPUT] = Maps(1, (h, w, c), conv.pads((h, w, c)), array=padded)
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

    @singledispatchmethod
    def _compile(self, step) -> Step:
        raise TypeError(f"the engine has no step for layers of type {type(step).__name__}")

    @_compile.register
    def _(self, layer: MaxPool) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._plain(source), self._new_maps(layer.name)
        size, s = layer.size, layer.stride
        height, columns = x.shape[0], out.shape[1]

        def rows_needed(end: int) -> int:
            return min(height, (end - 1) * s + size)

        def compute(first: int, end: int) -> list[Phase]:
            pool = partial(_kernels.kernels.max_pool, size=size, stride=s)
            place = {"left": out.left, "columns": columns}
            phase = [
                partial(pool, x=x.image(i, a * s, rows_needed(b)), out=out.image(i, a, b), **place)
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(layer, out, compute, stride=s, rows_needed=rows_needed)

    @_compile.register
    def _(self, layer: LRN) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._plain(source), self._new_maps(layer.name)
        constants = {name: getattr(layer, name) for name in ("size", "alpha", "beta", "k")}

        def compute(first: int, end: int) -> list[Phase]:
            normalise = partial(_kernels.kernels.lrn, left=out.left, **constants)
            phase = [
                partial(normalise, x=x.image(i, a, b), out=out.image(i, a, b))
                for i in range(self.n_images)
                for a, b in split_evenly(first, end, self.n_parts)
            ]
            return [phase]

        return self._step(layer, out, compute)

    @_compile.register
    def _(self, layer: ReLU) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._values[source], self._new_maps(layer.name)
        limits = np.float32(0), np.float32(layer.max_value)

        def compute(first: int, end: int) -> list[Phase]:
            call = partial(np.clip, x.rows(first, end), *limits, out=out.rows(first, end))
            return [[call]]

        return self._step(layer, out, compute)

    @_compile.register
    def _(self, layer: Add) -> Step:
        a, b = (self._values[name] for name in self._architecture.inputs(layer.name))
        out = self._new_maps(layer.name)

        def compute(first: int, end: int) -> list[Phase]:
            rows = (maps.rows(first, end) for maps in (a, b))
            return [[partial(np.add, *rows, out=out.rows(first, end))]]

        return self._step(layer, out, compute)

    @_compile.register(GlobalAveragePool)
    @_compile.register(GlobalMaxPool)
    def _(self, layer) -> Step:
        (source,) = self._architecture.inputs(layer.name)
        x, out = self._values[source], self._new_maps(layer.name)
        reduce = np.mean if isinstance(layer, GlobalAveragePool) else np.max

        def compute(first: int, end: int) -> list[Phase]:
            maps, vectors = x.rows(0, x.shape[0]), out.rows(0, 1)[:, 0, 0]
            # image by image: the order of the sums must not depend on how many there are
            images = zip(maps, vectors)
            return [[partial(reduce, map_, axis=(0, 1), out=row)] for map_, row in images]

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
                [partial(np.copyto, target[..., c : c + x.shape[-1]], x.rows(first, end))]
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

        Where that means a copy, also the function that returns the call to copy some rows.
        """
        x = self._values[source]
        pads = conv.pads(self._shapes[source])
        if source == INPUT or pads in (NO_PADS, x.storage.pads):
            return x, None
        bordered = Maps(self.n_images, x.shape, pads)

        def copy(first: int, end: int) -> Callable:
            if bordered.array is None:
                bordered.allocate(self._arena)
                self._convolutions.add_scratch(bordered.array)
            return partial(np.copyto, bordered.rows(first, end), x.rows(first, end))

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
