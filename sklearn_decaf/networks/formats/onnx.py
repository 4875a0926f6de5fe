"""ONNX models: the parameters of the convolutions and dense layers of a graph, in its order.

Exporters name parameters as they like, so the names say nothing; the order of the nodes does.
The i-th node with parameters gives ``node<i>.weight`` and ``node<i>.bias``, with filters or outputs
first. SqueezeNet is the exception: Caffe's wants BGR and others RGB, which the names that two
exporters give do say. Only the bytes of the model are read: data outside the file is refused, and
no library runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from ...exceptions import WeightsError
from ._arrays import MAX_DIMENSIONS, array_from_bytes
from ._messages import describe
from ._protobuf import BYTES, FIXED32, VARINT, FieldReader, text, varints

MAX_NODES = 10_000
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INTEGER = 1, 2, 3
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 13, 14
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
# layers without parameters whose order tells networks apart, and what messages call them
_LANDMARKS = {"MaxPool": "pool", "LRN": "norm"}


# torchvision's and MXNet's SqueezeNet
_TELLING = re.compile(
    r"(features\.\d{1,2}(\.(squeeze|expand1x1|expand3x3))?|classifier\.1)\.(weight|bias)"
    r"|squeezenet\d_conv\d{1,2}_(weight|bias)"
)


@dataclass
class _Node:
    kind: str = ""
    inputs: list[str] = field(default_factory=list)
    attributes: dict[str, float | int] = field(default_factory=dict)


def looks_like(data: memoryview) -> bool:
    """Whether a file begins like a model: with the version of its format, a small number."""
    return len(data) > 2 and data[0] == 0x08 and 3 <= data[1] <= 30


def read(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Parameters in the order of the nodes, as read-only views of ``data``."""
    reader = FieldReader()
    nodes: list[_Node] = []
    initializers: dict[str, np.ndarray | None] = {}
    for number, kind, graph in reader.fields(data):
        if number != _MODEL_GRAPH or kind != BYTES:
            continue
        for part, kind, message in reader.fields(graph):
            if kind != BYTES:
                continue
            if part == _GRAPH_NODE:
                nodes.append(_read_node(reader, message))
            elif part == _GRAPH_INITIALIZER:
                name, array = _read_tensor(reader, message)
                if name in initializers:
                    raise WeightsError(f"two tensors are called {describe(name)}")
                initializers[name] = array
    if not nodes or len(nodes) > MAX_NODES:
        raise WeightsError(f"a graph of {len(nodes)} nodes")
    return _in_order(nodes, initializers)


def _in_order(nodes, initializers) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    tensors: dict[str, np.ndarray] = {}
    layers: list[str] = []
    with_parameters = [name for node in nodes if node.kind == "Conv" for name in node.inputs[1:]]
    keep_names = any("squeeze" in name for name in with_parameters) and all(
        _TELLING.fullmatch(name) for name in with_parameters
    )
    for node in nodes:
        if node.kind in _LANDMARKS:
            name = _LANDMARKS[node.kind]
            layers.append(f"{name}{1 + sum(layer.startswith(name) for layer in layers)}")
        elif node.kind in ("Conv", "Gemm"):
            weight, bias = _parameters(node, initializers)
            name = f"node{len(tensors) // 2}"
            names = node.inputs[1:3] if keep_names else (f"{name}.weight", f"{name}.bias")
            tensors.update(zip(names, (weight, bias)))
            layers.append(name)
        elif node.kind in ("BatchNormalization", "MatMul", "ConvTranspose", "QLinearConv"):
            raise WeightsError(
                f"a node of kind {node.kind}: only Conv and Gemm nodes can hold parameters here; "
                "export the model in inference mode, with batch normalisation folded"
            )
    return tensors, {"network": "onnx", "layers": " ".join(layers)}


def _parameters(node: _Node, initializers) -> tuple[np.ndarray, np.ndarray]:
    """Weight, filters or outputs first, and bias of a Conv or Gemm node."""
    arrays = [initializers.get(name) for name in node.inputs[1:]]
    if len(arrays) != 2 or any(array is None for array in arrays):
        raise WeightsError(
            f"a {node.kind} node whose weight and bias are not both floating point tensors of "
            "the file"
        )
    weight, bias = arrays
    if node.kind == "Gemm":
        if node.attributes.get("alpha", 1) != 1 or node.attributes.get("beta", 1) != 1:
            raise WeightsError("a Gemm node that scales its operands")
        if node.attributes.get("transA", 0) or weight.ndim != 2:
            raise WeightsError("a Gemm node that is no dense layer")
        if not node.attributes.get("transB", 0):
            weight = weight.T
    return weight, bias


def _read_node(reader: FieldReader, message: memoryview) -> _Node:
    node = _Node()
    for number, kind, value in reader.fields(message):
        if kind != BYTES:
            continue
        if number == _NODE_INPUT:
            node.inputs.append(text(value))
        elif number == _NODE_TYPE:
            node.kind = text(value)
        elif number == _NODE_ATTRIBUTE:
            name, number_read = _read_attribute(reader, value)
            node.attributes[name] = number_read
    return node


def _read_attribute(reader: FieldReader, message: memoryview) -> tuple[str, float | int]:
    """Name of an attribute and its one number, 0 where it has none."""
    name, found = "", 0
    for number, kind, value in reader.fields(message):
        if number == _ATTRIBUTE_NAME and kind == BYTES:
            name = text(value)
        elif number == _ATTRIBUTE_INTEGER and kind == VARINT:
            found = value
        elif number == _ATTRIBUTE_FLOAT and kind == FIXED32:
            found = float(np.frombuffer(value, "<f4")[0])
    return name, found


def _read_tensor(reader: FieldReader, message: memoryview) -> tuple[str, np.ndarray | None]:
    """Name and numbers of a tensor; None for other types than floating point."""
    name, kind_of_numbers, axes, raw = "", 0, [], None
    for number, kind, value in reader.fields(message):
        if number == _NAME and kind == BYTES:
            name = text(value)
        elif number == _TYPE and kind == VARINT:
            kind_of_numbers = value
        elif number == _DIMS:
            axes += varints(value, MAX_DIMENSIONS) if kind == BYTES else [value]
        elif number in (_EXTERNAL, _LOCATION) and value != 0:
            raise WeightsError(f"tensor {describe(name)} is kept outside the file")
        elif number in (_RAW, _FLOATS):
            if kind != BYTES or raw is not None:
                raise WeightsError(f"tensor {describe(name)}: its numbers are not in one piece")
            raw = value
    if kind_of_numbers not in _DTYPES:
        return name, None
    try:
        dtype = np.dtype(_DTYPES[kind_of_numbers])
        return name, array_from_bytes(b"" if raw is None else raw, tuple(axes), dtype)
    except WeightsError as error:
        raise WeightsError(f"tensor {describe(name)}: {error}") from error
