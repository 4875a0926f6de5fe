"""Fusion of layers that are computed together: a convolution with what follows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..architecture import INPUT, Architecture
from ..layers import Add, Concat, Conv, Layer, ReLU
from ..layers.activations import Activation


@dataclass
class FusedConv:
    """A convolution together with what is fused into it.

    Parameters
    ----------
    conv : Conv
    inputs : tuple of str
        What is read: the convolution's input, and the residual if there is one.
    layers : tuple of str
        All that is computed, in order.
    has_residual : bool
        Whether the last of the inputs is added to the convolution.
    activation : Activation, optional
    concat : str, optional
        The concatenation into which the value is written at once.
    """

    conv: Conv
    inputs: tuple[str, ...]
    layers: tuple[str, ...]
    has_residual: bool = False
    activation: Activation | None = None
    concat: str | None = None

    @property
    def name(self) -> str:
        """The last layer fused, whose value is computed."""
        return self.layers[-1]

    @property
    def residual(self) -> str | None:
        """The layer whose value is added to the convolution's."""
        return self.inputs[-1] if self.has_residual else None

    @property
    def bounds(self) -> tuple[np.float32, np.float32]:
        """Lowest and highest value that a fused ReLU lets through."""
        if isinstance(self.activation, ReLU):
            return np.float32(0), np.float32(self.activation.max_value)
        return np.float32(-np.inf), np.float32(np.inf)

    @property
    def works_in_place(self) -> bool:
        """Whether the activation is applied to values that were written, while they are near."""
        return self.activation is not None and not isinstance(self.activation, ReLU)


def fuse(
    architecture: Architecture, layers: Sequence[Layer], outputs: Collection[str]
) -> list[Layer | FusedConv]:
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
    list of Layer and FusedConv
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

    result: list[Layer | FusedConv] = []
    swallowed: set[str] = set()
    for layer in layers:
        if layer.name in swallowed:
            continue
        if not isinstance(layer, Conv):
            result.append(layer)
            continue
        (source,) = architecture.inputs(layer.name)
        fused = FusedConv(layer, (source,), (layer.name,))
        reader = only_reader(fused.name)
        product = not layer.is_depthwise(shapes[source][-1])
        # sums in double precision are rounded before anything is added, wanted or not
        if isinstance(reader, Add) and product and not layer.double_precision:
            (other,) = (name for name in architecture.inputs(reader.name) if name != layer.name)
            if position[other] < position[layer.name]:
                fused.has_residual = True
                fused.inputs += (other,)
                fused.layers += (reader.name,)
                reader = only_reader(fused.name)
        if isinstance(reader, Activation):
            fused.activation = reader
            fused.layers += (reader.name,)
            reader = only_reader(fused.name)
        if product and not fused.has_residual and isinstance(reader, Concat):
            fused.concat = reader.name
        swallowed.update(fused.layers)
        result.append(fused)
    return result
