"""Parameters by the package's own names, ``<layer>.<parameter>``, for any architecture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Architecture
from ..formats._messages import describe
from .conversion import _check_numbers, _finish


def own_parameters(
    arrays: Mapping[str, np.ndarray], architecture: Architecture, *, keep_views: bool = False
) -> dict[str, np.ndarray]:
    """Arrays that already have the names and the axes of an architecture's parameters.

    Raises
    ------
    WeightsError
        If they are those of another network. It names the first parameter that is.
    """
    check_parameters(arrays, architecture)
    parameters = {}
    for name in architecture.parameter_shapes():
        if name in arrays:
            _check_numbers(name, arrays[name])
            parameters[name] = _finish(arrays[name], name, keep_views)
    return parameters


def check_parameters(arrays: Mapping[str, np.ndarray], architecture: Architecture) -> None:
    """Raise a WeightsError unless arrays have names and shapes of an architecture's parameters.

    Some may be missing. The first one is named that has another shape, or that is not known.
    """
    expected = architecture.parameter_shapes()
    for name, shape in expected.items():
        found = arrays.get(name)
        if found is not None and found.shape != shape:
            raise WeightsError(
                f"{describe(name)} has shape {found.shape}; {architecture.name} has it as {shape}"
            )
    unknown = [name for name in arrays if name not in expected]
    if unknown or not arrays:
        found = describe(unknown[0]) if unknown else "no parameters at all"
        names = ", ".join(list(expected)[:3])
        raise WeightsError(
            f"{architecture.name} has no parameter {found}; it has {names}"
            f"{', ...' if len(expected) > 3 else ''}"
        )


def check_completeness(arrays: Mapping[str, np.ndarray], architecture: Architecture) -> None:
    """Raise a WeightsError that names the first parameter that is missing before one that is there.

    The last layers may be missing together: the others then serve what they reach.
    """
    present = [
        layer.name
        for layer in architecture.layers
        if any(key in arrays for key in architecture.layer_parameter_shapes(layer.name))
    ]
    for layer in architecture.ancestors(present):
        for name, shape in architecture.layer_parameter_shapes(layer.name).items():
            if name not in arrays:
                raise WeightsError(
                    f"{describe(name)} of shape {shape} is missing, which {architecture.name} has"
                )


def difference(one: Architecture, other: Architecture) -> str:
    """What is different in two networks: a parameter if there is one, or else a layer."""
    shapes, others = one.parameter_shapes(), other.parameter_shapes()
    for name in (*shapes, *others):
        if shapes.get(name) != others.get(name):
            found = " and ".join(
                f"{shapes_of[name]} in {net.name}" if name in shapes_of else f"not in {net.name}"
                for net, shapes_of in ((one, shapes), (other, others))
            )
            return f"{describe(name)} is {found}"
    for layer, another in zip(one.layers, other.layers):
        if layer != another:
            return f"layer {layer} is {another}"
    if one.preprocessing != other.preprocessing:
        return f"the input {one.preprocessing} is {other.preprocessing}"
    return "names of layers by number, pooling or aliases differ"
