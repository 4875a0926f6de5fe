"""ONNX models: the parameters of the convolutions and dense layers of a graph, in its order.

Exporters name parameters as they like, so the names say nothing; the order of the nodes does.
The i-th node with parameters gives ``node<i>.weight`` and ``node<i>.bias``, with filters or outputs
first. SqueezeNet is the exception: Caffe's wants BGR and others RGB, which the names that two
exporters give do say. Numbers may be in a second file, if that is in the folder of the model; no
library runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...exceptions import WeightsError
from ._contents import Contents
from ._messages import describe
from ._onnx_layers import GraphReader, refuse_what_was_converted
from ._onnx_nodes import Node, OnnxGraph
from ._onnx_tensors import ExternalFiles, Tensor, read_tensor
from ._protobuf import BYTES, FIXED32, VARINT, FieldReader, text, varints

MAX_NODES = 10_000
_ORDERED = ("conv", "dense", "max_pool", "lrn")
MAX_LIST = 1024  # numbers in an attribute
# field numbers
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_SPARSE_VALUES = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_DOMAIN, _VERSION = 1, 2  # of a set of operators
_VALUE_TYPE, _TENSOR_TYPE, _SHAPE, _DIMENSION, _SIZE = 2, 1, 2, 1, 1
_NAME, _FLOAT, _INTEGER, _STRING, _TENSOR, _FLOATS, _INTEGERS, _SPARSE = 1, 2, 3, 4, 5, 7, 8, 22
_ATTRIBUTE_TYPE, _LISTS = 20, (6, 7)


def looks_like(data: memoryview) -> bool:
    """Whether a file begins like a model: with the version of its format, a small number."""
    return len(data) > 2 and data[0] == 0x08 and 3 <= data[1] <= 30


def read(data: memoryview, folder: Path | None = None) -> Contents:
    """Parameters in the order of the nodes, as read-only views of ``data``; and the graph.

    ``folder`` is where the model is; from other files there it may take numbers. Where no
    parameters can be told, ``problem`` says why.
    """
    graph = _read_model(data, folder)
    refuse_what_was_converted(graph.nodes)
    try:
        reader = GraphReader(graph.nodes, graph.tensors, graph.files, size=len(data))
        arrays, layers = reader.result()
        problem = ""
    except WeightsError as error:
        arrays, layers, problem = {}, (), str(error)
    graph.open_files()
    order = " ".join(layer.name for layer in layers if layer.kind in _ORDERED)
    metadata = {"network": "onnx", "layers": order}
    return Contents({"": arrays}, metadata, layers, graph.files.used, graph, problem)


def _read_model(data: memoryview, folder: Path | None) -> OnnxGraph:
    reader = FieldReader()
    found = OnnxGraph(files=ExternalFiles(folder), size=len(data))
    for number, kind, message in reader.fields(data):
        if number == _MODEL_FUNCTION:
            raise WeightsError(
                "it keeps parts of the network as functions; write them out with "
                "onnx.inliner.inline_local_functions"
            )
        if kind == BYTES and number == _MODEL_GRAPH:
            _read_graph(reader, message, found)
        elif kind == BYTES and number == _MODEL_OPSET:
            domain, version = "", 0
            for part, kind, value in reader.fields(message):
                if part == _DOMAIN:
                    domain = text(value)
                elif part == _VERSION and kind == VARINT:
                    version = _signed(value)
            if domain in ("", "ai.onnx"):
                found.opset = version
    if not found.nodes:
        raise WeightsError("a graph of 0 nodes")
    return found


def _read_graph(reader: FieldReader, graph: memoryview, found: OnnxGraph) -> None:
    """Add nodes, tensors, inputs and outputs."""
    for part, kind, message in reader.fields(graph):
        if kind != BYTES:
            continue
        if part == _GRAPH_NODE:
            found.nodes.append(_read_node(reader, message))
            if len(found.nodes) > MAX_NODES:
                raise WeightsError(f"a graph of more than {MAX_NODES} nodes")
        elif part == _GRAPH_INPUT:
            name, shape = _read_value(reader, message)
            found.inputs[name] = shape
        elif part == _GRAPH_OUTPUT:
            found.outputs.append(_read_value(reader, message)[0])
        elif part in (_GRAPH_INITIALIZER, _GRAPH_SPARSE):
            read_one = read_tensor if part == _GRAPH_INITIALIZER else _read_sparse
            tensor = read_one(reader, message)
            if tensor.name in found.tensors:
                raise WeightsError(f"two tensors are called {describe(tensor.name)}")
            found.tensors[tensor.name] = tensor


def _read_value(reader: FieldReader, message: memoryview) -> tuple[str, list[int] | None]:
    """Name of an input or output, and its axes: 0 is open, None is not said."""
    name, axes = "", None
    for number, kind, value in reader.fields(message):
        if number == _NAME:
            name = text(value)
        elif number == _VALUE_TYPE and kind == BYTES:
            for shape in _messages(reader, value, _TENSOR_TYPE, _SHAPE):
                axes = []
                for dimension in _messages(reader, shape, _DIMENSION):
                    sizes = [
                        _signed(size)
                        for part, kind, size in reader.fields(dimension)
                        if part == _SIZE and kind == VARINT
                    ]
                    axes.append(max(0, *sizes, 0))
                    if len(axes) > MAX_LIST:
                        raise WeightsError(f"an input of more than {MAX_LIST} axes")
    return name, axes


def _messages(reader: FieldReader, message: memoryview, *path: int) -> Iterator[memoryview]:
    """The messages that lie in others along a path of field numbers."""
    for number, kind, value in reader.fields(message):
        if number == path[0] and kind == BYTES:
            if len(path) == 1:
                yield value
            else:
                yield from _messages(reader, value, *path[1:])


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
        elif number == _NODE_NAME:
            node.name = text(value)
        elif number == _NODE_ATTRIBUTE:
            name, number_read = _read_attribute(reader, value)
            node.attributes[name] = number_read
    return node


def _read_attribute(reader: FieldReader, message: memoryview) -> tuple[str, object]:
    """Name of an attribute and its value, 0 where that is of no kind that layers have."""
    name, found, several, is_list = "", 0, [], False
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
        elif number == _INTEGERS and kind in (BYTES, VARINT):
            several += map(_signed, varints(value, MAX_LIST) if kind == BYTES else [value])
        elif number == _FLOATS and kind in (BYTES, FIXED32):
            raw = value[: len(value) // 4 * 4]
            several += np.frombuffer(raw[: 4 * MAX_LIST + 4], "<f4").tolist()
        elif number == _ATTRIBUTE_TYPE:
            is_list = value in _LISTS
        if len(several) > MAX_LIST:
            raise WeightsError(f"more than {MAX_LIST} numbers in {describe(name)}")
    return name, several if is_list else several or found


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
