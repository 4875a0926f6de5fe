"""A program: layers on maps, compiled to a list of calls on fixed buffers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..._kernels.calls import CallList, Phase
from ..architecture import INPUT, Architecture
from ..layers import Layer
from .builder import ProgramBuilder
from .chains import split_chains
from .convolution_step import compile_convolution_step
from .convolutions import PackedConv
from .fusion import FusedConv, fuse
from .image_input import compile_image
from .limits import Limits
from .memory import NO_PADS, Maps
from .schedule import Schedule, schedule_chain
from .steps import Step


@dataclass(eq=False)
class Program:
    """A list of calls on buffers of its own, for one caller at a time.

    Parameters
    ----------
    call_list : CallList
        Takes an image of shape (h, w * 3), or for each input an array of shape (n, h, w, c), and
        gives one for each output.
    layers_of_phases : list of tuple of str
        The layers that each phase of the call list computes; none: the preprocessing, or copies.
    steps : list of tuple of str
        The layers that each step computes, in order.
    maps : dict of str to Maps
        Where the values of layers lie, some of them only for a while.
    """

    call_list: CallList
    layers_of_phases: list[tuple[str, ...]]
    steps: list[tuple[str, ...]]
    maps: dict[str, Maps]

    def seconds_by_layers(self, seconds: np.ndarray) -> dict[tuple[str, ...], float]:
        """Add up the seconds of the phases by the layers that they compute."""
        totals = {(): 0.0, **dict.fromkeys(self.steps, 0.0)}
        for layers, time in zip(self.layers_of_phases, seconds):
            totals[layers] += float(time)
        return totals


def compile_program(
    architecture: Architecture,
    packed: Mapping[str, PackedConv],
    layers: Sequence[Layer],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    n_images: int = 1,
    n_parts: int = 1,
    pixels=np.uint8,
    limits: Limits,
) -> Program:
    """Compile layers that work on maps.

    Parameters
    ----------
    architecture : Architecture
    packed : dict of str to PackedConv
        The weights of the convolutions; only read, so that programs share them.
    layers : sequence of Layer
        What is to be computed, in order.
    inputs : sequence of str
        What the program is given: `INPUT` alone, or layers.
    outputs : sequence of str
        Layers whose values it hands out.
    n_images : int, default=1
        Images computed at a time.
    n_parts : int, default=1
        Threads among which each step is divided.
    pixels : dtype, default=uint8
        Of the image, uint8 or float32, where `INPUT` is the input.
    limits : Limits

    Returns
    -------
    Program
    """
    limits = limits.for_parts(n_parts)
    fused = fuse(architecture, layers, outputs)
    builder = ProgramBuilder(architecture, packed, fused, n_images, n_parts, limits)
    loading, sources = _compile_inputs(builder, inputs, pixels)
    steps = [compile_step(layer, builder) for layer in fused]
    schedule = _schedule(builder, steps, outputs)
    storing, results = _compile_outputs(builder, outputs)
    phases = [*loading, *(phase for _, phase in schedule), *storing]
    layers_of_phases = [
        *(() for _ in loading),
        *(step.layers for step, _ in schedule),
        *(() for _ in storing),
    ]
    return Program(
        CallList(phases, sources, results),
        layers_of_phases,
        [step.layers for step in steps],
        builder.maps,
    )


def compile_step(layer: Layer | FusedConv, builder: ProgramBuilder) -> Step:
    """Make the step of a layer, or of layers that are computed together."""
    if isinstance(layer, FusedConv):
        return compile_convolution_step(layer, builder)
    return layer.compile_step(builder)


def _schedule(builder: ProgramBuilder, steps: list[Step], outputs: Collection[str]) -> Schedule:
    """Order what computes the steps, and give memory back as soon as it is read for the last
    time.
    """
    reads_left = builder.count_reads(outputs)
    schedule: Schedule = []
    for chain in split_chains(steps, builder.limits):
        inside = [name for step in chain for name in step.sources]
        kept = {
            step.output
            for step in chain
            if reads_left.get(step.output, 0) > inside.count(step.output)
        }
        schedule += schedule_chain(chain, kept, builder.arena, builder.limits)
        for name in inside:
            reads_left[name] -= 1
            if reads_left[name] == 0:
                builder.give_back(name)
        builder.workspace.release()
    return schedule


def _compile_inputs(
    builder: ProgramBuilder, inputs: Sequence[str], pixels
) -> tuple[list[Phase], list[np.ndarray]]:
    """The phases that take over the inputs, and the arrays where they are expected."""
    if tuple(inputs) == (INPUT,):
        phases, image = compile_image(builder, pixels)
        return phases, [image]
    copies: Phase = []
    arrays = []
    for name in inputs:
        maps = builder.new_maps(name)
        maps.allocate(builder.arena)
        if maps.pads == NO_PADS:
            arrays.append(maps.array)
            continue
        plain = np.zeros((builder.n_images, *maps.shape), np.float32)
        arrays.append(plain)
        copies += builder.copies(plain, maps.rows(0, maps.shape[0]))
    return ([copies] if copies else []), arrays


def _compile_outputs(
    builder: ProgramBuilder, outputs: Sequence[str]
) -> tuple[list[Phase], list[np.ndarray]]:
    """The phases that make the outputs contiguous, and the arrays where they are."""
    copies: Phase = []
    arrays = []
    for name in outputs:
        maps = builder.maps[name]
        rows = maps.rows(0, maps.shape[0])
        if not rows.flags.c_contiguous:
            plain = np.empty(rows.shape, np.float32)
            copies += builder.copies(rows, plain)
            rows = plain
        arrays.append(rows)
    return ([copies] if copies else []), arrays
