"""Comparing what a file says about its layers with an architecture.

Constants that the architecture can have are taken from the file. Whatever else is different is a
reason not to compute a layer: the numbers in the file mean something else there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture
from ..formats._contents import ELSEWHERE, NETWORK_INPUT, FileLayer
from ..layers import (
    LRN,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    Layer,
    MaxPool,
    ReLU,
    Shape,
    Softmax,
)
from ..layers._windows import pair
from .variants import Changes, is_possible, with_changes

_KINDS: dict[type, tuple[str, ...]] = {
    Conv: ("conv", "dense"),  # a 1x1 convolution is a dense layer for each pixel
    Dense: ("dense", "conv"),
    MaxPool: ("max_pool", "pool"),
    GlobalAveragePool: ("average_pool", "pool"),
    LRN: ("lrn",),
    ReLU: ("relu",),
    Add: ("add",),
    Concat: ("concat",),
    Softmax: ("softmax",),
    BatchNorm: ("batch_norm", "BatchNorm"),
}
# What Caffe puts behind a batch normalisation, of which it is a part elsewhere.
_SCALE = "Scale"
# float32 in one file, float64 in the other
_RELATIVE = 1e-5


@dataclass
class Comparison:
    """Differences between the layers of a file and those of an architecture.

    Attributes
    ----------
    changes : Changes
        What is different and can be computed.
    problems : dict of str to str
        By layer: why it is not the one of the architecture.
    epsilons : dict of str to float
        Of batch normalisations, by the full name of their weight.
    """

    changes: Changes = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    epsilons: dict[str, float] = field(default_factory=dict)


def compare_layers(
    architecture: Architecture, layers: tuple[FileLayer, ...], kernels: Mapping[str, str]
) -> Comparison:
    """Compare the layers of a file, as far as it describes them, with an architecture.

    Parameters
    ----------
    architecture : Architecture
    layers : tuple of FileLayer
    kernels : mapping of str to str
        By names of layers of the architecture: the full name of their kernel in the file.
    """
    result = Comparison()
    net = architecture
    for layer in layers:
        if layer.kind == "input":
            _compare_input(net, layer, result)
        elif layer.kind == "batch_norm" and layer.constants.get("epsilon") is not None:
            result.epsilons[layer.kernel] = layer.constants["epsilon"]
    net = with_changes(architecture, result.changes)
    placed = _Placement(layers)
    waiting: dict[str, str] = {}  # changes that no network can have without others
    for layer in architecture.layers:
        place, problem = placed.find(layer, net.inputs(layer.name), kernels.get(layer.name))
        if problem:
            result.problems[layer.name] = problem
        if place is None:
            continue
        placed.of[layer.name] = place
        shape = net.input_shape if net.inputs(layer.name)[0] == INPUT else None
        shape = shape or net.shapes()[net.inputs(layer.name)[0]]
        fields, problem = _compare_constants(net[layer.name], layers[place], shape)
        if problem:
            result.problems[layer.name] = problem
        if not fields:
            continue
        result.changes[layer.name] = fields
        try:
            net = with_changes(architecture, result.changes)
            waiting.clear()
        except WeightsError:
            rest = {name: other for name, other in result.changes.items() if name not in waiting}
            try:
                net = with_changes(architecture, rest)
            except WeightsError as error:
                waiting[layer.name] = str(error)
    for name, problem in waiting.items():
        result.problems[name] = problem
        del result.changes[name]
    return result


class _Placement:
    """Finds the layers of an architecture in a file."""

    def __init__(self, layers: tuple[FileLayer, ...]):
        self.of: dict[str, int] = {INPUT: NETWORK_INPUT}
        self._absent: set[str] = set()  # from a file of a part of the network
        self._layers = layers
        self._by_kernel = {
            layer.kernel: i
            for i, layer in enumerate(layers)
            if layer.kernel and layer.kind != "batch_norm"
        }
        self._by_name = {layer.name: i for i, layer in enumerate(layers) if layer.inputs is None}
        self._readers: dict[int, list[int]] = defaultdict(list)
        for i, layer in enumerate(layers):
            for source in layer.inputs or ():
                self._readers[source].append(i)

    def find(
        self, layer: Layer, inputs: tuple[str, ...], kernel: str | None
    ) -> tuple[int | None, str]:
        """Position of a layer in the file, if it is there, and what is wrong with its place."""
        kinds = _KINDS.get(type(layer), ())
        sources = [self.of.get(name) for name in inputs]
        reads_absent = not self._absent.isdisjoint(inputs)
        if isinstance(layer, Conv | Dense):
            place = self._by_kernel.get(kernel) if kernel is not None else None
            if place is None:
                self._absent.add(layer.name)
                return None, ""
            found = self._layers[place]
            unknown = found.inputs is None or ELSEWHERE in found.inputs or reads_absent
            if unknown or found.inputs == tuple(sources):
                return place, "" if found.kind in kinds else f"it is a {found.kind} in the file"
            return place, f"it reads {self._names(found.inputs or ())} in the file"
        if layer.name in self._by_name:  # which is all that tells where it is
            place = self._by_name[layer.name]
            kind = self._layers[place].kind
            return place, "" if kind in kinds else f"it is a {kind} in the file"
        if reads_absent:
            self._absent.add(layer.name)
        placed = sorted(source for source in sources if source is not None)
        if len(placed) < len(sources):  # which was noted there, or the file has ended
            return None, ""
        readers = self._readers[placed[0]]
        for place in readers:
            found = self._layers[place]
            if found.kind in kinds and sorted(found.inputs or ()) == placed:
                return self._with_scale(layer, place), ""
        if not readers:  # the file ends here
            return None, ""
        there = " and ".join(dict.fromkeys(self._layers[place].kind for place in readers[:3]))
        return None, f"in its place the file has: {there}"

    def _with_scale(self, layer: Layer, place: int) -> int:
        """Position of the scale behind a batch normalisation, if there is one."""
        readers = self._readers[place]
        alone = len(readers) == 1 and self._layers[readers[0]].kind == _SCALE
        return readers[0] if alone and isinstance(layer, BatchNorm) else place

    def _names(self, inputs: tuple[int, ...]) -> str:
        return " and ".join(
            "the input" if i == NETWORK_INPUT else f"a layer of kind {self._layers[i].kind!r}"
            for i in inputs[:3]
        )


def _compare_input(net: Architecture, layer: FileLayer, result: Comparison) -> None:
    """Compare what a data layer does to photographs."""
    preprocessing, constants = net.preprocessing, layer.constants
    fields: dict[str, Any] = {}
    mean = constants.get("mean")
    if mean is not None:
        fields["mean"] = tuple(map(float, mean)) * (3 if len(mean) == 1 else 1)
    if "scale" in constants:
        scale = constants["scale"]
        std = (1 / scale,) * 3 if isinstance(scale, float) and scale > 0 else None
        fields["std"] = std
    if not all(is_possible(preprocessing, name, value) for name, value in fields.items()):
        result.problems[net.layers[0].name] = "the file scales its pictures in an unknown way"
        return
    if constants.get("grey"):
        result.problems[net.layers[0].name] = "the file wants its pictures grey"
    crop = constants.get("crop", preprocessing.crop)
    if crop != preprocessing.crop:
        result.problems[net.layers[0].name] = (
            f"the file crops its pictures to {crop} pixels, not {preprocessing.crop}"
        )
    fields = {
        name: value
        for name, value in fields.items()
        if not all(map(_close, value, getattr(preprocessing, name)))
    }
    if fields:
        result.changes[INPUT] = fields


def _compare_constants(layer: Layer, found: FileLayer, shape: Shape) -> tuple[dict, str]:
    """Fields of a layer that the file has otherwise, and what it has that no field can say."""
    stated = {name: value for name, value in found.constants.items() if value is not None}
    match layer:
        case Conv():
            return _compare_conv(layer, stated, shape)
        case MaxPool():
            return _compare_pool(layer, stated, shape)
        case LRN():
            fields = {
                name: value
                for name, value in stated.items()
                if not _close(value, getattr(layer, name))
            }
            if "size" in fields and stated["size"] % 2 == 0:
                return {}, f"it is over {stated['size']} channels, an even number"
            return _possible(layer, fields)
        case ReLU():
            bound = stated.get("max_value", layer.max_value)
            return _possible(layer, {} if _close(bound, layer.max_value) else {"max_value": bound})
        case GlobalAveragePool():
            size = stated.get("size", shape[:2])
            if tuple(size) != shape[:2] or any(stated.get("pads", ())):
                return {}, f"it is an average over {_by(size)} in the file"
    return {}, ""


def _compare_conv(layer: Conv, stated: dict, shape: Shape) -> tuple[dict, str]:
    groups = stated.get("groups", layer.groups)
    if groups != layer.groups:
        return {}, f"it has {groups} groups in the file, not {layer.groups}"
    return _with_padding(
        layer, _other_lengths(layer, stated, ("stride", "dilation")), stated, shape
    )


def _compare_pool(layer: MaxPool, stated: dict, shape: Shape) -> tuple[dict, str]:
    if tuple(stated.get("dilation", (1, 1))) != (1, 1):
        return {}, "it is dilated in the file"
    fields, problem = _with_padding(
        layer, _other_lengths(layer, stated, ("size", "stride")), stated, shape
    )
    if problem:
        return {}, problem
    pool = replace(layer, **fields)
    ceil = stated.get("ceil_mode", pool.ceil_mode)
    try:
        other = replace(pool, ceil_mode=ceil).output_shape(shape)
        if other != pool.output_shape(shape):
            fields["ceil_mode"] = ceil
    except ValueError as error:
        return {}, str(error)
    output = stated.get("output", other[:2])
    if tuple(output) != other[:2]:
        return {}, f"its output is {_by(output)} in the file, not {_by(other[:2])}"
    return fields, ""


def _other_lengths(layer: Conv | MaxPool, stated: dict, names: tuple[str, ...]) -> dict:
    """Those of (rows, columns) that are not the layer's."""
    other = {name: tuple(stated[name]) for name in names if name in stated}
    return {
        name: length if length[0] != length[1] else length[0]
        for name, length in other.items()
        if length != pair(getattr(layer, name))
    }


def _with_padding(
    layer: Conv | MaxPool, fields: dict, stated: dict, shape: Shape
) -> tuple[dict, str]:
    """Add the padding, where it is another one, to the fields that are different."""
    fields, problem = _possible(layer, fields)
    pads = stated.get("pads")
    if problem or pads is None:
        return fields, problem
    if isinstance(pads, str) and pads != "same":
        return {}, f"it is padded in the file: {pads}"
    changed = replace(layer, **fields)
    wanted = _sides(replace(changed, padding="same"), shape) if pads == "same" else pads
    top, left, bottom, right = wanted
    simple = top if top == left == bottom == right else ((top, bottom), (left, right))
    for padding in (layer.padding, "same" if pads == "same" else simple):
        if wanted == _sides(replace(changed, padding=padding), shape):
            other = {} if padding == layer.padding else {"padding": padding}
            return _possible(layer, {**fields, **other})
    return {}, f"it is padded in the file: top {top}, left {left}, bottom {bottom}, right {right}"


def _sides(layer: Conv | MaxPool, shape: Shape) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = layer.pads(shape)
    return top, left, bottom, right


def _possible(layer: Layer, fields: dict) -> tuple[dict, str]:
    for name, value in fields.items():
        is_infinity = name == "max_value" and value == math.inf
        if not is_infinity and not is_possible(layer, name, value):
            return {}, f"its {name} is {value} in the file"
    return fields, ""


def _by(lengths) -> str:
    return " x ".join(map(str, lengths))


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_RELATIVE)
