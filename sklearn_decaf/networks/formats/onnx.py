"""ONNX models: the parameters of the convolutions and dense layers of a graph, in its order.

Exporters name parameters as they like, so the names say nothing; the order of the nodes does.
The i-th node with parameters gives ``node<i>.weight`` and ``node<i>.bias``, with filters or outputs
first. SqueezeNet is the exception: Caffe's wants BGR and others RGB, which the names that two
exporters give do say. Numbers may be in a second file, if that is in the folder of the model; no
library runs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...exceptions import WeightsError
from ._contents import Contents
from ._messages import describe
from ._onnx_layers import GraphReader
from ._onnx_nodes import Node
from ._onnx_tensors import ExternalFiles, Tensor, read_tensor
from ._protobuf import BYTES, FIXED32, VARINT, FieldReader, text, varints

MAX_NODES = 10_000
_ORDERED = ("conv", "dense", "max_pool", "lrn")
MAX_LIST = 64  # numbers in an attribute
# field numbers
_MODEL_GRAPH, _MODEL_FUNCTION = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_SPARSE_VALUES = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_NAME, _FLOAT, _INTEGER, _STRING, _TENSOR, _FLOATS, _INTEGERS, _SPARSE = 1, 2, 3, 4, 5, 7, 8, 22


def looks_like(data: memoryview) -> bool:
    """Whether a file begins like a model: with the version of its format, a small number."""
    return len(data) > 2 and data[0] == 0x08 and 3 <= data[1] <= 30


def read(data: memoryview, folder: Path | None = None) -> Contents:
    """Parameters in the order of the nodes, as read-only views of ``data``.

    ``folder`` is where the model is; from other files there it may take numbers.
    """
    reader = FieldReader()
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    for number, kind, graph in reader.fields(data):
        if number == _MODEL_FUNCTION:
            raise WeightsError(
                "it keeps parts of the network as functions; write them out with "
                "onnx.inliner.inline_local_functions"
            )
        if number != _MODEL_GRAPH or kind != BYTES:
            continue
        for part, kind, message in reader.fields(graph):
            if kind != BYTES:
                continue
            if part == _GRAPH_NODE:
                nodes.append(_read_node(reader, message))
            elif part in (_GRAPH_INITIALIZER, _GRAPH_SPARSE):
                read_one = read_tensor if part == _GRAPH_INITIALIZER else _read_sparse
                tensor = read_one(reader, message)
                if tensor.name in tensors:
                    raise WeightsError(f"two tensors are called {describe(tensor.name)}")
                tensors[tensor.name] = tensor
    if not nodes or len(nodes) > MAX_NODES:
        raise WeightsError(f"a graph of {len(nodes)} nodes")
    files = ExternalFiles(folder)
    arrays, layers = GraphReader(nodes, tensors, files, size=len(data)).result()
    order = " ".join(layer.name for layer in layers if layer.kind in _ORDERED)
    return Contents({"": arrays}, {"network": "onnx", "layers": order}, layers, files.used)


def _read_node(reader: FieldReader, message: memoryview) -> Node:
    node = Node()
    for number, kind, value in reader.fields(message):
        if kind != BYTES:
            continue
        if number == _NODE_INPUT:
            node.inputs.append(text(value))
        elif number == _NODE_OUTPUT:
            node.outputs.append(text(value))
        elif number == _NODE_TYPE:
            node.kind = text(value)
        elif number == _NODE_DOMAIN:
            node.domain = text(value)
        elif number == _NODE_ATTRIBUTE:
            name, number_read = _read_attribute(reader, value)
            node.attributes[name] = number_read
    return node


def _read_attribute(reader: FieldReader, message: memoryview) -> tuple[str, object]:
    """Name of an attribute and its value, 0 where that is of no kind that layers have."""
    name, found, several = "", 0, []
    for number, kind, value in reader.fields(message):
        if number == _NAME and kind == BYTES:
            name = text(value)
        elif number == _INTEGER and kind == VARINT:
            found = _signed(value)
        elif number == _FLOAT and kind == FIXED32:
            found = float(np.frombuffer(value, "<f4")[0])
        elif number == _STRING and kind == BYTES:
            found = bytes(value[:100]).decode("latin-1")
        elif number == _TENSOR and kind == BYTES:
            found = read_tensor(reader, value)
        elif number == _SPARSE and kind == BYTES:
            found = _read_sparse(reader, value)
        elif number == _INTEGERS and kind in (BYTES, VARINT) and len(several) < MAX_LIST:
            several += map(_signed, varints(value, MAX_LIST) if kind == BYTES else [value])
        elif number == _FLOATS and len(several) < MAX_LIST:
            raw = value if kind in (BYTES, FIXED32) else b""
            several += np.frombuffer(raw[: len(raw) // 4 * 4], "<f4")[:MAX_LIST].tolist()
    return name, several or found


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _read_sparse(reader: FieldReader, message: memoryview) -> Tensor:
    """The name of a tensor of which only some numbers are there; these are not read."""
    for number, kind, value in reader.fields(message):
        if number == _SPARSE_VALUES and kind == BYTES:
            tensor = read_tensor(reader, value)
            tensor.problem = "it is kept sparse, which is not read; write it out in full"
            return tensor
    return Tensor(problem="a sparse tensor without numbers")
