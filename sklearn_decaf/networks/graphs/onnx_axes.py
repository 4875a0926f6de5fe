"""ONNX's operators that move values about: reshaping, transposing, joining and selecting."""

from __future__ import annotations

import math

import numpy as np

from ...exceptions import WeightsError
from ..formats._onnx_nodes import Node
from ..layers import ChannelSlice, Concat
from .axes import letters, reshaped, whole
from .constants import (
    as_integers,
    axes_of,
    integer,
    integers,
    new_shape,
    one_axis,
    permutation,
    slices,
    split_sizes,
)
from .onnx_graph import OnnxTranslator
from .values import Sequence, Value

_FLOATING = (1, 10, 11, 16)  # types that a Cast may lead to


def _data(inputs: list) -> Value:
    """The first input, if that is what depends on the picture."""
    if not inputs or not isinstance(inputs[0], Value):
        raise WeightsError("it depends on the picture in a way that layers do not")
    return inputs[0]


def nothing(t: OnnxTranslator, node: Node, inputs: list):
    if node.kind == "CastLike" and isinstance(inputs[0], np.ndarray):
        return inputs[0]  # a constant of the features' precision
    return t.values.same(_data(inputs))


def dropout(t: OnnxTranslator, node: Node, inputs: list):
    if len(inputs) > 2 and inputs[2] is not None and np.any(inputs[2]):
        raise WeightsError("a dropout in training mode; export in inference mode")
    return t.values.same(_data(inputs))


def cast(t: OnnxTranslator, node: Node, inputs: list):
    if integer(node, "to", 0) not in _FLOATING:
        raise WeightsError("it rounds features to whole numbers")
    return t.values.same(_data(inputs))


def shape(t: OnnxTranslator, node: Node, inputs: list):
    sides = _data(inputs).shape
    start, end = integer(node, "start", 0), integer(node, "end", len(sides))
    return np.array(sides[start:end], np.int64)


def size(t: OnnxTranslator, node: Node, inputs: list):
    return np.array(math.prod(_data(inputs).shape))


def _relabel(t: OnnxTranslator, node: Node, x: Value, wanted: list[int]):
    return t.values.relabelled(t.name(node), x, reshaped(x.axes, wanted))


def reshape(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    return _relabel(t, node, x, new_shape(node, x.shape, inputs))


def flatten(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    axis, n = integer(node, "axis", 1), len(x.axes)
    if not -n <= axis <= n:
        raise WeightsError(f"its axis is {axis}, of an array with {n}")
    at = axis % n if axis < 0 else axis
    return _relabel(t, node, x, [math.prod(x.shape[:at]), math.prod(x.shape[at:])])


def squeeze(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    over = axes_of(node, inputs, len(x.axes))
    if over is None:
        over = [i for i, n in enumerate(x.shape) if n == 1]
    if any(x.shape[i] != 1 for i in over):
        raise WeightsError(f"it takes axes {over} off an array of shape {x.shape}")
    return _relabel(t, node, x, [n for i, n in enumerate(x.shape) if i not in over])


def unsqueeze(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    given = (
        integers(node, "axes")
        if "axes" in node.attributes
        else as_integers(inputs[1] if len(inputs) > 1 else None, "axes")
    )
    n = len(x.axes) + len(given)
    over = axes_of(node, inputs, n) or []
    if len(over) != len(given):
        raise WeightsError("it adds an axis twice")
    rest = iter(x.shape)
    return _relabel(t, node, x, [1 if i in over else next(rest) for i in range(n)])


def transpose(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    order = permutation(node, len(x.axes))
    return t.values.relabelled(t.name(node), x, tuple(x.axes[i] for i in order))


def expand(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    wanted = as_integers(inputs[1], "shape")
    if np.broadcast_shapes(x.shape, tuple(wanted)) != x.shape:
        raise WeightsError(f"it repeats an array of shape {x.shape} to {tuple(wanted[:16])}")
    return t.values.same(x)


def concat(t: OnnxTranslator, node: Node, inputs: list):
    if not all(isinstance(one, Value) for one in inputs):
        raise WeightsError("it joins features with constants")
    parts = [t.values.natural(one) for one in inputs]
    if len(parts) == 1:
        return t.values.same(parts[0])
    n = len(parts[0].axes)
    axis = one_axis(node, n)
    for part in parts:
        rest = (*part.axes[:axis], *part.axes[axis + 1 :])
        whole_channels = part.axes[axis : axis + 1] == (whole("c", t.values.sides(part)[-1]),)
        if not whole_channels or rest != (*parts[0].axes[:axis], *parts[0].axes[axis + 1 :]):
            raise WeightsError(
                f"it joins arrays of shapes {[part.shape for part in parts][:8]} along axis "
                f"{axis}; maps of one size along their channels are known"
            )
    sources = [t.values.materialise(part) for part in parts]
    if len({len(t.network.shapes[source]) for source in sources}) > 1:
        sources = [t.network.vector(source) for source in sources]
    made = t.network.add(Concat, t.name(node), *sources)
    channels = whole("c", t.network.shape(made)[-1])
    axes = (*parts[0].axes[:axis], channels, *parts[0].axes[axis + 1 :])
    return t.values.output(made, axes)


def _select(t: OnnxTranslator, x: Value, axis: int, places: np.ndarray, name: str) -> Value:
    """Some of the values along an axis, which has to be one of channels."""
    parts = x.axes[axis]
    if len(places) == x.shape[axis] and np.array_equal(places, np.arange(len(places))):
        return t.values.same(x)
    if set(letters([parts])) != {"c"} or not len(places):
        raise WeightsError(
            f"it takes {len(places)} of {x.shape[axis]} values along axis {axis} of an array "
            f"{x.shape}: only channels can be selected"
        )
    if len(parts) > 1:
        x = t.values.natural(x)
        parts = x.axes[axis]
    ((_, stride, size),) = parts
    source = t.values.materialise(x)
    channels = t.network.shape(source)[-1]
    inner = np.arange(channels).reshape(-1, size, stride)  # the axis is the one in the middle
    chosen = inner[:, places].ravel()
    made = _channels(t, name, source, chosen)
    # parts of the channels outside of this one lie further apart or closer now
    axes = []
    for i, other in enumerate(x.axes):
        moved = tuple(
            (letter, s // size * len(places) if letter == "c" and s > stride else s, n)
            for letter, s, n in other
        )
        axes.append(
            moved if i != axis else (whole("c", len(places)) and (("c", stride, len(places)),))
        )
    return t.values.output(made, tuple(axes))


def _channels(t: OnnxTranslator, name: str, source: str, chosen: np.ndarray) -> str:
    """A layer that takes these channels."""
    step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else 1
    start = int(chosen[0])
    stop = start + step * (len(chosen) - 1) + 1
    if step >= 1 and np.array_equal(chosen, np.arange(start, stop, step)):
        return t.network.add(ChannelSlice, name, source, start=start, stop=stop, step=step)
    return t.network.select(name, source, chosen)


def split(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    axis, sizes = split_sizes(node, x.shape, inputs[1:])
    starts = np.cumsum([0, *sizes])
    found = []
    for i, (start, n) in enumerate(zip(starts, sizes)):
        name = t.name(node) + (f".{i}" if len(sizes) > 1 else "")
        found.append(_select(t, x, axis, np.arange(start, start + n), name))
    return found


def split_to_sequence(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    axis = one_axis(node, len(x.axes))
    n = x.shape[axis]
    given = inputs[1] if len(inputs) > 1 else None
    if given is None:
        each = [1] * n
    else:
        each = as_integers(given, "parts")
        if given.ndim == 0:
            size = max(1, each[0])
            each = [min(size, n - start) for start in range(0, n, size)]
    if not integer(node, "keepdims", 1) and given is None:
        raise WeightsError("it takes the axis that it splits away")
    if not each or min(each) < 1 or sum(each) != n:
        raise WeightsError(f"it splits {n} values in an unknown way")
    starts = np.cumsum([0, *each])
    return Sequence(
        _select(t, x, axis, np.arange(start, start + size), f"{t.name(node)}.{i}")
        for i, (start, size) in enumerate(zip(starts, each))
    )


def sequence_at(t: OnnxTranslator, node: Node, inputs: list):
    values, place = inputs
    if not isinstance(values, Sequence):
        raise WeightsError("it picks from what is no sequence")
    (at,) = as_integers(place, "position")
    if not -len(values) <= at < len(values):
        raise WeightsError(f"it picks value {at} of {len(values)}")
    return t.values.same(values[at])


def slice_(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    for axis, one in enumerate(slices(node, x.shape, inputs[1:])):
        if one != slice(None):
            places = np.arange(x.shape[axis])[one]
            x = _select(t, x, axis, places, t.name(node))
    return t.values.same(x)


def gather(t: OnnxTranslator, node: Node, inputs: list):
    x = _data(inputs)
    axis = one_axis(node, len(x.axes))
    places = np.asarray(as_integers(inputs[1], "indices"), np.int64)
    n = x.shape[axis]
    if not len(places) or np.any(places < -n) or np.any(places >= n):
        raise WeightsError(f"it takes values along axis {axis} that are not there")
    found = _select(t, x, axis, places % n, t.name(node))
    # the indices' axes take the place of this one: none of a single index, or several
    wanted = [*x.shape[:axis], *inputs[1].shape, *x.shape[axis + 1 :]]
    return found if inputs[1].ndim == 1 else _relabel(t, node, found, wanted)


HANDLERS = {
    "Identity": nothing,
    "CastLike": nothing,
    "Dropout": dropout,
    "Cast": cast,
    "Shape": shape,
    "Size": size,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Expand": expand,
    "Concat": concat,
    "Split": split,
    "SplitToSequence": split_to_sequence,
    "SequenceAt": sequence_at,
    "Slice": slice_,
    "Gather": gather,
}
