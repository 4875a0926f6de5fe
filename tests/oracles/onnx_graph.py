"""Networks in ONNX's operators, computed by ONNX's own evaluator: a second opinion on each layer.

It is written from the meaning of the layers and shares nothing with the package but their
descriptions: maps are (n, c, h, w) inside, padding is found by search, and images are preprocessed
by operators too. Nodes are evaluated one after the other, in any precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from scipy import special

from sklearn_decaf.networks import layers as kinds
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing

OPSET = 20


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
        keys = architecture.layer_parameter_shapes(layer.name)
        own = [np.asarray(parameters[key], dtype) for key in keys]
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
        case kinds.MaxPool(ceil_mode=ceil_mode):
            # a border of the smallest number, for the evaluator's own is not always one
            x = operator("Pad", x, _pads(layer, x), x.dtype.type(-np.inf))
            return operator("MaxPool", x, **_window(layer), ceil_mode=int(ceil_mode))
        case kinds.AveragePool():
            return _average_pool(layer, x)
        case kinds.LRN():
            return _lrn(layer, x)
        case kinds.ReLU(max_value=max_value) if np.isinf(max_value):
            return operator("Relu", x)
        case kinds.ReLU(max_value=max_value):
            return _clip(x, 0, max_value)
        case kinds.LeakyReLU(slope=slope):
            return operator("LeakyRelu", x, alpha=slope)
        case kinds.PReLU():
            return operator("PRelu", x, _per_channel(own[0], x))
        case kinds.ELU(alpha=alpha):
            return operator("Elu", x, alpha=alpha)
        case kinds.Sigmoid() | kinds.Tanh():
            return operator(type(layer).__name__, x)
        case kinds.SiLU():
            return operator("Mul", x, operator("Sigmoid", x))
        case kinds.HardSigmoid(slope=slope, offset=offset):
            return _clip(operator("Add", _times(slope, x), x.dtype.type(offset)), 0, 1)
        case kinds.HardSwish():
            return operator("Mul", x, _times(1 / 6, _clip(x + x.dtype.type(3), 0, 6)))
        case kinds.GELU(approximate=False):
            half = special.erf(_times(1 / math.sqrt(2), x)) + 1  # the evaluator's is float32
            return operator("Mul", x, _times(0.5, half))
        case kinds.GELU(approximate=True):
            cubic = operator("Add", x, _times(0.044715, operator("Pow", x, x.dtype.type(3))))
            half = operator("Tanh", _times(math.sqrt(2 / math.pi), cubic)) + x.dtype.type(1)
            return operator("Mul", x, _times(0.5, half))
        case kinds.BatchNorm(epsilon=epsilon):
            return operator("BatchNormalization", x, *own, epsilon=epsilon)
        case kinds.Scale():
            scaled = operator("Mul", x, _per_channel(own[0], x))
            return operator("Add", scaled, _per_channel(own[1], x)) if own[1:] else scaled
        case kinds.LayerNorm(epsilon=epsilon):
            last = _channels_last(x)
            last = operator("LayerNormalization", last, *own, axis=-1, epsilon=epsilon)
            return _channels_first(last)
        case kinds.Add():
            return operator("Add", *inputs)
        case kinds.Multiply():
            x, y = inputs
            return operator("Mul", x, y[:, :, None, None] if y.ndim < x.ndim else y)
        case kinds.Concat():
            return operator("Concat", *inputs, axis=1)
        case kinds.ChannelSlice(start=start, stop=stop, step=step):
            return operator("Slice", x, *(np.array([v]) for v in (start, stop, 1, step)))
        case kinds.ChannelShuffle(groups=groups):
            n, c, *sides = x.shape
            apart = operator("Reshape", x, np.array([n, groups, c // groups, *sides]))
            order = [0, 2, 1, *range(3, apart.ndim)]
            return operator("Reshape", operator("Transpose", apart, perm=order), np.array(x.shape))
        case kinds.Identity():
            return operator("Identity", x)
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


def _pair(value) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _window(layer) -> dict:
    """Sides and strides of a window."""
    size = layer.kernel_size if isinstance(layer, kinds.Conv) else layer.size
    return {"kernel_shape": _pair(size), "strides": _pair(layer.stride)}


def _sides(layer, x: np.ndarray) -> list[list[int]]:
    """[[top, bottom], [left, right]] from what a layer says of its padding."""
    padding, window = layer.padding, _window(layer)
    if padding == "same":
        spans = [
            d * (k - 1) + 1
            for k, d in zip(window["kernel_shape"], _pair(getattr(layer, "dilation", 1)))
        ]
        return [list(same_pads(*side)) for side in zip(x.shape[2:], spans, window["strides"])]
    return [_pair(side) for side in _pair(padding)]


def _pads(layer, x: np.ndarray) -> np.ndarray:
    """The same in the order of ONNX's Pad, for all four axes."""
    (top, bottom), (left, right) = _sides(layer, x)
    return np.array([0, 0, top, left, 0, 0, bottom, right])


def _conv(layer: kinds.Conv, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    (top, bottom), (left, right) = _sides(layer, x)
    return operator(
        "Conv",
        x,
        operator("Transpose", kernel, perm=[3, 2, 0, 1]),  # (filters, channels, height, width)
        bias,
        **_window(layer),
        pads=[top, left, bottom, right],
        dilations=_pair(layer.dilation),
        group=layer.groups,
    )


def _average_pool(layer: kinds.AveragePool, x: np.ndarray) -> np.ndarray:
    """Spelled out: the sums of windows of values and of ones, with zeros around.

    The evaluator's own counts differ from one way of padding to the next.
    """
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    border, zero = _pads(layer, x), x.dtype.type(0)
    x = operator("Pad", x, border, zero)
    ones = operator("Pad", ones, border, x.dtype.type(layer.count_padding))
    window = _window(layer)
    if layer.ceil_mode:  # as many more zeros as a last window may need, less what is too much
        (top, _), (left, _) = _sides(layer, x)
        more = []
        for length, k, s, before in zip(
            x.shape[2:], window["kernel_shape"], window["strides"], (top, left)
        ):
            missing = -(length - k) % s
            after = border[6 + len(more)]
            inside = length - k + missing < length - after  # where the last window begins
            more.append(missing if inside else 0)
            assert before >= 0
        wider = np.array([0, 0, 0, 0, 0, 0, *more])
        x, ones = operator("Pad", x, wider, zero), operator("Pad", ones, wider, zero)
    kernel = np.ones((1, 1, *window["kernel_shape"]), x.dtype)
    sums = operator("Conv", x.reshape(-1, 1, *x.shape[2:]), kernel, **window)
    counts = operator("Conv", ones, kernel, **window)
    return operator("Div", sums, counts).reshape(*x.shape[:2], *sums.shape[2:])


def _times(factor: float, x: np.ndarray) -> np.ndarray:
    return operator("Mul", x, x.dtype.type(factor))  # attributes would be float32


def _clip(x: np.ndarray, low: float, high: float) -> np.ndarray:
    return operator("Clip", x, x.dtype.type(low), x.dtype.type(high))


def _per_channel(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(c,) to what is broadcast over (n, c, h, w) or (n, c)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


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
