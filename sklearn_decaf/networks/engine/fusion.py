"""Which layers are computed together: a convolution with what follows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..architecture import INPUT, Architecture
from ..layers import Add, Concat, Conv, Layer, ReLU


@dataclass
class ConvStep:
    """A convolution together with what is fused into it."""

    conv: Conv
    output: str  # the last layer fused, whose value the step computes
    residual: str | None = None  # a layer whose value is added to the convolution's
    relu: ReLU | None = None
    layers: tuple[str, ...] = ()  # all layers that the step computes, in order
    concat: str | None = None  # the concatenation into which the value is written at once

    @property
    def limits(self) -> tuple[np.float32, np.float32]:
        """Lowest and highest value that the fused ReLU lets through."""
        if self.relu is None:
            return np.float32(-np.inf), np.float32(np.inf)
        return np.float32(0), np.float32(self.relu.max_value)


def fuse(
    architecture: Architecture, layers: Sequence[Layer], outputs: Collection[str]
) -> list[Layer | ConvStep]:
    """Merge each convolution with its successors, wherever nobody else wants what lies between.

    Parameters
    ----------
    architecture : Architecture
    layers : sequence of Layer
        What is to be computed, in order.
    outputs : collection of str
        Layers whose values are wanted: those are never fused away.

    Returns
    -------
    list of Layer and ConvStep
        In an order in which each reads only earlier ones.
    """
    read = (name for layer in layers for name in architecture.inputs(layer.name))
    position = dict.fromkeys(read, -1)  # what no layer here computes is there before
    position.update({layer.name: i for i, layer in enumerate(layers)})
    readers: dict[str, list[Layer]] = {name: [] for name in position}
    for layer in layers:
        for name in architecture.inputs(layer.name):
            readers[name].append(layer)

    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}

    def only_reader(name: str) -> Layer | None:
        alone = len(readers[name]) == 1 and name not in outputs
        return readers[name][0] if alone else None

    def is_depthwise(conv: Conv) -> bool:
        (source,) = architecture.inputs(conv.name)
        return conv.is_depthwise(shapes[source][-1])

    fused: list[Layer | ConvStep] = []
    swallowed: set[str] = set()
    for layer in layers:
        if layer.name in swallowed:
            continue
        if not isinstance(layer, Conv):
            fused.append(layer)
            continue
        step = ConvStep(layer, output=layer.name, layers=(layer.name,))
        reader = only_reader(step.output)
        product = not is_depthwise(layer)
        # sums in double precision are rounded before anything is added, wanted or not
        if isinstance(reader, Add) and product and not layer.double_precision:
            (other,) = (name for name in architecture.inputs(reader.name) if name != layer.name)
            if position[other] < position[layer.name]:
                step.residual, step.output = other, reader.name
                step.layers += (reader.name,)
                swallowed.add(reader.name)
                reader = only_reader(step.output)
        if isinstance(reader, ReLU):
            step.relu, step.output = reader, reader.name
            step.layers += (reader.name,)
            swallowed.add(reader.name)
            reader = only_reader(step.output)
        if product and step.residual is None and isinstance(reader, Concat):
            step.concat = reader.name
        fused.append(step)
    return fused
