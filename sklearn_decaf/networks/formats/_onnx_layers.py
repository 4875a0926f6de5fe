"""The layers of an ONNX graph: which nodes compute what, with which constants and parameters."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...exceptions import WeightsError
from ._arrays import fold_batch_norm, zeros
from ._contents import NETWORK_INPUT, FileLayer, LayerList
from ._messages import describe
from ._onnx_nodes import (
    KINDS,
    Computed,
    Constants,
    Filled,
    Node,
    conv_constants,
    integers_of,
    spatial_pads,
    sum_of_pads,
)
from ._onnx_tensors import ExternalFiles, Tensor

# Steps that hand on their first input: they change its shape, its precision, or nothing.
_HANDED_ON = frozenset(
    ["Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"]
)
_RESHAPED = frozenset(["Reshape", "Squeeze", "Unsqueeze"])
_MEASURES = frozenset(["Shape", "Size"])
_FLOATING = (1, 10, 11, 16)  # types that a Cast may lead to
_QUANTISED = frozenset(
    ["ConvInteger", "MatMulInteger", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"]
)
_PRODUCTS = frozenset(["Conv", "Gemm", "MatMul"])
_OWN_DOMAINS = ("", "ai.onnx")
# What landmarks are called: their order tells Caffe's two AlexNets apart.
_LANDMARKS = {"max_pool": "pool", "lrn": "norm"}
# Bytes of kernels with normalisations folded in, for each byte of the model.
_MAX_FOLDED = 4
# torchvision's and MXNet's SqueezeNet
_TELLING = re.compile(
    r"([\w.]{1,80}[./])?(features\.\d{1,2}(\.(squeeze|expand1x1|expand3x3))?|classifier\.1)\."
    r"(weight|bias)|squeezenet\d_conv\d{1,2}_(weight|bias)"
)


@dataclass
class Parameters:
    """Weight, filters or outputs first, and bias of a layer; and their names."""

    weight: np.ndarray
    bias: np.ndarray
    names: tuple[str, str]


class GraphReader:
    """Goes through the nodes of a graph in order.

    Parameters
    ----------
    nodes : list of Node
    tensors : mapping of str to Tensor
        Those with a name in the graph.
    files : ExternalFiles
    size : int
        Bytes of the model.
    """

    def __init__(self, nodes, tensors: Mapping[str, Tensor], files: ExternalFiles, size: int):
        self._constants = Constants(tensors, files)
        self._size = size
        self._folded = 0
        self._readers = Counter(name for node in nodes for name in node.inputs)
        self._list = LayerList()
        self._parameters: dict[int, Parameters] = {}  # by position of the layer
        self._fresh: dict[str, int] = {}  # blobs that are the output of such a layer
        self._padded: dict[str, tuple[str, tuple[int, ...] | None]] = {}  # blob before, pads
        for node in nodes:
            self._add(node)

    def result(self) -> tuple[dict[str, np.ndarray], tuple[FileLayer, ...]]:
        """Parameters by name, and the layers."""
        keep = _keep_names([p.names for p in self._parameters.values()])
        arrays: dict[str, np.ndarray] = {}
        layers, seen = [], Counter()
        for position, layer in enumerate(self._list.layers):
            if position in self._parameters:
                parameters = self._parameters[position]
                name = f"node{seen['node']}"
                seen["node"] += 1
                names = parameters.names if keep else (f"{name}.weight", f"{name}.bias")
                arrays.update(zip(names, (parameters.weight, parameters.bias)))
                layer = replace(layer, name=name, kernel=names[0])
            elif layer.kind in _LANDMARKS:
                kind = _LANDMARKS[layer.kind]
                seen[kind] += 1
                layer = replace(layer, name=f"{kind}{seen[kind]}")
            layers.append(layer)
        return arrays, tuple(layers)

    # -- nodes --

    def _add(self, node: Node) -> None:
        own = [name for name in node.inputs if name and name not in self._constants]
        if not own or (node.kind == "CastLike" and node.inputs[0] not in own):
            self._add_constant(node)
        elif node.kind in _MEASURES:
            self._constants.update(dict.fromkeys(node.outputs, Computed(node.kind)))
        elif node.kind in _PRODUCTS and node.inputs[0] in own:
            self._add_product(node)
        elif node.kind == "Pad":
            self._add_pad(node, own)
        elif self._is_part_of_product(node, own):
            return
        elif node.kind in _HANDED_ON or self._does_nothing(node, own):
            self._list.skip([self._without_pads(own[0])], node.outputs)
        else:
            read = KINDS.get(node.kind)
            kind, constants = (node.kind[:60], {}) if read is None else read(self._constants, node)
            if kind in ("max_pool", "average_pool") and own[0] in self._padded:
                own[0], pads = self._padded[own[0]]
                constants["pads"] = sum_of_pads(pads, constants.get("pads"))
            self._layer(kind, own, node.outputs, constants)

    def _layer(self, kind: str, inputs: list[str], outputs: list[str], constants) -> int:
        inputs = [self._without_pads(name) for name in inputs]
        self._list.add(outputs[0] if outputs else kind, kind, inputs, outputs, constants)
        return len(self._list.layers) - 1

    def _without_pads(self, blob: str) -> str:
        """The blob. If it is padded, and what reads it cannot pad, a layer does that first."""
        if blob in self._padded:
            before, _ = self._padded.pop(blob)
            self._layer("Pad", [before], [blob], {})
        return blob

    def _does_nothing(self, node: Node, own: list[str]) -> bool:
        if node.kind == "Transpose":  # of the photographs
            return self._list.source(own[0]) == NETWORK_INPUT
        if node.kind == "AveragePool":  # how torch writes AlexNet's adaptive pooling
            window = (node.attributes.get("kernel_shape"), node.attributes.get("strides", [1, 1]))
            return window == ([1, 1], [1, 1])
        return False

    # -- constants --

    def _add_constant(self, node: Node) -> None:
        value: object = Computed(node.kind)
        attributes = node.attributes
        if node.kind == "Constant":
            value = next(
                (
                    attributes[name]
                    for name in ("value", "sparse_value", "value_float", "value_ints", "value_int")
                    if name in attributes
                ),
                value,
            )
            if isinstance(value, Tensor) and node.outputs:
                value = replace(value, name=node.outputs[0])
        elif node.kind == "ConstantOfShape":
            value = Filled(self._constants.number(node, 9, "value", 0.0) or 0.0)
        elif node.inputs and node.inputs[0]:
            value = self._derived(node, self._constants[node.inputs[0]], value)
        self._constants.update(dict.fromkeys(node.outputs, value))

    def _derived(self, node: Node, value: object, otherwise: object) -> object:
        """Compute what a node makes of a constant, as far as that is needed to find parameters."""
        to_float = node.kind == "Cast" and node.attributes.get("to") in _FLOATING
        if node.kind in ("Identity", "CastLike") or to_float:
            return value
        if node.kind == "Expand":
            number = value.small_float() if isinstance(value, Tensor) else value
            return Filled(number) if isinstance(number, int | float) else otherwise
        if node.kind in _RESHAPED and isinstance(value, Tensor):
            return value if value.small_integers() is not None else otherwise
        is_array = isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_float)
        return self._transposed(node) if node.kind == "Transpose" and is_array else otherwise

    def _transposed(self, node: Node) -> np.ndarray:
        array = self._constants.numbers(node.inputs[0], "a Transpose node")
        axes = integers_of(node, "perm", list(range(array.ndim))[::-1])
        if sorted(axes) != list(range(array.ndim)):
            raise WeightsError("a Transpose node with axes that are none")
        return array.transpose(axes)

    # -- layers with parameters --

    def _add_product(self, node: Node) -> None:
        if len(node.inputs) < 2:
            raise WeightsError(f"a {node.kind} node without a weight")
        weight = self._constants.numbers(node.inputs[1], f"a {node.kind} node")
        if node.kind == "MatMul":
            weight = weight.T
        elif node.kind == "Gemm":
            if node.attributes.get("alpha", 1) != 1 or node.attributes.get("beta", 1) != 1:
                raise WeightsError("a Gemm node that scales its operands")
            if node.attributes.get("transA", 0):
                raise WeightsError("a Gemm node that is no dense layer")
            weight = weight if node.attributes.get("transB", 0) else weight.T
        if weight.ndim != (4 if node.kind == "Conv" else 2):
            raise WeightsError(f"a {node.kind} node whose weight has {weight.ndim} axes")
        has_bias = len(node.inputs) > 2 and node.inputs[2]
        bias = None
        if has_bias and not self._is_zero(node.inputs[2]):
            bias = self._constants.numbers(node.inputs[2], f"a {node.kind} node")
        name = self._name(node.inputs[1])
        names = name, self._name(node.inputs[2]) if has_bias else name.replace("weight", "bias")
        source, constants = node.inputs[0], {}
        if node.kind == "Conv":
            constants = conv_constants(node)
            if source in self._padded:
                source, pads = self._padded[source]
                constants["pads"] = sum_of_pads(pads, constants.get("pads"))
        kind = "conv" if node.kind == "Conv" else "dense"
        position = self._layer(kind, [source], node.outputs, constants)
        bias = zeros(len(weight)) if bias is None else bias.reshape(-1) if kind == "dense" else bias
        self._parameters[position] = Parameters(weight, bias, names)
        self._fresh.update(dict.fromkeys(node.outputs, position))

    def _is_zero(self, blob: str) -> bool:
        """Tell whether a bias is nothing but zeros."""
        value = self._constants.get(blob)
        return isinstance(value, Filled) and value.number == 0

    def _name(self, blob: str) -> str:
        """Name of a constant before nodes handed it on."""
        value = self._constants.get(blob)
        return value.name if isinstance(value, Tensor) else blob

    def _is_part_of_product(self, node: Node, own: list[str]) -> bool:
        """Take up a node that only scales and shifts the layer before it; tell whether it does."""
        if node.kind == "BatchNormalization":
            return self._fold(node)
        return node.kind == "Add" and len(own) == 1 and self._add_bias(node, own[0])

    def _fold(self, node: Node) -> bool:
        """Make a batch normalisation part of the layer before it; tell whether that is possible."""
        position = self._fresh.get(node.inputs[0])
        alone = self._readers[node.inputs[0]] == 1
        if position is None or not alone or len(node.inputs) != 5:
            return False
        if node.attributes.get("training_mode", 0):
            raise WeightsError("a batch normalisation in training mode; export in inference mode")
        parameters = self._parameters[position]
        numbers = [
            self._constants.numbers(name, "a batch normalisation") for name in node.inputs[1:]
        ]
        filters = (parameters.bias.size,)  # a damaged bias has other axes
        if any(one.shape != filters for one in (*numbers, parameters.bias)):
            raise WeightsError(f"a batch normalisation that does not fit {filters[0]} filters")
        self._folded += 4 * parameters.weight.size
        if self._folded > _MAX_FOLDED * (self._size + self._constants.files.size):
            raise WeightsError("batch normalisations of more kernels than the model has")
        weight, bias, mean, var = numbers
        kernel = np.moveaxis(parameters.weight, 0, -1)
        epsilon = self._constants.number(node, 9, "epsilon", 1e-5)
        if epsilon is None or not 0 <= epsilon < math.inf:
            raise WeightsError("a batch normalisation whose epsilon is no number")
        kernel, shift = fold_batch_norm(
            kernel, weight, bias, mean - parameters.bias.astype(np.float64), var, epsilon
        )
        with np.errstate(over="ignore"):  # numbers that are too large are noticed later
            kernel = np.moveaxis(kernel, -1, 0).astype(np.float32)
        self._parameters[position] = replace(parameters, weight=kernel, bias=shift)
        self._hand_on(position, node.inputs[0], node)
        return True

    def _add_bias(self, node: Node, blob: str) -> bool:
        """Make an added constant part of the layer before it; tell whether that is possible."""
        position = self._fresh.get(blob)
        if position is None or self._readers[blob] != 1 or len(node.inputs) != 2:
            return False
        (constant,) = (name for name in node.inputs if name != blob)
        added = self._constants.numbers(constant, "an Add node")
        parameters = self._parameters[position]
        axis = -3 if self._list.layers[position].kind == "conv" else -1
        filters = parameters.bias.size
        fits = added.ndim >= -axis and added.shape[axis] == filters == added.size
        if not fits or parameters.bias.ndim != 1:
            return False
        self._parameters[position] = replace(parameters, bias=parameters.bias + added.reshape(-1))
        self._hand_on(position, blob, node)
        return True

    def _hand_on(self, position: int, blob: str, node: Node) -> None:
        """Let a node that reads a blob be part of the layer that wrote it."""
        self._list.skip([blob], node.outputs)
        self._fresh.update(dict.fromkeys(node.outputs, position))

    def _add_pad(self, node: Node, own: list[str]) -> None:
        before = self._without_pads(own[0])
        pads = self._constants.integers(node, 1, "pads")
        with_zeros = node.attributes.get("mode", "constant") == "constant" and (
            self._constants.number(node, 2, "value", 0.0) == 0.0
        )
        if pads is not None:  # unless they are computed from the size of the map
            axes = self._constants.integers(node, 3, "axes") or list(range(len(pads) // 2))
            pads = spatial_pads(pads, axes)
            with_zeros = with_zeros and pads is not None
        if not with_zeros or before != node.inputs[0]:
            self._layer("Pad", [before], node.outputs, {})
            return
        self._list.skip([before], node.outputs)
        self._padded.update(dict.fromkeys(node.outputs, (before, pads)))


def refuse_what_was_converted(nodes: list[Node]) -> None:
    """Raise an error for models that were made from others, in which weights mean something else.

    Raises
    ------
    WeightsError
        If a model is quantised, or was optimised for one program.
    """
    for node in nodes:
        if node.kind in _QUANTISED or node.kind.startswith("QLinear") or node.kind == "QGemm":
            raise WeightsError(
                f"a quantised model (it has nodes of kind {node.kind}), whose weights are whole "
                "numbers: give the floating point model that it was made from"
            )
        if node.domain not in _OWN_DOMAINS and ("Conv" in node.kind or "Gemm" in node.kind):
            raise WeightsError(
                f"a node of kind {describe(node.kind)} of {describe(node.domain)}: the model was "
                "optimised for one program; give the one that it was made from"
            )


def _keep_names(pairs: list[tuple[str, str]]) -> bool:
    """Tell whether the names of parameters say which SqueezeNet it is."""
    names = [name for pair in pairs for name in pair]
    if len(set(names)) != len(names) or not any("squeeze" in name for name in names):
        return False
    return all(_TELLING.fullmatch(name) for name in names)
