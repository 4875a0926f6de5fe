"""Arithmetic of a network, layer by layer: multiply-adds and floating point operations.

A multiply-add counts as one in :func:`layer_multiply_adds`, as in most published totals, and as
two in :func:`layer_flops`. Counted is what the definition of a layer asks for; a fast algorithm
such as Winograd's convolution needs fewer, so that a rate in FLOP/s can exceed the processor's.
"""

from __future__ import annotations

from collections.abc import Iterator

from .architecture import INPUT, Architecture
from .layers import Layer, Shape

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
    return {
        layer.name: layer.multiply_adds(*shapes) for layer, shapes in _with_inputs(architecture)
    }


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
    return {
        layer.name: 2 * layer.multiply_adds(*shapes) + layer.other_operations(*shapes)
        for layer, shapes in _with_inputs(architecture)
    }


def _with_inputs(architecture: Architecture) -> Iterator[tuple[Layer, list[Shape]]]:
    """Yield each layer and the shapes of its inputs."""
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    for layer in architecture.layers:
        yield layer, [shapes[name] for name in architecture.inputs(layer.name)]
