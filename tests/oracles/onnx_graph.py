"""Networks in ONNX's operators, computed by ONNX's own evaluator: a second opinion on each layer.

It is written from the meaning of the layers and shares nothing with the package but their
descriptions: maps are (n, c, h, w) inside, padding is found by search, and images are preprocessed
by operators too. Nodes are evaluated one after the other, in any precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sklearn_decaf.networks import layers as kinds
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing

OPSET = 18


def evaluate(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    images: np.ndarray,
    dtype=np.float64,
) -> dict[str, np.ndarray]:
    """Every layer's output for RGB images (n, h, w, 3); maps are handed out as (n, h, w, c)."""
    values = {INPUT: preprocess(images, architecture.preprocessing, dtype)}
    for layer in architecture.layers:
        inputs = [values[name] for name in architecture.inputs(layer.name)]
        own = [
            np.asarray(parameters[f"{layer.name}.{kind}"], dtype)
            for kind in ("kernel", "bias")
            if f"{layer.name}.{kind}" in parameters
        ]
        values[layer.name] = _layer(layer, inputs, own)
    return {name: _channels_last(x) for name, x in values.items()}


def evaluate_layer(
    layer: kinds.Layer,
    inputs: Sequence[np.ndarray],
    parameters: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """One layer's output, maps as (n, h, w, c), in the precision of the inputs."""
    out = _layer(layer, [_channels_first(x) for x in inputs], list(parameters))
    return _channels_last(out)


def preprocess(images: np.ndarray, wanted: Preprocessing, dtype) -> np.ndarray:
    """The network's input (n, 3, h, w)."""
    x = _channels_first(images.astype(dtype))
    if wanted.flip_vertical:
        x = operator("Gather", x, np.arange(x.shape[2])[::-1], axis=2)
    if wanted.channel_order == "bgr":
        x = operator("Gather", x, np.array([2, 1, 0]), axis=1)
    mean, std = (np.array(v, dtype).reshape(1, 3, 1, 1) for v in (wanted.mean, wanted.std))
    return operator("Div", operator("Sub", x, mean), std)


def operator(name: str, *inputs: np.ndarray, **attributes) -> np.ndarray:
    """Evaluate one ONNX operator."""
    onnx = _onnx()
    names = [f"input{i}" for i in range(len(inputs))]
    node = onnx.helper.make_node(name, names, ["output"], **attributes)
    evaluator = onnx.reference.ReferenceEvaluator(node, opsets={"": OPSET})
    return evaluator.run(None, dict(zip(names, inputs)))[0]


def inferred_shape(name: str, *shapes: Sequence[int], **attributes) -> tuple[int, ...]:
    """What ONNX's shape inference, in C++, says of one operator."""
    onnx = _onnx()
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(f"x{i}", float32, s) for i, s in enumerate(shapes)]
    node = helper.make_node(name, [value.name for value in inputs], ["y"], **attributes)
    output = helper.make_tensor_value_info("y", float32, None)
    graph = helper.make_graph([node], name, inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    dims = inferred.graph.output[0].type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims)


def same_pads(n: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME": the fewest zeros for ceil(n / stride) outputs, the odd one last."""
    total = 0
    while len(range(0, n + total - kernel_size + 1, stride)) < -(-n // stride):
        total += 1
    return total // 2, total - total // 2


def _onnx():
    """Imported late, so that tests with other oracles run where onnx is missing."""
    pytest.importorskip("onnx", reason="onnx is not installed: nothing to compare with")
    import onnx.helper
    import onnx.reference
    import onnx.shape_inference

    return onnx


def _channels_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def _channels_last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def _layer(layer: kinds.Layer, inputs: list[np.ndarray], own: list[np.ndarray]) -> np.ndarray:
    (x, *_) = inputs
    match layer:
        case kinds.Conv():
            return _conv(layer, x, *own)
        case kinds.MaxPool(size=size, stride=stride, ceil_mode=ceil_mode):
            return operator(
                "MaxPool",
                x,
                kernel_shape=[size, size],
                strides=[stride, stride],
                ceil_mode=int(ceil_mode),
            )
        case kinds.LRN():
            return _lrn(layer, x)
        case kinds.ReLU(max_value=max_value) if np.isinf(max_value):
            return operator("Relu", x)
        case kinds.ReLU(max_value=max_value):
            return operator("Clip", x, x.dtype.type(0), x.dtype.type(max_value))
        case kinds.Add():
            return operator("Add", *inputs)
        case kinds.Concat():
            return operator("Concat", *inputs, axis=1)
        case kinds.GlobalAveragePool():
            return operator("Flatten", operator("GlobalAveragePool", x), axis=1)
        case kinds.GlobalMaxPool():
            return operator("Flatten", operator("GlobalMaxPool", x), axis=1)
        case kinds.Dense():
            if x.ndim == 4:  # flattened in (h, w, c) order
                x = operator("Transpose", x, perm=[0, 2, 3, 1])
            return operator("Gemm", operator("Flatten", x, axis=1), *own)
        case kinds.Softmax():
            return operator("Softmax", x, axis=1 if x.ndim == 4 else -1)
    raise TypeError(f"no ONNX operators for {layer}")


def _conv(layer: kinds.Conv, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    k, stride, padding = layer.kernel_size, layer.stride, layer.padding
    sides = [same_pads(n, k, stride) if padding == "same" else (padding,) * 2 for n in x.shape[2:]]
    (top, bottom), (left, right) = sides
    return operator(
        "Conv",
        x,
        operator("Transpose", kernel, perm=[3, 2, 0, 1]),  # (filters, channels, height, width)
        bias,
        kernel_shape=[k, k],
        strides=[stride, stride],
        pads=[top, left, bottom, right],
        group=layer.groups,
    )


def _lrn(layer: kinds.LRN, x: np.ndarray) -> np.ndarray:
    """Spelled out: the evaluator's own LRN takes the images of a batch for the channels.

    The sum over neighbours is a 1x1 convolution whose kernel is a band.
    """
    channels = np.arange(x.shape[1])
    distance = channels[None, :] - channels[:, None]  # from the output channel to the input's
    near = (distance >= -((layer.size - 1) // 2)) & (distance <= layer.size // 2)
    band = near[:, :, None, None].astype(x.dtype)
    alpha, beta, k = (np.array(v, x.dtype) for v in (layer.alpha, layer.beta, layer.k))
    sums = operator("Conv", operator("Mul", x, x), band, kernel_shape=[1, 1])
    base = operator("Add", operator("Mul", sums, alpha / layer.size), k)
    return operator("Div", x, operator("Pow", base, beta))
