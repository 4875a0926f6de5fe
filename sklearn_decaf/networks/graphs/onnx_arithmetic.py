"""ONNX's operators that compute: sums, products, activations, dense layers, means."""

from __future__ import annotations

from functools import partial, reduce

import numpy as np

from ...exceptions import WeightsError
from ..formats._onnx_nodes import Node
from ..layers import GlobalAveragePool, GlobalMaxPool, LayerNorm, PReLU, Softmax
from .axes import in_order, indices, letters, whole
from .constants import axes_of, integer, number, one_axis
from .onnx_graph import OnnxTranslator
from .onnx_windows import vector, weights
from .values import Value

# -- sums and products --


def binary(operation: str, t: OnnxTranslator, node: Node, inputs: list):
    if len(inputs) != 2 or not all(isinstance(one, Value | np.ndarray) for one in inputs):
        raise WeightsError("its inputs are not two arrays")
    first, second = inputs
    if isinstance(first, Value) and isinstance(second, Value):
        return _of_two(operation, t, node, first, second)
    value, constant = (first, second) if isinstance(first, Value) else (second, first)
    constant = _legacy_broadcast(t, node, weights(constant, "constant"), value)
    if constant.size == 1 and constant.ndim <= len(value.axes):
        number_ = float(constant.reshape(()))
        operands = (value, number_) if value is first else (number_, value)
        return t.values.function(t.name(node), operation, *operands)
    return _by_channel(operation, t, node, value, constant, value is first)


def _legacy_broadcast(t: OnnxTranslator, node: Node, constant: np.ndarray, value: Value):
    """A constant that is broadcast from an axis on, as before opset 7."""
    if t.opset < 7 and "axis" in node.attributes and constant.ndim < len(value.axes):
        axis = one_axis(node, len(value.axes))
        return constant.reshape(constant.shape + (1,) * (len(value.axes) - axis - constant.ndim))
    return constant


def _of_two(operation: str, t: OnnxTranslator, node: Node, first: Value, second: Value):
    if first.base is second.base and not (first.pads or second.pads):
        return t.values.function(t.name(node), operation, first, second)
    if operation not in ("add", "sub", "mul"):
        raise WeightsError("there is no layer that does this with two maps")
    return t.values.combined(t.name(node), operation, first, second)


def _by_channel(operation, t: OnnxTranslator, node: Node, value: Value, constant, value_first):
    numbers = t.values.per_channel(value, constant)
    factor, shift = None, None
    if operation == "mul":
        factor = numbers
    elif operation == "add":
        shift = numbers
    elif operation == "sub":
        factor, shift = (None, -numbers) if value_first else (np.full(len(numbers), -1.0), numbers)
    elif operation == "div" and value_first:
        with np.errstate(all="ignore"):
            factor = 1 / numbers
    else:
        raise WeightsError("there is no layer that does this with a number a channel")
    return t.values.output(t.values.scale(t.name(node), value, factor, shift), value.axes)


def variadic(operation: str, t: OnnxTranslator, node: Node, inputs: list):
    if len(inputs) == 1:
        return t.values.same(inputs[0])
    return reduce(lambda one, other: binary(operation, t, node, [one, other]), inputs)


def negative(t: OnnxTranslator, node: Node, inputs: list):
    return t.values.function(t.name(node), "mul", inputs[0], -1.0)


# -- activations --


def function(operation: str, t: OnnxTranslator, node: Node, inputs: list):
    return t.values.function(t.name(node), operation, inputs[0])


def relu(t: OnnxTranslator, node: Node, inputs: list):
    return t.values.function(t.name(node), "max", inputs[0], 0.0)


def _bound(node: Node, inputs: list, place: int, name: str) -> float | None:
    if name in node.attributes:
        return number(node, name, 0.0)
    if len(inputs) > place and inputs[place] is not None:
        return float(weights(inputs[place], name).reshape(()))
    return None


def clip(t: OnnxTranslator, node: Node, inputs: list):
    found, name = inputs[0], t.name(node)
    low, high = _bound(node, inputs, 1, "min"), _bound(node, inputs, 2, "max")
    if low is not None:
        found = t.values.function(name, "max", found, low)
    if high is not None:
        found = t.values.function(name, "min", found, high)
    return found if found is not inputs[0] else t.values.same(found)


def with_alpha(operation: str, default: float, t: OnnxTranslator, node: Node, inputs: list):
    return t.values.function(t.name(node), operation, inputs[0], number(node, "alpha", default))


def selu(t: OnnxTranslator, node: Node, inputs: list):
    name = t.name(node)
    inner = t.values.function(f"{name}.elu", "elu", inputs[0], number(node, "alpha", 1.6732632))
    return t.values.function(name, "mul", inner, number(node, "gamma", 1.0507010))


def hard_sigmoid(t: OnnxTranslator, node: Node, inputs: list, slope=0.2, offset=0.5):
    name, values = t.name(node), t.values
    found = values.function(name, "mul", inputs[0], number(node, "alpha", slope))
    found = values.function(name, "add", found, number(node, "beta", offset))
    return values.function(name, "min", values.function(name, "max", found, 0.0), 1.0)


def hard_swish(t: OnnxTranslator, node: Node, inputs: list):
    gate = hard_sigmoid(t, node, inputs, 1 / 6)
    return t.values.function(t.name(node), "mul", inputs[0], gate)


def swish(t: OnnxTranslator, node: Node, inputs: list):
    name, values = t.name(node), t.values
    inner = values.function(name, "mul", inputs[0], number(node, "alpha", 1.0))
    return values.function(name, "mul", inputs[0], values.function(name, "sigmoid", inner))


def gelu(t: OnnxTranslator, node: Node, inputs: list):
    name, make, (x,) = t.name(node), t.values.function, inputs
    if node.attributes.get("approximate", "none") == "tanh":
        cubic = make(name, "mul", make(name, "pow", x, 3.0), 0.044715)
        inner = make(name, "mul", make(name, "add", x, cubic), float(np.sqrt(2 / np.pi)))
        gate = make(name, "tanh", inner)
    else:
        gate = make(name, "erf", make(name, "mul", x, float(np.sqrt(0.5))))
    half = make(name, "mul", make(name, "add", gate, 1.0), 0.5)
    return make(name, "mul", x, half)


def prelu(t: OnnxTranslator, node: Node, inputs: list):
    value, slope = inputs
    slope = weights(slope, "slope")
    if slope.size == 1:
        return t.values.function(t.name(node), "leaky", value, float(slope.reshape(())))
    if slope.ndim == 1 and len(value.axes) == 4 and slope.size == value.shape[1]:
        slope = slope.reshape(-1, 1, 1)  # some exporters leave the other axes out
    numbers = t.values.per_channel(value, slope)
    source = t.values.materialise(value)
    name = t.name(node, node.inputs[1])
    made = t.network.add(PReLU, name, source, parameters={"slope": numbers})
    return t.values.output(made, value.axes)


def softmax(t: OnnxTranslator, node: Node, inputs: list):
    x = t.values.natural(inputs[0])
    axis = one_axis(node, len(x.axes), 1 if t.opset < 13 else -1)
    channels = whole("c", t.values.sides(x)[-1])
    # before opset 13 it is over all axes from this one on
    over = x.axes[axis:] if t.opset < 13 else x.axes[axis : axis + 1]
    if tuple(part for one in over for part in one) != channels or not over:
        raise WeightsError(f"a softmax over axis {axis} of an array {x.shape}, not its channels")
    made = t.network.add(Softmax, t.name(node), t.values.materialise(x))
    return t.values.output(made, x.axes)


# -- dense layers --


def gemm(t: OnnxTranslator, node: Node, inputs: list):
    x, kernel, *rest = inputs
    if not isinstance(x, Value) or integer(node, "transA", 0):
        raise WeightsError("a product that is no dense layer")
    kernel = weights(kernel, "weight")
    if kernel.ndim != 2 or len(x.axes) != 2:
        raise WeightsError(f"arrays of {len(x.axes)} and {kernel.ndim} axes; both have two")
    kernel = kernel.T if integer(node, "transB", 0) else kernel
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    bias = None
    if rest and rest[0] is not None:
        bias = weights(rest[0], "bias")
        bias = np.broadcast_to(bias, np.broadcast_shapes(bias.shape, (1, kernel.shape[1])))
        bias = bias.reshape(-1) if len(bias) == 1 else bias
        bias = vector(bias, "bias", kernel.shape[1])
        bias = bias if beta == 1 else bias * beta
    return linear(t, node, x, kernel if alpha == 1 else kernel * alpha, bias)


def matmul(t: OnnxTranslator, node: Node, inputs: list):
    x, kernel = inputs
    if not isinstance(x, Value) or not isinstance(kernel, np.ndarray):
        raise WeightsError("a product of two maps, or of a constant and a map, is no layer")
    return linear(t, node, x, weights(kernel, "weight"), None)


def linear(t: OnnxTranslator, node: Node, x: Value, kernel: np.ndarray, bias) -> Value:
    """A dense layer on a vector, or on each pixel of a map."""
    if kernel.ndim != 2 or not x.axes or kernel.shape[0] != x.shape[-1] or not kernel.size:
        raise WeightsError(f"a weight of shape {kernel.shape} for an array of shape {x.shape}")
    *others, last = x.axes
    h, w, c = t.values.sides(x)
    name = t.name(node, node.inputs[1])
    source = t.values.materialise(x)
    if in_order(last) == whole("c", c) and h * w > 1:
        kernel = kernel[indices(last, "c", c)]
        made = t.network.conv(name, source, kernel[np.newaxis, np.newaxis], bias)
    elif not set(letters(others)) - {"n"} and in_order(last) == _flattened(h, w, c):
        made = t.network.dense(name, source, _to_rows_of_pixels(kernel, last), bias)
    else:
        raise WeightsError(f"a dense layer along the last axis of an array of shape {x.shape}")
    units = t.network.shape(made)[-1]
    return t.values.output(made, (*others, whole("c", units)))


def _flattened(h: int, w: int, c: int):
    return (*whole("h", h), *whole("w", w), *whole("c", c))


def _to_rows_of_pixels(kernel: np.ndarray, axis) -> np.ndarray:
    """A kernel (inputs, outputs) for inputs in the order of rows, columns and channels."""
    apart = kernel.reshape(*(size for _, _, size in axis), -1)
    order = sorted(range(len(axis)), key=lambda i: ("hwc".index(axis[i][0]), -axis[i][1]))
    return apart.transpose(*order, len(axis)).reshape(kernel.shape)


# -- means --


def reduction(kind: str, t: OnnxTranslator, node: Node, inputs: list):
    x = inputs[0]
    n = len(x.axes)
    over = axes_of(node, inputs, n)
    if over is None:
        if integer(node, "noop_with_empty_axes", 0):
            return t.values.same(x)
        over = list(range(n))
    keep = integer(node, "keepdims", 1)
    gone = tuple(part for i in over for part in x.axes[i])
    axes = tuple(
        () if i in over else axis for i, axis in enumerate(x.axes) if keep or i not in over
    )
    if not gone:
        return t.values.relabelled(t.name(node), x, axes)
    h, w, c = t.values.sides(x)
    if in_order(gone) == (*whole("h", h), *whole("w", w)):
        pool = GlobalAveragePool if kind == "mean" else GlobalMaxPool
        made = t.network.add(pool, t.name(node), t.values.materialise(x))
        return t.values.output(made, axes)
    if kind == "mean" and in_order(gone) == whole("c", c):
        mean = t.values.function(t.name(node), "mean", x)
        mean.axes = axes
        return mean
    raise WeightsError(f"it reduces axes {over} of an array {x.shape}: rows and columns are known")


def layer_normalisation(t: OnnxTranslator, node: Node, inputs: list):
    x, scale, *rest = inputs
    x = t.values.natural(x)
    axis = one_axis(node, len(x.axes), -1)
    c = t.values.sides(x)[-1]
    if tuple(part for one in x.axes[axis:] for part in one) != whole("c", c):
        raise WeightsError(f"it normalises axes {axis} and above of {x.shape}, not the channels")
    if any(node.outputs[1:]):
        raise WeightsError("it gives the means and deviations too")
    shift = vector(rest[0], "shift", c) if rest and rest[0] is not None else np.zeros(c)
    parameters = {"scale": vector(scale, "scale", c), "shift": shift}
    epsilon = number(node, "epsilon", 1e-5)
    if epsilon < 0:
        raise WeightsError(f"its epsilon is {epsilon:g}")
    source = t.values.materialise(x)
    name = t.name(node, node.inputs[1])
    made = t.network.add(LayerNorm, name, source, parameters=parameters, epsilon=epsilon)
    return t.values.output(made, x.axes)


HANDLERS = {
    "Add": partial(binary, "add"),
    "Sub": partial(binary, "sub"),
    "Mul": partial(binary, "mul"),
    "Div": partial(binary, "div"),
    "Pow": partial(binary, "pow"),
    "Sum": partial(variadic, "add"),
    "Max": partial(variadic, "max"),
    "Min": partial(variadic, "min"),
    "Neg": negative,
    "Relu": relu,
    "Clip": clip,
    **{
        kind: partial(function, kind.lower())
        for kind in ("Sigmoid", "Tanh", "Erf", "Sqrt", "Reciprocal", "Exp", "Abs")
    },
    "LeakyRelu": partial(with_alpha, "leaky", 0.01),
    "Elu": partial(with_alpha, "elu", 1.0),
    "Selu": selu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Swish": swish,
    "Gelu": gelu,
    "PRelu": prelu,
    "Softmax": softmax,
    "Gemm": gemm,
    "MatMul": matmul,
    "ReduceMean": partial(reduction, "mean"),
    "ReduceMax": partial(reduction, "max"),
    "LayerNormalization": layer_normalisation,
}
