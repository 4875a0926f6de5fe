"""Stages on maps: consecutive layers, computed for one image at a time or for a group of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import numpy as np

from ..._kernels.calls import run_items, run_shared
from ..architecture import INPUT, Architecture
from ..layers import Conv, Layer
from .convolutions import PackedConv, images_for_weights
from .limits import Limits
from .program import Program, compile_program


class Group(NamedTuple):
    """Images that go through a stage, `size` at a time."""

    first: int
    end: int  # first + a multiple of size; perhaps beyond the last image
    size: int


class Stage:
    """Consecutive layers on maps, and the programs that compute them.

    Parameters
    ----------
    architecture : Architecture
    packed : dict of str to PackedConv
        Weights of the convolutions.
    layers : tuple of Layer
        In order.
    inputs : tuple of str
        What the stage reads: `INPUT` alone, or layers of an earlier stage.
    outputs : tuple of str
        What it hands over: wanted layers, and what later stages read.
    max_images : int
        Images computed at a time, at most: 1, or a power of two.
    limits : Limits
    """

    def __init__(
        self,
        architecture: Architecture,
        packed: Mapping[str, PackedConv],
        layers: tuple[Layer, ...],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        max_images: int,
        limits: Limits,
    ):
        self.architecture = architecture
        self.packed = packed
        self.layers = layers
        self.inputs = inputs
        self.outputs = outputs
        self.max_images = max_images
        self.limits = limits
        # programs that nobody is using, by images at a time, threads, and dtype of the input
        self.idle: dict[tuple, list[Program]] = {}

    def groups(self, n: int, n_threads: int) -> list[Group]:
        """Cut n images into groups.

        All sizes are powers of two, to which the last group is filled up, so that few programs
        serve any n.
        """
        if not n:
            return []
        size = min(self.max_images, math.ceil(n / n_threads))
        size = 1 << (size.bit_length() - 1)
        whole = n - n % size
        groups = [Group(0, whole, size)]
        if whole < n:
            size = 1 << (n - whole - 1).bit_length()
            groups.append(Group(whole, whole + size, size))
        return groups

    def run(self, maps: Mapping[str, np.ndarray], n: int, n_threads: int) -> None:
        """Compute n images.

        Parameters
        ----------
        maps : dict of str to ndarray
            The inputs and outputs, of at least as many images as the last group ends at.
        n, n_threads : int
        """
        for group in self.groups(n, n_threads):
            sources, targets = self._parts(maps, group)
            self._run_group(group.size, sources, targets, n_threads)

    def add_seconds(
        self,
        maps: Mapping[str, np.ndarray],
        n: int,
        n_threads: int,
        seconds: dict[tuple[str, ...], float],
    ) -> None:
        """The same as :meth:`run`, one group after the other; the time of each step is added."""
        for group in self.groups(n, n_threads):
            sources, targets = self._parts(maps, group)
            with self._borrow(group.size, n_threads, sources[0].dtype) as program:
                times = np.zeros(program.call_list.n_phases)
                n_items = len(sources[0]) // group.size
                run_shared(program.call_list, n_threads, sources, targets, n_items, times)
                for layers, time in program.seconds_by_layers(times).items():
                    seconds[layers] = seconds.get(layers, 0.0) + time

    def _parts(self, maps: Mapping[str, np.ndarray], group: Group) -> tuple[list, list]:
        """The inputs and the outputs of a group's images."""
        sources = [maps[name][group.first : group.end] for name in self.inputs]
        targets = [maps[name][group.first : group.end] for name in self.outputs]
        return sources, targets

    def _run_group(self, size: int, sources: list, targets: list, n_threads: int) -> None:
        """Let threads take items, and share those that are left, fewer than threads."""
        dtype = sources[0].dtype
        n_items = len(sources[0]) // size
        whole = n_items - n_items % n_threads if n_threads > 1 else 0
        if whole:
            end = whole * size
            with ExitStack() as stack:
                borrowed = [self._borrow(size, 1, dtype) for _ in range(n_threads)]
                lists = [stack.enter_context(each).call_list for each in borrowed]
                run_items(lists, [x[:end] for x in sources], [x[:end] for x in targets], whole)
            sources, targets = [x[end:] for x in sources], [x[end:] for x in targets]
        if whole < n_items:
            with self._borrow(size, n_threads, dtype) as program:
                run_shared(program.call_list, n_threads, sources, targets, n_items - whole)

    @contextmanager
    def _borrow(self, n_images: int, n_parts: int, dtype: np.dtype) -> Iterator[Program]:
        """A program for the time of a ``with`` statement; then others may use it."""
        idle = self.idle.setdefault((n_images, n_parts, dtype), [])
        program = None
        with suppress(IndexError):
            program = idle.pop()  # atomic, as append is
        if program is None:
            program = compile_program(
                self.architecture,
                self.packed,
                self.layers,
                self.inputs,
                self.outputs,
                n_images=n_images,
                n_parts=n_parts,
                pixels=dtype,
                limits=self.limits,
            )
        try:
            yield program
        finally:
            idle.append(program)


def make_stages(
    architecture: Architecture,
    packed: Mapping[str, PackedConv],
    layers: tuple[Layer, ...],
    wanted: set[str],
    limits: Limits,
) -> list[Stage]:
    """Cut layers on maps into a stage for single images and, where it pays, one for groups.

    Parameters
    ----------
    architecture : Architecture
    packed : dict of str to PackedConv
    layers : tuple of Layer
        In order.
    wanted : set of str
        Layers whose values are read after these stages, or asked for.
    limits : Limits
    """
    start, max_images = _grouped_from(architecture, packed, layers, limits)
    stages = []
    inputs = (INPUT,)
    for part, size, later in (
        (layers[:start], 1, layers[start:]),
        (layers[start:], max_images, ()),
    ):
        if not part:
            continue
        read_later = {name for layer in later for name in architecture.inputs(layer.name)}
        outputs = tuple(layer.name for layer in part if layer.name in wanted | read_later)
        own = {layer.name: packed[layer.name] for layer in part if layer.name in packed}
        stages.append(Stage(architecture, own, part, inputs, outputs, size, limits))
        inputs = tuple(name for name in outputs if name in read_later)
    return stages


def _grouped_from(
    architecture: Architecture,
    packed: Mapping[str, PackedConv],
    layers: tuple[Layer, ...],
    limits: Limits,
) -> tuple[int, int]:
    """The first layer of the grouped stage, and how many images it computes together.

    It begins at the first convolution whose weights are best read for several images; there is
    none if that is the first layer, which reads pixels.
    """
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    for i, layer in enumerate(layers):
        if not isinstance(layer, Conv):
            continue
        (source,) = architecture.inputs(layer.name)
        maps = shapes[source], shapes[layer.name]
        images = images_for_weights(layer, packed[layer.name], *maps, limits)
        if images > 1:
            power_of_two = 1 << (images.bit_length() - 1)
            return (i, min(limits.group_size, power_of_two)) if i else (len(layers), 1)
    return len(layers), 1
