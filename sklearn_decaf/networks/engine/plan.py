"""Runs a network fast: a plan is compiled once for the layers that are wanted, and run on batches.

The network is cut in up to three stages:

- The **trunk**, all that works on maps, runs one image at a time, so that an image's maps stay in
  the cache.
- Where the weights of a convolution are larger than its maps, the trunk from there on, the **late
  trunk**, runs on up to `LATE_IMAGES` images together, so that the weights are read once for all.
- The **head**, from the first fully connected layer on, runs on the whole batch.

Several threads take images, groups of images, or parts of the fully connected layers' units. For
fewer images than threads, the steps for one image are divided instead. All kernels treat a row of
a matrix alike wherever it stands, so an image's features have the same bits in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter

import numpy as np

from ... import _kernels
from ..._kernels.calls import Tape, run_items, run_shared
from ..._utils.parallel import run_in_threads, single_threaded_blas
from .. import reference
from ..architecture import INPUT, Architecture
from ..layers import Conv, Dense, Layer, Softmax
from .algorithms import pack_convolutions, pad_columns
from .convolutions import images_for_weights, split_evenly
from .packed_weights import pack_layers
from .program import TrunkProgram, swaps_pixels

# Images whose late trunk is computed together, at most.
LATE_IMAGES = 8
CACHE_LINE = 16  # float32 numbers
# Inputs of a fully connected layer that are summed up at a time: sums of sums round less than one
# long sum, and the weights for them stay in the cache.
HEAD_DEPTH = 1024
# Rows of a block of the head where BLAS computes it: with one fixed size, and as many rows as a
# BLAS kernel holds side by side in its registers, a row has the same bits in any batch.
HEAD_ROWS = 16


class Plan:
    """A network prepared to compute certain layers.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``; those on the way to `outputs` must be there.
    outputs : iterable of str
        Names of the wanted layers.
    exact : bool, default=False
        Compute convolutions by plain sums only, not by Winograd's algorithm: slower, and rounded
        less.

    Notes
    -----
    A plan holds packed weights, shared by all threads, and a workspace a thread, made when it is
    first needed and used again. Several threads may call :meth:`run` at the same time. Without
    compiled kernels the trunk runs on :mod:`~sklearn_decaf.networks.reference`.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        outputs: Iterable[str],
        *,
        exact: bool = False,
    ):
        self.architecture = architecture
        self.outputs = tuple(outputs)
        self._steps = architecture.ancestors(self.outputs)
        self._parameters = parameters
        self._head = _head_layers(architecture, self._steps)
        in_head = {layer.name for layer in self._head}
        trunk = tuple(layer for layer in self._steps if layer.name not in in_head)
        self._compiled = _kernels.KERNEL_SET is not None
        late: tuple[Layer, ...] = ()
        if self._compiled:
            self._packed = pack_convolutions(architecture, parameters, trunk, exact=exact)
            dense = [layer for layer in self._head if isinstance(layer, Dense)]
            self._dense = pack_layers(architecture, parameters, dense, _pack_dense)
            late, self._late_images = self._late_layers(trunk)
            self._swaps_pixels = any(
                swaps_pixels(architecture, layer)
                for layer in trunk
                if isinstance(layer, Conv) and architecture.inputs(layer.name) == (INPUT,)
            )
        else:
            _kernels.warn_if_missing()
        late_names = {layer.name for layer in late}
        self._trunk = tuple(layer for layer in trunk if layer.name not in late_names)
        self._late = late
        # what each stage hands over: wanted maps and the inputs of later stages
        self._late_outputs = self._handed_over(late, self._head)
        self._trunk_outputs = self._handed_over(self._trunk, (*late, *self._head))
        self._late_inputs = tuple(
            name
            for name in self._trunk_outputs
            if any(name in architecture.inputs(layer.name) for layer in late)
        )
        self._idle: dict[tuple, list[TrunkProgram]] = {}

    def _late_layers(self, trunk: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], int]:
        """The layers from the first convolution on whose weights are best read for many images.

        And for how many. None, where they cannot be cut off.
        """
        shapes = {INPUT: self.architecture.input_shape, **self.architecture.shapes()}
        for i, layer in enumerate(trunk):
            if not isinstance(layer, Conv):
                continue
            (source,) = self.architecture.inputs(layer.name)
            packed, maps = self._packed[layer.name], (shapes[source], shapes[layer.name])
            images = images_for_weights(layer, packed, *maps)
            if images > 1:
                fitting = 1 << (images.bit_length() - 1)  # a power of two
                return (trunk[i:], min(LATE_IMAGES, fitting)) if i else ((), 1)
        return (), 1

    def _handed_over(self, stage, later) -> tuple[str, ...]:
        read = {name for layer in later for name in self.architecture.inputs(layer.name)}
        wanted = read.union(self.outputs)
        return tuple(layer.name for layer in stage if layer.name in wanted)

    def run(self, images: np.ndarray, n_threads: int = 1) -> list[np.ndarray]:
        """Compute the outputs for a batch of images.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3), uint8 or float32
            RGB, of the network's input size, values from 0 to 255.
        n_threads : int, default=1
            Threads that share the work.

        Returns
        -------
        list of ndarray, float32
            One array an output, of shape (n, h, w, c) or (n, c).

        Raises
        ------
        ValueError
            If the images are not of the network's input size.
        """
        if images.shape[1:] != self.architecture.input_shape:
            raise ValueError(
                f"images of shape {images.shape}; {self.architecture.name} takes images of shape "
                f"{self.architecture.input_shape}"
            )
        if not self._compiled:
            with single_threaded_blas():
                return self._run_reference(images, n_threads)
        n = len(images)
        maps = self._new_maps(n, n_threads)
        for stage in self._stages(images, maps, n_threads):
            self._run_stage(*stage, n_threads)
        blobs = {name: values[:n] for name, values in maps.items()}
        for layer in self._head if n else ():
            blobs[layer.name] = self._run_head_layer(layer, blobs, n_threads)
        shapes = self.architecture.shapes()
        none = np.empty(0, np.float32)
        return [blobs[name] if n else none.reshape(0, *shapes[name]) for name in self.outputs]

    def profile(
        self, images: np.ndarray, n_threads: int = 1
    ) -> list[tuple[str, tuple[str, ...], float]]:
        """Time each step of the computation.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3)
            As for :meth:`run`; groups of images go through the late trunk together.
        n_threads : int, default=1
            Threads among which each step is divided.

        Returns
        -------
        list of (str, tuple of str, float)
            Name of the step, the layers it computes (none: the preprocessing), and the seconds it
            took for all images.

        Raises
        ------
        RuntimeError
            If the package runs without compiled kernels: then there are no steps.
        """
        if not self._compiled:
            raise RuntimeError("without compiled kernels there are no steps to time")
        seconds: dict[tuple[str, ...], float] = {}
        n = len(images)
        maps = self._new_maps(n, n_threads)
        for stage, group, sources, targets in self._stages(images, maps, n_threads):
            with self._borrow(stage, group, n_threads, sources[0].dtype) as program:
                times = np.zeros(program.tape.n_phases)
                n_items = len(sources[0]) // group
                run_shared(program.tape, n_threads, sources, targets, n_items, times)
                for layers, time in program.seconds_by_layers(times).items():
                    seconds[layers] = seconds.get(layers, 0.0) + time
        blobs = {name: values[:n] for name, values in maps.items()}
        for layer in self._head:
            start = perf_counter()
            if n:
                blobs[layer.name] = self._run_head_layer(layer, blobs, n_threads)
            seconds[layer.name,] = perf_counter() - start
        return [(layers[0] if layers else INPUT, layers, t) for layers, t in seconds.items()]

    # The trunk ---------------------------------------------------------------------------------

    def _stages(self, images, maps, n_threads) -> Iterator[tuple]:
        """What to run one after another: the stage, the images at a time, sources and targets."""
        n = len(images)
        pixels = images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
        if self._swaps_pixels:
            pixels = pixels[..., ::-1]
        pixels = np.ascontiguousarray(pixels)
        if n:
            yield "trunk", 1, [pixels], [maps[name][:n] for name in self._trunk_outputs]
        for first, end, size in self._late_groups(n, n_threads):
            sources = [maps[name][first:end] for name in self._late_inputs]
            targets = [maps[name][first:end] for name in self._late_outputs]
            yield "late", size, sources, targets

    def _late_groups(self, n: int, n_threads: int) -> list[tuple[int, int, int]]:
        """Groups of images for the late trunk: first image, end, and how many at a time.

        All are powers of two, to which the last is filled up, so that few programs serve any n.
        """
        if not self._late or not n:
            return []
        size = min(self._late_images, math.ceil(n / n_threads))
        size = 1 << (size.bit_length() - 1)
        whole = n - n % size
        groups = [(0, whole, size)]
        if whole < n:
            size = 1 << (n - whole - 1).bit_length()
            groups.append((whole, whole + size, size))
        return groups

    def _run_stage(self, stage, group, sources, targets, n_threads) -> None:
        """Let threads take items, and share those that are left, fewer than threads."""
        pixels = sources[0].dtype
        n_items = len(sources[0]) // group
        whole = n_items - n_items % n_threads if n_threads > 1 else 0
        if whole:
            end = whole * group
            with ExitStack() as stack:
                borrowed = [self._borrow(stage, group, 1, pixels) for _ in range(n_threads)]
                tapes = [stack.enter_context(each).tape for each in borrowed]
                run_items(tapes, [x[:end] for x in sources], [x[:end] for x in targets], whole)
            sources, targets = [x[end:] for x in sources], [x[end:] for x in targets]
        if whole < n_items:
            with self._borrow(stage, group, n_threads, pixels) as program:
                run_shared(program.tape, n_threads, sources, targets, n_items - whole)

    def _new_maps(self, n: int, n_threads: int) -> dict[str, np.ndarray]:
        """Memory for what the stages hand over, for n images and what fills the last group up."""
        shapes = self.architecture.shapes()
        names = (*self._trunk_outputs, *self._late_outputs)
        rows = max([n, *(end for _, end, _ in self._late_groups(n, n_threads))])
        maps = {name: np.empty((rows, *shapes[name]), np.float32) for name in names}
        for values in maps.values():
            values[n:] = 0
        return maps

    @contextmanager
    def _borrow(self, stage: str, n_images: int, n_parts: int, pixels) -> Iterator[TrunkProgram]:
        """A program for the time of a ``with`` statement; then others may use it."""
        idle = self._idle.setdefault((stage, n_images, n_parts, pixels), [])
        try:
            program = idle.pop()  # atomic, as append is
        except IndexError:
            trunk = stage == "trunk"
            program = TrunkProgram(
                self.architecture,
                self._packed,
                self._trunk if trunk else self._late,
                (INPUT,) if trunk else self._late_inputs,
                self._trunk_outputs if trunk else self._late_outputs,
                n_images,
                n_parts,
                pixels,
            )
        try:
            yield program
        finally:
            idle.append(program)

    # The head ----------------------------------------------------------------------------------

    def _run_head_layer(self, layer: Layer, blobs: dict[str, np.ndarray], n_threads: int):
        inputs = [blobs[name] for name in self.architecture.inputs(layer.name)]
        if isinstance(layer, Dense):
            return self._run_dense(layer, inputs[0], n_threads)
        return reference.compute(layer, [], *inputs)

    def _run_dense(self, layer: Dense, x: np.ndarray, n_threads: int) -> np.ndarray:
        """A fully connected layer: each thread computes some of the units for all images."""
        blocks, bias = self._dense[layer.name]
        x = x.reshape(len(x), -1)
        depth = x.shape[1]
        # rows a multiple of 4096 bytes apart would all want the same few lines of the cache
        spaced = np.zeros((len(x), depth + CACHE_LINE), np.float32)
        spaced[:, :depth] = x
        results = [np.empty((1, len(x), len(bias)), np.float32) for _ in blocks[:2]]
        pieces = [
            (k, a, b)
            for k, (_, panels) in enumerate(blocks[0])
            for a, b in split_evenly(0, panels.shape[1], n_threads)
        ]
        phase = []
        for k, a, b in pieces:
            unit = []
            for block, packed in enumerate(blocks):
                first, panels = packed[k]
                width = panels.shape[3] * panels.shape[4]
                first += a * width
                out, other = results[block % 2], results[block % 2 - 1] if block else None
                own = bias[first : first + (b - a) * width]
                unit += _kernels.kernels.bind_matmul(
                    spaced,
                    block * HEAD_DEPTH,
                    0,
                    spaced.shape[1],
                    [(0, panels[:, a:b])],
                    np.zeros_like(own) if block else own,
                    -np.inf,
                    np.inf,
                    out,
                    (0, 0, first),
                    (1, len(x)),
                    other,
                )
            phase.append(unit)
        run_shared(Tape([phase]), n_threads)
        return np.ascontiguousarray(results[(len(blocks) - 1) % 2][0, :, : layer.units])

    # Without compiled kernels --------------------------------------------------------------------

    def _run_reference(self, images: np.ndarray, n_threads: int) -> list[np.ndarray]:
        n, shapes = len(images), self.architecture.shapes()
        names = {*self._trunk_outputs, *self.outputs}
        results = {name: np.empty((n, *shapes[name]), np.float32) for name in names}

        def trunk(i: int) -> None:
            blobs = reference.forward(
                self.architecture, self._parameters, images[i : i + 1], self._trunk_outputs
            )
            for name, blob in blobs.items():
                results[name][i] = blob[0]

        def head(block: int) -> None:
            rows = slice(block * HEAD_ROWS, min((block + 1) * HEAD_ROWS, n))
            blobs = {name: _pad_rows(results[name][rows]) for name in self._trunk_outputs}
            for layer in self._head:
                inputs = (blobs[name] for name in self.architecture.inputs(layer.name))
                keys = self.architecture.layer_parameter_shapes(layer.name)
                own = [self._parameters[key] for key in keys]
                compute = _dense if isinstance(layer, Dense) else partial(reference.compute, layer)
                blobs[layer.name] = compute(own, *inputs)
                if layer.name in results:
                    results[layer.name][rows] = blobs[layer.name][: rows.stop - rows.start]

        run_in_threads(trunk, n, n_threads)
        if self._head:
            run_in_threads(head, -(-n // HEAD_ROWS), n_threads)
        return [results[name] for name in self.outputs]


def _pack_dense(_: Architecture, parameters: Mapping[str, np.ndarray], layer: Dense):
    """The kernel of a fully connected layer, in blocks, as products read it, and its bias."""
    kernel = np.asarray(parameters[f"{layer.name}.kernel"], np.float32)  # (inputs, units)
    bias = np.asarray(parameters[f"{layer.name}.bias"], np.float32)
    starts = range(0, len(kernel), HEAD_DEPTH)
    pack = _kernels.kernels.pack_matrix
    blocks = [pack(kernel[np.newaxis, k : k + HEAD_DEPTH]) for k in starts]
    return blocks, pad_columns(bias, blocks[0])


def _head_layers(architecture: Architecture, steps) -> tuple:
    """The layers from the first fully connected one (or the softmax) on."""
    names: set[str] = set()
    for layer in steps:
        if isinstance(layer, Dense | Softmax) or names.intersection(
            architecture.inputs(layer.name)
        ):
            names.add(layer.name)
    return tuple(layer for layer in steps if layer.name in names)


def _dense(parameters: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """A fully connected layer whose rows have the same bits wherever in the block they stand.

    The product is computed transposed. BLAS kernels cut only one side of a product into vectors,
    here that of the images; along the other some add up in an order that depends on the place.
    """
    kernel, bias = parameters
    product = kernel.T @ x.reshape(len(x), -1).T  # (units, rows)
    return np.add(product.T, bias, order="C")


def _pad_rows(x: np.ndarray) -> np.ndarray:
    """Fill up with zero rows to HEAD_ROWS."""
    if len(x) == HEAD_ROWS:
        return x
    padded = np.zeros((HEAD_ROWS, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x
    return padded
