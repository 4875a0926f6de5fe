"""ONNX's operators on maps: convolution, pooling, padding, normalisation."""

from __future__ import annotations

import numpy as np

from ...exceptions import WeightsError
from ..formats._onnx_nodes import Node, spatial_pads
from ..layers import (
    AveragePool,
    BatchNorm,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSigmoid,
    MaxPool,
    ReLU,
    Sigmoid,
    Softmax,
)
from ..layers._windows import pair, resolve_padding
from . import network
from .axes import letters, whole
from .constants import as_integers, integer, integers, number
from .network import MAX_BORDER, as_written, one_or_two, padding
from .onnx_graph import OnnxTranslator
from .values import Value

_NOT_NEGATIVE = (ReLU, Sigmoid, HardSigmoid, Softmax)
_KEPT = (MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool)


def weights(operand: object, what: str) -> np.ndarray:
    """Floating point numbers of a constant that a layer has as a parameter."""
    if not isinstance(operand, np.ndarray):
        raise WeightsError(f"its {what} is not a constant")
    if operand.dtype.kind != "f":
        raise WeightsError(f"its {what} is of type {operand.dtype}, not floating point")
    return operand


def vector(operand: object, what: str, n: int) -> np.ndarray:
    """A constant of one number a channel."""
    found = weights(operand, what).reshape(-1)
    if len(found) != n:
        raise WeightsError(f"its {what} has {len(found)} values for {n} channels")
    return found


def _pair(node: Node, name: str, default: int | None = 1) -> tuple[int, int]:
    found = integers(node, name, None if default is None else [default] * 2)
    if len(found) != 2:
        raise WeightsError(f"its {name} has {len(found)} numbers: windows over maps have two")
    return found[0], found[1]


def _padding(node: Node, value: Value, window, stride, dilation, shape):
    """The padding of a window, and of the maps before it."""
    rule = node.attributes.get("auto_pad", "NOTSET")
    outside = value.pads or (0, 0, 0, 0)
    if rule in ("SAME_UPPER", "SAME_LOWER"):
        if rule == "SAME_UPPER" and not any(outside):
            return "same"
        if min(stride) < 1 or min(window) < 1 or min(dilation) < 1:
            raise WeightsError(f"a window of {window} in steps of {stride}")
        (top, bottom), (left, right) = resolve_padding("same", shape, window, stride, dilation)
        own = [top, left, bottom, right]
        if rule == "SAME_LOWER":
            own = [bottom, right, top, left]
    elif rule == "VALID":
        own = [0] * 4
    elif rule in ("NOTSET", ""):
        own = integers(node, "pads", [0] * 4)
    else:
        raise WeightsError(f"its auto_pad is {str(rule)[:40]!r}")
    if len(own) != 4:
        raise WeightsError(f"its pads are {len(own)} numbers: maps have four sides")
    return padding([a + b for a, b in zip(own, outside)])


def convolution(t: OnnxTranslator, node: Node, inputs: list):
    x, kernel, *rest = inputs
    kernel = weights(kernel, "kernel")
    if kernel.ndim != 4:
        raise WeightsError(
            f"its kernel has {kernel.ndim} axes: only convolutions of maps are known"
        )
    x = t.values.maps(x)
    groups = integer(node, "group", 1)
    h, w, c = t.values.sides(x)
    filters, depth, *window = kernel.shape
    if groups < 1 or depth * groups != c or not filters or not min(window):
        raise WeightsError(
            f"a kernel of shape {kernel.shape} and {groups} groups for an input of {c} channels"
        )
    bias = vector(rest[0], "bias", filters) if rest and rest[0] is not None else None
    stride, dilation = _pair(node, "strides"), _pair(node, "dilations")
    pads = _padding(node, x, window, stride, dilation, (h, w))
    made = t.network.conv(
        t.name(node, node.inputs[1]),
        t.values.materialise(x, bordered=False),
        kernel.transpose(2, 3, 1, 0),
        bias,
        stride=one_or_two(stride),
        dilation=one_or_two(dilation),
        groups=groups,
        padding=pads,
    )
    return t.output_of(made, x)


def _is_not_negative(t: OnnxTranslator, layer: str) -> bool:
    """Whether a layer gives no negative values, so that zeros around it are its smallest."""
    while True:
        found = t.network.layers.get(layer)
        if not isinstance(found, _KEPT):
            return isinstance(found, _NOT_NEGATIVE)
        layer = found.inputs[0]


def _window_options(t: OnnxTranslator, node: Node, x: Value):
    window, stride = _pair(node, "kernel_shape", None), _pair(node, "strides")
    if _pair(node, "dilations") != (1, 1):
        raise WeightsError("a dilated pooling")
    return {
        "size": one_or_two(window),
        "stride": one_or_two(stride),
        "ceil_mode": bool(integer(node, "ceil_mode", 0)),
        "padding": _padding(node, x, window, stride, (1, 1), t.values.sides(x)),
    }


def max_pool(t: OnnxTranslator, node: Node, inputs: list):
    x = t.values.maps(inputs[0])
    if any(node.outputs[1:]):
        raise WeightsError("it gives the places of the maxima too")
    if x.pads is not None:
        source = t.values.materialise(x, bordered=False)
        size = _pair(node, "kernel_shape", None)
        fits = all(
            max(sides) < k for sides, k in zip((x.pads[::2], x.pads[1::2]), size)
        )  # there is a pixel in each window
        if not (fits and _is_not_negative(t, source)):
            t.values.materialise(x)
    options = _window_options(t, node, x)
    source = t.values.materialise(x, bordered=False)
    if _nothing(t, source, options):
        return t.values.same(x)
    return t.output_of(t.network.add(MaxPool, t.name(node), source, **options), x)


def average_pool(t: OnnxTranslator, node: Node, inputs: list):
    x = t.values.maps(inputs[0])
    counted = bool(integer(node, "count_include_pad", 0))
    own = node.attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER") or any(
        integers(node, "pads", [0] * 4)
    )
    if x.pads is not None:
        if own:  # which may be counted otherwise
            t.values.materialise(x)
        else:
            counted = True
    options = _window_options(t, node, x)
    source = t.values.materialise(x, bordered=False)
    h, w, _ = t.network.shape(source)
    if _nothing(t, source, options):
        return t.values.same(x)
    if pair(options["size"]) == (h, w) and options["padding"] == 0:
        return t.output_of(t.network.add(GlobalAveragePool, t.name(node), source), x)
    options["count_padding"] = counted
    return t.output_of(t.network.add(AveragePool, t.name(node), source, **options), x)


def _nothing(t: OnnxTranslator, source: str, options: dict) -> bool:
    """Whether a window sees each pixel once, by itself."""
    h, w, _ = t.network.shape(source)
    steps = pair(options["stride"]) == (1, 1) or (h, w) == (1, 1)
    return pair(options["size"]) == (1, 1) and steps and options["padding"] in (0, "same")


def global_pool(kind):
    def pool(t: OnnxTranslator, node: Node, inputs: list):
        x = t.values.maps(inputs[0])
        return pool_all(t, kind, t.name(node), x, x)

    return pool


def pool_all(t: OnnxTranslator, kind, name: str, x: Value, like: Value) -> Value:
    """A pooling over whole maps; nothing on vectors."""
    source = t.values.materialise(x)
    if len(t.network.shapes[source]) == 1:
        return t.values.same(x)
    return t.output_of(t.network.add(kind, name, source), like)


def pad(t: OnnxTranslator, node: Node, inputs: list):
    x, *rest = inputs
    x = t.values.natural(x)
    if "pads" in node.attributes or "paddings" in node.attributes:
        pads = integers(node, "pads" if "pads" in node.attributes else "paddings")
        value = number(node, "value", 0.0)
    else:
        pads = as_integers(rest[0] if rest else None, "pads")
        given = rest[1] if len(rest) > 1 else None
        value = 0.0 if given is None else float(weights(given, "value").reshape(()))
    axes = as_integers(rest[2], "axes") if len(rest) > 2 and rest[2] is not None else None
    axes = list(range(len(x.axes))) if axes is None else axes
    if len(pads) != 2 * len(axes):
        raise WeightsError(f"{len(pads)} pads for {len(axes)} axes")
    if not any(pads):
        return t.values.same(x)
    mode = node.attributes.get("mode", "constant")
    if mode != "constant" or value != 0:
        raise WeightsError(f"it pads with {value:g} in mode {str(mode)[:40]!r}; zeros are known")
    if len(x.axes) != 4:
        raise WeightsError(f"it pads an array of shape {x.shape}, which is no map")
    as_maps = ["nchw".find(letters([axis]) or "n") for axis in x.axes]
    found = spatial_pads(pads, [as_maps[axis % 4] for axis in axes])
    if found is None or max(found) > MAX_BORDER:
        raise WeightsError(
            f"it pads by {pads[:16]}: up to {MAX_BORDER} zeros around maps are known"
        )
    h, w, _ = t.values.sides(x)
    sizes = {"h": h + found[0] + found[2], "w": w + found[1] + found[3]}
    padded = tuple(
        whole(letters([axis]), sizes[letters([axis])]) if letters([axis]) in sizes else axis
        for axis in x.axes
    )
    top, left, bottom, right = found
    return t.values.bordered(x, padded, (top, left, bottom, right))


def batch_normalisation(t: OnnxTranslator, node: Node, inputs: list):
    if integer(node, "training_mode", 0):
        raise WeightsError("a batch normalisation in training mode; export in inference mode")
    if integer(node, "spatial", 1) != 1 or len(inputs) != 5:
        raise WeightsError("a batch normalisation of each pixel by itself")
    x, *rest = inputs
    x = t.values.natural(x)
    channels = t.values.sides(x)[-1]
    if len(x.axes) < 2 or x.axes[1] != whole("c", channels):
        raise WeightsError(f"it normalises an array of shape {x.shape} along other axes")
    keys = ("scale", "shift", "mean", "variance")
    parameters = {key: vector(one, key, channels) for key, one in zip(keys, rest)}
    epsilon = number(node, "epsilon", 1e-5)
    if not np.all(parameters["variance"].astype(np.float64) + epsilon > 0):
        raise WeightsError("its variances and epsilon are not positive")
    source = t.values.materialise(x)
    name = t.name(node, node.inputs[1])
    made = t.network.add(BatchNorm, name, source, parameters=parameters, epsilon=epsilon)
    return t.values.output(made, x.axes)


def local_normalisation(t: OnnxTranslator, node: Node, inputs: list):
    x = t.values.maps(inputs[0])
    made = network.local_normalisation(
        t.network,
        t.name(node),
        t.values.materialise(x),
        size=integer(node, "size"),
        alpha=as_written(number(node, "alpha", 1e-4)),
        beta=as_written(number(node, "beta", 0.75)),
        k=as_written(number(node, "bias", 1.0)),
    )
    return t.output_of(made, x)


HANDLERS = {
    "Conv": convolution,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool(GlobalAveragePool),
    "GlobalMaxPool": global_pool(GlobalMaxPool),
    "Pad": pad,
    "BatchNormalization": batch_normalisation,
    "LRN": local_normalisation,
}
