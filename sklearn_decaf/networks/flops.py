"""Arithmetic of a network, layer by layer: multiply-adds and floating point operations.

A multiply-add counts as one in :func:`layer_multiply_adds`, as in most published totals, and as
two in :func:`layer_flops`. Counted is what the definition of a layer asks for; a fast algorithm
such as Winograd's convolution needs fewer, so that a rate in FLOP/s can exceed the processor's.
"""

from __future__ import annotations

import math
from functools import singledispatch

from .architecture import Architecture
from .layers import (
    LRN,
    Add,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Shape,
    Softmax,
)

__all__ = ["layer_flops", "layer_multiply_adds"]


def layer_multiply_adds(architecture: Architecture) -> dict[str, int]:
    """Count the multiply-adds of each layer for one image.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    dict of str to int
        By layer name, in order; 0 for layers that are neither convolutions nor fully connected.
        A bias is not counted.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> from sklearn_decaf.networks.flops import layer_multiply_adds
    >>> counts = layer_multiply_adds(get_architecture("caffenet"))
    >>> counts["conv1"], sum(counts.values())
    (105415200, 724406816)
    """
    shapes = architecture.shapes()
    counts = {}
    for layer in architecture.layers:
        counts[layer.name] = 0
        if isinstance(layer, Conv | Dense):
            parameters = architecture.layer_parameter_shapes(layer.name)
            # each position of the output takes one product a weight
            positions = math.prod(shapes[layer.name][:-1])
            counts[layer.name] = positions * math.prod(parameters[f"{layer.name}.kernel"])
    return counts


def layer_flops(architecture: Architecture) -> dict[str, int]:
    """Count the floating point operations of each layer for one image.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    dict of str to int
        By layer name, in order: two for each multiply-add, and one for each addition of a bias,
        comparison, division, power or exponential. Moving values costs nothing here.
    """
    multiply_adds = layer_multiply_adds(architecture)
    shapes = {"data": architecture.input_shape, **architecture.shapes()}
    return {
        layer.name: 2 * multiply_adds[layer.name]
        + _others(
            layer, shapes[layer.name], [shapes[name] for name in architecture.inputs(layer.name)]
        )
        for layer in architecture.layers
    }


@singledispatch
def _others(layer: Layer, output: Shape, inputs: list[Shape]) -> int:
    """Operations that are not multiply-adds."""
    return 0


@_others.register(Conv)
@_others.register(Dense)
@_others.register(Add)
@_others.register(ReLU)
def _one_a_value(layer, output, inputs):
    return math.prod(output)


@_others.register
def _max_pool(layer: MaxPool, output, inputs):
    return math.prod(output) * (layer.size**2 - 1)


@_others.register
def _lrn(layer: LRN, output, inputs):
    # a square, the sum over the window, times alpha plus k, the power, the division
    return math.prod(output) * (layer.size + 4)


@_others.register(GlobalAveragePool)
@_others.register(GlobalMaxPool)
def _one_an_input_value(layer, output, inputs):
    return math.prod(inputs[0])


@_others.register
def _softmax(layer: Softmax, output, inputs):
    # the largest, the differences, the exponentials, their sum, the quotients
    return 5 * math.prod(output)
