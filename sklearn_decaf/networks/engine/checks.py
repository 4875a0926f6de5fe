"""What the engine cannot run, said when a plan is made."""

from __future__ import annotations

from collections.abc import Sequence

from ..architecture import INPUT, Architecture
from ..layers import Conv, Dense, GlobalAveragePool, GlobalMaxPool, Layer, Shape
from .batch_stage import NUMPY_KINDS
from .layer_steps import CHECKS, STEPS


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
        if type(layer) is not Conv and type(layer) not in STEPS:
            raise TypeError(f"{_title(layer)} the engine has no step for this kind of layer")
    for layer in batch_layers:
        if type(layer) is not Dense and type(layer) not in NUMPY_KINDS:
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
        if type(layer) in CHECKS:
            CHECKS[type(layer)](layer, *in_shapes(layer))
    _check_image_is_read_by_a_convolution(architecture, (*map_layers, *batch_layers))


def _check_image_is_read_by_a_convolution(
    architecture: Architecture, layers: Sequence[Layer]
) -> None:
    first, *others = (layer for layer in layers if INPUT in architecture.inputs(layer.name))
    if type(first) is not Conv or others:
        wrong = others[0] if type(first) is Conv else first
        raise ValueError(
            f"{_title(wrong)} it reads the image; in the engine the image has to be read by one "
            "convolution, the first layer, and by nothing else"
        )


def _title(layer: Layer) -> str:
    return f"layer {layer.name!r} of type {type(layer).__name__}:"
