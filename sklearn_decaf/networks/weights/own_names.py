"""Parameters of any architecture, by the package's names, ``<layer>.<parameter>``, or torch's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ...exceptions import WeightsError
from ..architecture import Architecture
from ..formats._messages import describe
from ..layers import Shape
from .conversion import as_parameter, matched_parameters
from .layouts.base import NUMBER_OF_BATCHES, Candidate, Layout, torch_entries
from .matching import Match


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
    return {
        name: as_parameter(name, arrays[name], keep_view=keep_views)
        for name in architecture.parameter_shapes()
        if name in arrays
    }


# A state dict of torch whose modules are called as the layers are.
_TORCH = Layout("torch's names of modules", (), torch_entries, "oihw", NUMBER_OF_BATCHES)


def told_parameters(
    arrays: Mapping[str, np.ndarray], architecture: Architecture, *, keep_views: bool = False
) -> tuple[str, dict[str, np.ndarray]]:
    """The parameters of an architecture, by the package's names or by torch's.

    Returns
    -------
    names : str
        How they are called.
    parameters : dict of str to ndarray

    Raises
    ------
    WeightsError
        If they are those of another network. It names the first parameter that is.
    """
    expected = _TORCH.shapes(architecture)
    if not expected.keys() & arrays.keys() - architecture.parameter_shapes().keys():
        parameters = own_parameters(arrays, architecture, keep_views=keep_views)
        check_completeness(parameters, architecture)
        return "own", parameters
    arrays = {
        name: array for name, array in arrays.items() if not re.fullmatch(_TORCH.ignored, name)
    }
    check_parameters(arrays, architecture, expected)
    match = Match(Candidate(_TORCH, architecture), architecture, arrays)
    parameters = matched_parameters(match, keep_views=keep_views)
    check_completeness(parameters, architecture)
    return _TORCH.name, parameters


def check_parameters(
    arrays: Mapping[str, np.ndarray],
    architecture: Architecture,
    expected: Mapping[str, Shape] | None = None,
) -> None:
    """Raise a WeightsError unless arrays have names and shapes of an architecture's parameters.

    Some may be missing. The first one is named that has another shape, or that is not known.
    """
    expected = architecture.parameter_shapes() if expected is None else expected
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
