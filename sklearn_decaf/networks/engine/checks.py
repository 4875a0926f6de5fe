"""Checks, when a plan is made, of what the engine cannot run."""

from __future__ import annotations

from collections.abc import Sequence

from ..architecture import INPUT, Architecture
from ..layers import Conv, GlobalAveragePool, GlobalMaxPool, Layer, Shape


def check_outputs(architecture: Architecture, outputs: Sequence[str]) -> None:
    """Raise a ValueError unless all outputs are layers, and there is one."""
    if not outputs:
        raise ValueError("outputs is empty; name at least one layer")
    known = architecture.layer_names
    for name in outputs:
        if name not in known:
            raise ValueError(
                f"outputs: architecture {architecture.name!r} has no layer {name!r}; "
                f"it has {', '.join(known)}"
            )


def check_layers(
    architecture: Architecture, map_layers: Sequence[Layer], batch_layers: Sequence[Layer]
) -> None:
    """Raise an error that names the first layer that cannot be run where it stands.

    Parameters
    ----------
    architecture : Architecture
    map_layers : sequence of Layer
        The layers that run on the maps of one image or a group.
    batch_layers : sequence of Layer
        The layers that run on the whole batch, from the first fully connected one on.

    Raises
    ------
    TypeError
        If a layer is of a kind that has no step there.
    ValueError
        If a layer has options or inputs that its step cannot do with.
    """
    for layer in map_layers:
        if type(layer) is not Conv and not has_step(layer):
            raise TypeError(f"{_title(layer)} the engine has no step for this kind of layer")
    for layer in batch_layers:
        if type(layer) is Conv or type(layer).forward is Layer.forward:
            raise TypeError(
                f"{_title(layer)} it comes after a Dense or a Softmax layer, where the engine has "
                "no step for this kind of layer"
            )
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}

    def in_shapes(layer: Layer) -> list[Shape]:
        return [shapes[name] for name in architecture.inputs(layer.name)]

    for layer in (*map_layers, *batch_layers):
        if isinstance(layer, GlobalAveragePool | GlobalMaxPool) and len(in_shapes(layer)[0]) != 3:
            raise ValueError(
                f"{_title(layer)} it pools maps, and its input has shape {in_shapes(layer)[0]}"
            )
    for layer in map_layers:
        layer.check_step(*in_shapes(layer))


def has_step(layer: Layer) -> bool:
    """Tell whether the engine computes a layer on maps, convolutions aside."""
    return type(layer).compile_step is not Layer.compile_step


def _title(layer: Layer) -> str:
    return f"layer {layer.name!r} of type {type(layer).__name__}:"
