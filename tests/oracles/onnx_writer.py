"""Writes a network as an ONNX model, with onnx's own helpers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from sklearn_decaf.networks import Architecture
from sklearn_decaf.networks import layers as kinds
from sklearn_decaf.networks.layers._windows import pair


def model(
    net: Architecture,
    parameters: Mapping[str, np.ndarray],
    *,
    trans_b: bool = True,
    opset: int = 17,
    outputs: list[str] | None = None,
):
    """A model whose outputs are all layers but the last softmax, maps as (n, c, h, w)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, tensors = [], []

    def constant(values, name):
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def window(layer, size, shape):
        (top, bottom), (left, right) = layer.pads(shape)
        return {
            "kernel_shape": list(pair(size)),
            "strides": list(pair(layer.stride)),
            "pads": [top, left, bottom, right],
        }

    names = [layer.name for layer in net.layers if layer.name != "prob"]
    shapes = {"data": net.input_shape, **net.shapes()}
    for layer in net.layers[: len(names)]:
        sources, name = list(net.inputs(layer.name)), layer.name
        shape = shapes[sources[0]]
        keys = net.layer_parameter_shapes(name)
        own = {key.removeprefix(f"{name}."): parameters[key] for key in keys if key in parameters}

        def values(key, name=name, own=own):
            return constant(own[key], f"onnx::{name}_{key}")

        def per_channel(key, name=name, own=own, shape=shape):
            apart = own[key].reshape(-1, *[1] * (len(shape) - 1))
            return constant(apart, f"onnx::{name}_{key}")

        def number(value, label, name=name):
            return constant(np.float32(value), f"{name}_{label}")

        match layer:
            case kinds.Conv():
                weight = constant(own["kernel"].transpose(3, 2, 0, 1), f"onnx::{name}_w")
                add(
                    "Conv",
                    [*sources, weight, values("bias")],
                    name,
                    **window(layer, layer.kernel_size, shape),
                    dilations=list(pair(layer.dilation)),
                    group=layer.groups,
                )
            case kinds.MaxPool():
                ceil = int(layer.ceil_mode)
                add("MaxPool", sources, name, **window(layer, layer.size, shape), ceil_mode=ceil)
            case kinds.AveragePool():
                add(
                    "AveragePool",
                    sources,
                    name,
                    **window(layer, layer.size, shape),
                    ceil_mode=int(layer.ceil_mode),
                    count_include_pad=int(layer.count_padding),
                )
            case kinds.LRN():
                options = {"alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}
                add("LRN", sources, name, size=layer.size, **options)
            case kinds.ReLU() if np.isinf(layer.max_value):
                add("Relu", sources, name)
            case kinds.ReLU():
                add("Clip", [*sources, number(0, "low"), number(layer.max_value, "high")], name)
            case kinds.LeakyReLU():
                add("LeakyRelu", sources, name, alpha=layer.slope)
            case kinds.ELU():
                add("Elu", sources, name, alpha=layer.alpha)
            case kinds.PReLU():
                add("PRelu", [*sources, per_channel("slope")], name)
            case kinds.Sigmoid() | kinds.Tanh() | kinds.Identity():
                add(type(layer).__name__, sources, name)
            case kinds.HardSigmoid():
                add("HardSigmoid", sources, name, alpha=layer.slope, beta=layer.offset)
            case kinds.HardSwish():
                add("HardSwish", sources, name)
            case kinds.SiLU():
                add("Mul", [*sources, add("Sigmoid", sources, f"{name}_gate")], name)
            case kinds.GELU(approximate=approximate):
                if approximate:
                    last = add("Pow", [*sources, number(3, "three")], f"{name}_1")
                    last = add("Mul", [last, number(0.044715, "cubic")], f"{name}_2")
                    last = add("Add", [*sources, last], f"{name}_3")
                    last = add("Mul", [last, number((2 / np.pi) ** 0.5, "root")], f"{name}_4")
                    last = add("Tanh", [last], f"{name}_5")
                else:
                    last = add("Div", [*sources, number(2**0.5, "root")], f"{name}_1")
                    last = add("Erf", [last], f"{name}_2")
                last = add("Add", [last, number(1, "one")], f"{name}_6")
                last = add("Mul", [*sources, last], f"{name}_7")
                add("Mul", [last, number(0.5, "half")], name)
            case kinds.BatchNorm():
                keys = ("scale", "shift", "mean", "variance")
                inputs = [*sources, *map(values, keys)]
                add("BatchNormalization", inputs, name, epsilon=layer.epsilon)
            case kinds.Scale():
                last = f"{name}_scaled" if layer.has_shift else name
                add("Mul", [*sources, per_channel("scale")], last)
                if layer.has_shift:
                    add("Add", [last, per_channel("shift")], name)
            case kinds.LayerNorm():
                to_last, back = ([0, 2, 3, 1], [0, 3, 1, 2]) if len(shape) == 3 else ([0, 1],) * 2
                last = add("Transpose", sources, f"{name}_1", perm=to_last)
                inputs = [last, values("scale"), values("shift")]
                add("LayerNormalization", inputs, f"{name}_2", axis=-1, epsilon=layer.epsilon)
                add("Transpose", [f"{name}_2"], name, perm=back)
            case kinds.Add():
                add("Add", sources, name)
            case kinds.Multiply():
                if len(shapes[sources[1]]) < len(shape):
                    axes = constant(np.array([2, 3]), f"{name}_axes")
                    sources[1] = add("Unsqueeze", [sources[1], axes], f"{name}_map")
                add("Mul", sources, name)
            case kinds.Concat():
                add("Concat", sources, name, axis=1)
            case kinds.ChannelSlice():
                numbers = (layer.start, layer.stop, 1, layer.step)
                labels = ("from", "to", "axis", "step")
                parts = [
                    constant(np.array([n]), f"{name}_{label}") for n, label in zip(numbers, labels)
                ]
                add("Slice", [*sources, *parts], name)
            case kinds.ChannelShuffle():
                h, w, c = shape
                apart = constant(np.array([-1, layer.groups, c // layer.groups, h, w]), f"{name}_p")
                last = add("Reshape", [*sources, apart], f"{name}_1")
                last = add("Transpose", [last], f"{name}_2", perm=[0, 2, 1, 3, 4])
                add("Reshape", [last, constant(np.array([-1, c, h, w]), f"{name}_s")], name)
            case kinds.GlobalAveragePool() | kinds.GlobalMaxPool():
                add(type(layer).__name__, sources, f"{name}_map")
                add("Flatten", [f"{name}_map"], name)
            case kinds.Dense():
                kernel = own["kernel"]
                if len(shape) == 3:  # ONNX flattens in (c, h, w) order
                    kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
                    sources = [add("Flatten", sources, f"{name}_flat")]
                kernel = kernel.reshape(-1, layer.units)
                weight = constant(kernel.T if trans_b else kernel, f"onnx::{name}_w")
                add("Gemm", [*sources, weight, values("bias")], name, transB=int(trans_b))
            case kinds.Softmax():
                add("Softmax", sources, name, axis=1 if len(shape) == 3 else -1)
            case _:
                raise TypeError(f"no ONNX operators for {layer}")
    h, w, c = net.input_shape
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        net.name,
        [helper.make_tensor_value_info("data", float32, ["n", c, h, w])],
        [helper.make_tensor_value_info(name, float32, None) for name in outputs or names],
        tensors,
    )
    version = helper.make_opsetid("", opset)
    return helper.make_model(graph, opset_imports=[version], ir_version=8)


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
