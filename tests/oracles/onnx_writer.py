"""Writes a network as an ONNX model, with onnx's own helpers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from sklearn_decaf.networks import Architecture
from sklearn_decaf.networks.layers import LRN, Add, Conv, Dense, GlobalAveragePool, MaxPool, ReLU


def model(net: Architecture, parameters: Mapping[str, np.ndarray], *, trans_b: bool = True):
    """A model whose outputs are all layers but the softmax, maps as (n, c, h, w)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, tensors = [], []

    def constant(values, name):
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    names = [layer.name for layer in net.layers if layer.name != "prob"]
    for layer in net.layers[: len(names)]:
        sources, name = list(net.inputs(layer.name)), layer.name
        shape = net.input_shape if sources == ["data"] else net.shapes()[sources[0]]
        if f"{name}.kernel" in parameters:
            kernel = parameters[f"{name}.kernel"]
            bias = constant(parameters[f"{name}.bias"], f"onnx::{name}_b")
        match layer:
            case Conv():
                weight = constant(kernel.transpose(3, 2, 0, 1), f"onnx::{name}_w")
                (top, bottom), (left, right) = layer.pads(shape)
                add(
                    "Conv",
                    [*sources, weight, bias],
                    name,
                    kernel_shape=[layer.kernel_size] * 2,
                    strides=[layer.stride] * 2,
                    pads=[top, left, bottom, right],
                    group=layer.groups,
                )
            case MaxPool():
                add(
                    "MaxPool",
                    sources,
                    name,
                    kernel_shape=[layer.size] * 2,
                    strides=[layer.stride] * 2,
                    ceil_mode=int(layer.ceil_mode),
                )
            case LRN():
                add("LRN", sources, name, size=layer.size, alpha=layer.alpha, beta=layer.beta)
            case ReLU() if np.isinf(layer.max_value):
                add("Relu", sources, name)
            case ReLU():
                low = constant(np.float32(0), f"{name}_low")
                high = constant(np.float32(layer.max_value), f"{name}_high")
                add("Clip", [*sources, low, high], name)
            case Add():
                add("Add", sources, name)
            case GlobalAveragePool():
                add("GlobalAveragePool", sources, f"{name}_map")
                add("Flatten", [f"{name}_map"], name)
            case Dense():
                if len(shape) == 3:  # ONNX flattens in (c, h, w) order
                    kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
                    add("Flatten", sources, f"{name}_flat")
                    sources = [f"{name}_flat"]
                kernel = kernel.reshape(-1, layer.units)
                weight = constant(kernel.T if trans_b else kernel, f"onnx::{name}_w")
                add("Gemm", [*sources, weight, bias], name, transB=int(trans_b))
    h, w, c = net.input_shape
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        net.name,
        [helper.make_tensor_value_info("data", float32, ["n", c, h, w])],
        [helper.make_tensor_value_info(name, float32, None) for name in names],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def in_double(model):
    """The same model with all its numbers in float64."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    double = onnx.ModelProto()
    double.CopyFrom(model)
    for tensor in double.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float64), tensor.name))
    for value in (*double.graph.input, *double.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    return double
