"""Nodes of ONNX graphs: what their attributes, and the constants that they read, say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from ...exceptions import WeightsError
from ._messages import describe
from ._onnx_tensors import ExternalFiles, Tensor

Described = tuple[str, dict[str, object]]  # kind and constants of a layer


@dataclass
class Node:
    """One step of the graph."""

    kind: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, object] = field(default_factory=dict)
    name: str = ""


@dataclass
class OnnxGraph:
    """The graph of a model.

    Attributes
    ----------
    nodes : list of Node
        In order.
    tensors : dict of str to Tensor
        Those with a name of their own.
    inputs : dict of str to list of int
        Axes of what it reads, 0 where an axis is left open; tensors may be among them.
    outputs : list of str
    opset : int
        Version of the operators.
    files : ExternalFiles
    size : int
        Bytes of the model.
    """

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, list[int] | None] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    opset: int = 0
    files: ExternalFiles = field(default_factory=lambda: ExternalFiles(None))
    size: int = 0

    def open_files(self) -> None:
        """Open all files with numbers, so that it is known which there are."""
        for tensor in self.tensors.values():
            if tensor.external is not None:
                with suppress(WeightsError):  # said to whoever wants the numbers
                    tensor.array(self.files)


@dataclass(frozen=True)
class Computed:
    """A constant that a node computes from others."""

    kind: str


@dataclass(frozen=True)
class Filled:
    """A constant of one number, repeated to a shape that nodes compute."""

    number: float


class Constants(dict):
    """Tensors, arrays and numbers that do not depend on the photographs, by names of blobs.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Those with a name in the graph.
    files : ExternalFiles
        Where numbers may be.
    """

    def __init__(self, tensors: Mapping[str, Tensor], files: ExternalFiles):
        super().__init__(tensors)
        self.files = files

    def numbers(self, blob: str, what: str) -> np.ndarray:
        """Floating point numbers of a constant."""
        value = self.get(blob)
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, Tensor):
            return value.numbers(self.files)
        if isinstance(value, Filled):
            raise WeightsError(f"{what} whose {describe(blob)} is {value.number:g} throughout")
        by = (
            f"computed by a node of kind {value.kind}" if isinstance(value, Computed) else "not one"
        )
        raise WeightsError(f"{what} whose {describe(blob)} should be a constant, and is {by}")

    def integers(self, node: Node, place: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an attribute, or in newer models an input; None if unknown."""
        if attribute in node.attributes:
            return integers_of(node, attribute, [])
        if place >= len(node.inputs) or not node.inputs[place]:
            return None
        value = self.get(node.inputs[place])
        if isinstance(value, Tensor):
            return value.small_integers()
        return [value] if type(value) is int else value if isinstance(value, list) else None

    def number(self, node: Node, place: int, attribute: str, default: float) -> float | None:
        """A number that is an attribute, or in newer models an input; None if unknown."""
        if attribute in node.attributes:
            value = node.attributes[attribute]
        elif place >= len(node.inputs) or not node.inputs[place]:
            return default
        else:
            value = self.get(node.inputs[place])
            value = value.small_float() if isinstance(value, Tensor) else value
        return float(value) if isinstance(value, int | float) else None


def integers_of(node: Node, name: str, default: list[int]) -> list[int]:
    """Whole numbers in an attribute."""
    found = node.attributes.get(name, default)
    found = found if isinstance(found, list) else [found]
    if not all(type(n) is int for n in found):
        raise WeightsError(f"a node of kind {describe(node.kind)} whose {name} are no integers")
    return found


def _pair(node: Node, name: str) -> tuple[int, int]:
    found = integers_of(node, name, [1, 1])
    if len(found) != 2:
        raise WeightsError(f"a node of kind {describe(node.kind)} with {len(found)} {name}")
    return found[0], found[1]


def _pads(node: Node) -> tuple[int, ...] | str:
    """(top, left, bottom, right), or TensorFlow's rule that leads to them."""
    rule = node.attributes.get("auto_pad", "NOTSET")
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        return "same" if rule == "SAME_UPPER" else "same, the odd zero first"
    found = [0] * 4 if rule == "VALID" else integers_of(node, "pads", [0] * 4)
    if len(found) != 4:
        raise WeightsError(f"a node of kind {describe(node.kind)} with {len(found)} pads")
    return tuple(found)


def sum_of_pads(outside, inside):
    """Zeros of a Pad node and those of the node that reads it; None if they are not known."""
    if outside is None:
        return None
    if not isinstance(inside, tuple):
        return "by a rule, after a Pad node"
    return tuple(map(sum, zip(outside, inside)))


def spatial_pads(pads: list[int], axes: list[int]) -> tuple[int, ...] | None:
    """(top, left, bottom, right) of a Pad node, if it pads these axes of a map alone."""
    if len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        return None
    sides = {}
    for axis, before, after in zip(axes, pads, pads[len(axes) :]):
        sides[axis % 4] = before, after
    if any(sides.get(axis, (0, 0)) != (0, 0) for axis in (0, 1)):
        return None
    (top, bottom), (left, right) = sides.get(2, (0, 0)), sides.get(3, (0, 0))
    return top, left, bottom, right


def conv_constants(node: Node) -> dict[str, object]:
    return {
        "stride": _pair(node, "strides"),
        "pads": _pads(node),
        "dilation": _pair(node, "dilations"),
        "groups": integers_of(node, "group", [1])[0],
    }


def _max_pool(constants: Constants, node: Node) -> Described:
    return "max_pool", {
        "size": _pair(node, "kernel_shape"),
        "stride": _pair(node, "strides"),
        "pads": _pads(node),
        "dilation": _pair(node, "dilations"),
        "ceil_mode": bool(node.attributes.get("ceil_mode", 0)),
    }


def _average_pool(constants: Constants, node: Node) -> Described:
    return "average_pool", {"size": _pair(node, "kernel_shape"), "pads": _pads(node)}


def _mean(constants: Constants, node: Node) -> Described:
    axes = constants.integers(node, 1, "axes") or []
    over_maps = sorted(axis % 4 for axis in axes) == [2, 3]
    return ("average_pool" if over_maps else "ReduceMean"), {}


def _lrn(constants: Constants, node: Node) -> Described:
    numbers = {"alpha": ("alpha", 1e-4), "beta": ("beta", 0.75), "k": ("bias", 1.0)}
    found = {ours: constants.number(node, 9, *theirs) for ours, theirs in numbers.items()}
    return "lrn", {"size": integers_of(node, "size", [5])[0], **found}


def _clip(constants: Constants, node: Node) -> Described:
    low = constants.number(node, 1, "min", -math.inf)
    high = constants.number(node, 2, "max", math.inf)
    if low is None or high is None:
        return "Clip with bounds that are computed", {}
    if low != 0 or not high > 0:
        return f"Clip from {low:g} to {high:g}", {}
    return "relu", {"max_value": high}


def _concat(constants: Constants, node: Node) -> Described:
    axis = integers_of(node, "axis", [1])[0]
    return ("concat" if axis in (1, -3) else "Concat of another axis"), {}


def _softmax(constants: Constants, node: Node) -> Described:
    axis = integers_of(node, "axis", [-1])[0]
    return ("softmax" if axis in (1, -1) else "Softmax of another axis"), {}


KINDS: dict[str, Callable[[Constants, Node], Described]] = {
    "Relu": lambda constants, node: ("relu", {"max_value": math.inf}),
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda constants, node: ("average_pool", {}),
    "ReduceMean": _mean,
    "LRN": _lrn,
    "Add": lambda constants, node: ("add", {}),
    "Sum": lambda constants, node: ("add", {}),
    "Concat": _concat,
    "Softmax": _softmax,
}
