"""Computing what does not depend on the image: shapes, and parameters that nodes hand on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..formats._messages import describe
from ..formats._onnx_nodes import Node
from ..formats._onnx_tensors import Tensor

# Numbers in all arrays that nodes compute, besides one for each byte of the model.
MAX_COMPUTED = 2**22
MAX_AXES = 16
_TYPES = {1: "f4", 2: "u1", 3: "i1", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8"}
_TYPES[16] = "f4"  # bfloat16

Array = np.ndarray


class Folder:
    """Computes nodes whose inputs are all known.

    Parameters
    ----------
    files : ExternalFiles
        Where numbers of tensors may be.
    size : int
        Bytes of the model.
    """

    def __init__(self, files, size: int):
        self._files = files
        self._size = size
        self._spent = 0

    def read(self, tensor: Tensor) -> Array:
        """Numbers of a tensor."""
        return tensor.array(self._files)

    def compute(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """Outputs of a node.

        Raises
        ------
        WeightsError
            If it is of a kind that is not computed here, or asks for too much memory.
        """
        if node.kind == "Constant":
            return [self._constant(node)]
        if node.kind == "Split":
            return self._split(node, inputs)
        compute = _COMPUTED.get(node.kind)
        if compute is None:
            raise WeightsError("it computes a constant in a way that is not known")
        read = [one for one in inputs if one is not None]
        if node.kind not in _VIEWS and not all(one.flags.c_contiguous for one in read):
            self.spend(sum(one.size for one in read))  # which are copied
        with np.errstate(all="ignore"):
            return [np.asarray(compute(self, node, *inputs))]

    def spend(self, numbers: int) -> None:
        """Raise an error if that many numbers are too many, all together."""
        self._spent += numbers
        if numbers < 0 or self._spent > MAX_COMPUTED + self._size + self._files.size:
            raise WeightsError("its constants take more memory than networks need")

    def _constant(self, node: Node) -> Array:
        for name, value in node.attributes.items():
            if isinstance(value, Tensor):
                return self.read(value)
            if name in ("value_float", "value_floats"):
                return np.asarray(value, np.float32)
            if name in ("value_int", "value_ints"):
                return np.asarray(value, np.int64)
        raise WeightsError("a constant that holds no numbers")

    def _split(self, node: Node, inputs) -> list[Array]:
        axis, sizes = split_sizes(node, inputs[0].shape, inputs[1:])
        return np.split(inputs[0], np.cumsum(sizes)[:-1], axis=axis)


def integers(node: Node, name: str, default: Sequence[int] | None = None) -> list[int]:
    """Whole numbers in an attribute.

    Raises
    ------
    WeightsError
        If they are something else, or not there and without a default.
    """
    given: Any = node.attributes.get(name, default)
    found = list(given) if isinstance(given, list | tuple) else [given]
    if not all(type(n) is int for n in found):
        raise WeightsError(f"its {name} are no integers")
    return found


def integer(node: Node, name: str, default: int | None = None) -> int:
    """A whole number in an attribute."""
    found = integers(node, name, None if default is None else [default])
    if len(found) != 1:
        raise WeightsError(f"its {name} is not one integer")
    return found[0]


def number(node: Node, name: str, default: float) -> float:
    """A finite number in an attribute."""
    found: Any = node.attributes.get(name, default)
    if type(found) not in (int, float) or not math.isfinite(found):
        raise WeightsError(f"its {name} is {describe(found)}, not a number")
    return float(found)


def as_integers(array: object, what: str) -> list[int]:
    """Whole numbers in a constant."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iub" or array.size > 2**16:
        raise WeightsError(f"its {what} are not a few whole numbers")
    return [int(n) for n in array.ravel()]


def axes_of(node: Node, inputs: Sequence, n: int, place: int = 1) -> list[int] | None:
    """Axes in an attribute, or in newer models an input, from 0 to n - 1; None if not given."""
    if "axes" in node.attributes:
        found = integers(node, "axes")
    elif len(inputs) > place and inputs[place] is not None:
        found = as_integers(inputs[place], "axes")
    else:
        return None
    if not all(-n <= axis < n for axis in found) or len(found) > MAX_AXES:
        raise WeightsError(f"its axes are {found[:MAX_AXES]}, of an array with {n}")
    return sorted({axis % n for axis in found})


def one_axis(node: Node, n: int, default: int = 0) -> int:
    """An axis from 0 to n - 1."""
    axis = integer(node, "axis", default)
    if not -n <= axis < n:
        raise WeightsError(f"its axis is {axis}, of an array with {n} axes")
    return axis % n


def new_shape(node: Node, shape: Sequence[int], inputs: Sequence) -> list[int]:
    """Shape that a Reshape node makes of an array of this one."""
    if "shape" in node.attributes:
        wanted = integers(node, "shape")
    else:
        wanted = as_integers(inputs[1] if len(inputs) > 1 else None, "new axes")
    if len(wanted) > MAX_AXES:
        raise WeightsError(f"it makes an array of {len(wanted)} axes")
    if not integer(node, "allowzero", 0):
        wanted = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(wanted)]
    known = math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known > 0 and math.prod(shape) % known == 0:
        wanted[wanted.index(-1)] = math.prod(shape) // known
    if min(wanted, default=1) < 0 or math.prod(wanted) != math.prod(shape):
        raise WeightsError(f"it reshapes {tuple(shape)} to {tuple(wanted)}")
    return wanted


def permutation(node: Node, n: int) -> list[int]:
    """The order of axes that a Transpose node makes."""
    order = integers(node, "perm", list(range(n))[::-1])
    if sorted(order) != list(range(n)):
        raise WeightsError(f"it puts {n} axes into the order {order[:MAX_AXES]}")
    return order


def split_sizes(node: Node, shape: Sequence[int], rest: Sequence) -> tuple[int, list[int]]:
    """The axis that is split, and the lengths of its parts."""
    axis = one_axis(node, len(shape))
    n, parts = shape[axis], max(1, len(node.outputs))
    if "split" in node.attributes:
        sizes = integers(node, "split")
    elif rest and rest[0] is not None:
        sizes = as_integers(rest[0], "parts")
    else:
        each = -(-n // parts)
        sizes = [max(0, min(each, n - i * each)) for i in range(parts)]
    if sum(sizes) != n or min(sizes) < 1 or len(sizes) != parts:
        raise WeightsError(f"it splits {n} values into {sizes[:MAX_AXES]}")
    return axis, sizes


def slices(node: Node, shape: Sequence[int], rest: Sequence) -> list[slice]:
    """The slice along each axis."""

    def get(name: str, place: int, default: list[int] | None) -> list[int]:
        if name in node.attributes:
            return integers(node, name)
        if len(rest) > place and rest[place] is not None:
            return as_integers(rest[place], name)
        if default is None:
            raise WeightsError(f"it has no {name}")
        return default

    starts, ends = get("starts", 0, None), get("ends", 1, None)
    axes = get("axes", 2, list(range(len(starts))))
    steps = get("steps", 3, [1] * len(starts))
    found = [slice(None)] * len(shape)
    if not len(starts) == len(ends) == len(axes) == len(steps) <= MAX_AXES:
        raise WeightsError("its starts, ends, axes and steps are not of one number")
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if not -len(shape) <= axis < len(shape) or not step:
            raise WeightsError(f"it takes steps of {step} along axis {axis} of {len(shape)}")
        if step < 0 and end < -shape[axis]:  # as far as the first
            found[axis] = slice(start, None, step)
        else:
            found[axis] = slice(start, end, step)
    return found


# -- what nodes compute --


def _cast(folder: Folder, node: Node, x: Array) -> Array:
    code = _TYPES.get(integer(node, "to", 0))
    if code is None:
        raise WeightsError(f"it casts to type {node.attributes.get('to')}")
    if x.dtype != code:
        folder.spend(x.size)
    return x.astype(code, copy=False)


def _reduce(function: Callable) -> Callable:
    def reduce(folder: Folder, node: Node, x: Array, axes: Array | None = None) -> Array:
        over = axes_of(node, [x, axes], x.ndim)
        keep = bool(integer(node, "keepdims", 1))
        return function(x, axis=None if over is None else tuple(over), keepdims=keep)

    return reduce


def _expand(folder: Folder, node: Node, x: Array, shape: Array) -> Array:
    wanted = as_integers(shape, "shape")
    if len(wanted) > MAX_AXES:
        raise WeightsError(f"it makes an array of {len(wanted)} axes")
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(wanted)))  # takes no memory


def _filled(folder: Folder, node: Node, shape: Array) -> Array:
    value = node.attributes.get("value")
    number = folder.read(value) if isinstance(value, Tensor) else np.zeros(1, np.float32)
    sides = as_integers(shape, "shape")
    if len(sides) > MAX_AXES or min(sides, default=0) < 0 or number.size != 1:
        raise WeightsError(f"it fills an array of shape {sides[:MAX_AXES]}")
    return np.broadcast_to(number.reshape(()), sides)


def _unsqueeze(folder: Folder, node: Node, x: Array, axes: Array | None = None) -> Array:
    given = integers(node, "axes") if axes is None else as_integers(axes, "axes")
    if x.ndim + len(given) > MAX_AXES:
        raise WeightsError(f"it makes an array of {x.ndim + len(given)} axes")
    return np.expand_dims(x, tuple(given))


def _squeeze(folder: Folder, node: Node, x: Array, axes: Array | None = None) -> Array:
    found = axes_of(node, [x, axes], x.ndim)
    return np.squeeze(x, None if found is None else tuple(found))


def _gather(folder: Folder, node: Node, x: Array, at: Array) -> Array:
    folder.spend(at.size * max(1, x.size // max(1, x.shape[one_axis(node, x.ndim)])))
    return np.take(x, at.astype(np.int64), axis=one_axis(node, x.ndim))


def _concat(folder: Folder, node: Node, *parts: Array) -> Array:
    folder.spend(sum(one.size for one in parts))
    return np.concatenate(parts, axis=one_axis(node, parts[0].ndim))


def _flatten(folder: Folder, node: Node, x: Array) -> Array:
    axis = integer(node, "axis", 1) % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _range(folder: Folder, node: Node, start: Array, limit: Array, step: Array) -> Array:
    begin, end, by = (as_integers(one, "bounds")[0] for one in (start, limit, step))
    folder.spend(len(range(begin, end, by)))
    return np.arange(begin, end, by)


def _div(x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu":  # towards zero, as C does
        return (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype)
    return x / y


def _elementwise(function: Callable) -> Callable:
    def compute(folder: Folder, node: Node, *inputs: Array) -> Array:
        shape = np.broadcast_shapes(*(one.shape for one in inputs))
        folder.spend(math.prod(shape))
        return function(*inputs)

    return compute


# Those that copy nothing.
_VIEWS = frozenset(
    [
        "Identity",
        "CastLike",
        "Shape",
        "Size",
        "Transpose",
        "Unsqueeze",
        "Squeeze",
        "Expand",
        "Slice",
    ]
)
_COMPUTED: dict[str, Callable[..., Array]] = {
    "Identity": lambda folder, node, x: x,
    "CastLike": lambda folder, node, x, like: x,
    "Cast": _cast,
    "Shape": lambda folder, node, x: np.array(
        x.shape[slice(node.attributes.get("start"), node.attributes.get("end"))], np.int64
    ),
    "Size": lambda folder, node, x: np.array(x.size),
    "Reshape": lambda folder, node, x, *rest: x.reshape(new_shape(node, x.shape, [x, *rest])),
    "Transpose": lambda folder, node, x: x.transpose(permutation(node, x.ndim)),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Flatten": _flatten,
    "Expand": _expand,
    "ConstantOfShape": _filled,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": lambda folder, node, x, *rest: x[tuple(slices(node, x.shape, rest))],
    "Range": _range,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMean": _reduce(np.mean),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "Div": _elementwise(_div),
    "Mod": _elementwise(np.mod),
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Pow": _elementwise(np.power),
    "Min": _elementwise(lambda x, *rest: x if not rest else np.minimum.reduce([x, *rest])),
    "Max": _elementwise(lambda x, *rest: x if not rest else np.maximum.reduce([x, *rest])),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Sqrt": _elementwise(np.sqrt),
    "Exp": _elementwise(np.exp),
    "Reciprocal": _elementwise(np.reciprocal),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Equal": _elementwise(np.equal),
    "Greater": _elementwise(np.greater),
    "Less": _elementwise(np.less),
    "Not": _elementwise(np.logical_not),
    "And": _elementwise(np.logical_and),
    "Where": _elementwise(np.where),
}
