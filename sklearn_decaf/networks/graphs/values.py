"""What flows through a graph: outputs of layers, relabelled, and functions still to be told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...exceptions import WeightsError
from ..layers import (
    Add,
    ChannelShuffle,
    Identity,
    LayerNorm,
    Multiply,
    Scale,
)
from .axes import Axes, Axis, broadcast, indices, length, letters, shape_of, whole
from .functions import MAX_SIZE, Expression, identify
from .network import Network


@dataclass(eq=False)
class Value:
    """An array that a node hands on.

    Attributes
    ----------
    axes : tuple of Axis
    expression : Expression
        What it is of the array that its layers begin with.
    base : Expression
        That array, which is the output of a layer.
    name : str
        What a layer that computes it is called.
    source : str
        The layer that gives it; empty as long as there is none.
    alone : bool
        Whether one node alone reads it.
    pads : (top, left, bottom, right) or None
        Zeros around the layer's maps, which the next layer has to put there.
    original : Value or None
        Another one that is the same.
    alone_before : bool
        Whether the value that this is under another name was alone.
    """

    axes: Axes
    expression: Expression
    base: Expression
    name: str
    source: str = ""
    alone: bool = False
    pads: tuple[int, int, int, int] | None = None
    original: Value | None = None
    alone_before: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return shape_of(self.axes)


class Sequence(list):
    """Several values that go as one."""


class Values:
    """Makes values, and layers of them when these are needed.

    Parameters
    ----------
    network : Network
    n : int
        Images in the batch that the file was written for; 1 if it leaves that open.
    """

    def __init__(self, network: Network, n: int = 1):
        self.network = network
        self.n = n
        self._bases: dict[str, dict[Axes, Expression]] = {}  # by layer
        self._of: dict[Expression, Value] = {}
        self._changed: set[Expression] = set()  # of layers that do more now
        self._reordered: dict[tuple[str, Axis], str] = {}  # layers, by those they reorder

    # -- making values --

    def output(self, source: str, axes: Axes, name: str = "") -> Value:
        """The output of a layer."""
        base = self._bases.setdefault(source, {}).setdefault(axes, Expression())
        value = Value(axes, base, base, name or source, source)
        self._of.setdefault(base, value)
        return value

    def function(self, name: str, operation: str, *arguments: Value | float) -> Value:
        """What an operation makes of values with one base, and of numbers."""
        own = [one for one in arguments if isinstance(one, Value)]
        if sum(one.expression.size for one in own) >= MAX_SIZE:
            self.materialise(own[0])
            arguments = tuple(
                self._again(one) if isinstance(one, Value) else one for one in arguments
            )
            own = [one for one in arguments if isinstance(one, Value)]
        axes = own[0].axes
        for one in own[1:]:
            axes = broadcast(axes, one.axes)
        parts = tuple(a.expression if isinstance(a, Value) else a for a in arguments)
        value = Value(axes, Expression(operation, parts), own[0].base, name)
        self._of[value.expression] = value
        return value

    def _again(self, value: Value) -> Value:
        return self.output(self.materialise(value), value.axes, value.name)

    def same(self, value: Value) -> Value:
        """The value once more, for a node that does nothing to it."""
        return replace(value, original=value.original or value, alone_before=value.alone)

    def relabelled(self, name: str, value: Value, axes: Axes) -> Value:
        """The value with other axes, under a name of its own."""
        if axes == value.axes:
            return self.same(value)
        if value.expression.operation == "mean" and not value.source:
            return replace(value, axes=axes)  # part of a normalisation, and no layer
        found = self.output(self.materialise(value), axes, name)
        found.alone_before = value.alone
        return found

    def bordered(self, value: Value, axes: Axes, pads: tuple[int, int, int, int]) -> Value:
        """The value with zeros around its maps, and axes that count them."""
        base = Expression()
        source = self.materialise(value)
        found = Value(axes, base, base, value.name, source, pads=pads)
        self._of[base] = found
        return found

    def sides(self, value: Value) -> tuple[int, int, int]:
        """(h, w, c) of the maps, with the zeros around them."""
        own = (value.original or value).source
        # functions change no sizes, and need no layer to tell them
        source = own or self.materialise(self._of[value.base], bordered=False)
        h, w, c = self.network.shape(source)
        top, left, bottom, right = value.pads or (0, 0, 0, 0)
        return h + top + bottom, w + left + right, c

    # -- making layers --

    def materialise(self, value: Value, *, bordered: bool = True) -> str:
        """Name of the layer that gives a value; it is made if there is none.

        Parameters
        ----------
        value : Value
        bordered : bool, default=True
            Whether zeros around maps have to be there, and not just be known.
        """
        if value.original is not None:
            value.source = self.materialise(value.original, bordered=bordered)
            value.pads = value.original.pads
        elif not value.source:
            value.source = self._made(value)
        if bordered and value.pads is not None:
            pads, value.pads = value.pads, None
            value.source = self.network.bordered(value.name, value.source, pads)
        return value.source

    def _made(self, value: Value) -> str:
        whole_expression = value.expression
        for part in whole_expression.parts():
            input_ = self._of.get(part)
            if input_ is None or input_.axes != value.axes or part in self._changed:
                continue
            found = None if part is whole_expression else identify(whole_expression, part)
            if found is not None:
                kind, options = found
                return self._layer(value, input_, kind, options)
        return self._by_itself(value)

    def _layer(self, value: Value, input_: Value, kind, options) -> str:
        source, net = self.materialise(input_), self.network
        if kind is Identity:
            value.alone = value.alone and input_.alone
            return source
        channels = net.shape(source)[-1]
        if kind is Scale:
            scale, shift = options["scale"], options["shift"]
            factor = None if scale == 1 else np.full(channels, scale)
            return self.scale(
                value.name, input_, factor, None if shift == 0 else np.full(channels, shift)
            )
        parameters = None
        if kind is LayerNorm:
            parameters = {"scale": np.ones(channels), "shift": np.zeros(channels)}
        return net.add(kind, value.name, source, parameters=parameters, **options)

    def _by_itself(self, value: Value) -> str:
        """A layer for the last operation of an expression that is no known function."""
        operation, arguments = value.expression.operation, value.expression.arguments
        own = [self._of[one] for one in arguments if isinstance(one, Expression)]
        if len(own) == 2 and operation in ("add", "sub", "mul"):
            return self.combined(value.name, operation, *own).source
        if operation in ("min", "max") and len(own) == 1:
            (bound,) = (one for one in arguments if not isinstance(one, Expression))
            return self._bounded(value.name, operation, own[0], bound)
        raise WeightsError(
            f"there is no layer that computes {operation or 'this'} here, and the nodes around it "
            "are no known function"
        )

    def _bounded(self, name: str, operation: str, value: Value, bound: float) -> str:
        """``max(x, bound)`` is ``relu(x - bound) + bound``, and a minimum is a maximum negated."""
        sign = 1.0 if operation == "max" else -1.0
        moved = self.function(f"{name}.above", "mul", value, sign)
        moved = self.function(f"{name}.above", "sub", moved, sign * bound)
        kept = self.function(f"{name}.kept", "max", self._again(moved), 0.0)
        out = self.function(name, "add", self._again(kept), sign * bound)
        return self.materialise(self.function(name, "mul", out, sign))

    def combined(self, name: str, operation: str, first: Value, second: Value) -> Value:
        """The sum, difference or product of two values, by a layer."""
        net = self.network
        first, second = self.natural(first), self.natural(second)
        axes = broadcast(first.axes, second.axes)
        if operation == "sub":
            negative = self.function(f"{name}.negative", "mul", second, -1.0)
            second, operation = self._again(negative), "add"
        if operation == "mul" and first.axes != broadcast(first.axes, second.axes):
            first, second = second, first
        sources = [self.materialise(first), self.materialise(second)]
        one, other = (net.shapes[source] for source in sources)
        if one != other and net.shape(sources[0]) == net.shape(sources[1]):
            sources = [net.vector(source) for source in sources]
        if operation == "add" and net.shape(sources[0]) != net.shape(sources[1]):
            raise WeightsError(
                f"it adds an array of another shape to one of {shape_of(axes)}: sums are of arrays "
                "of one shape"
            )
        made = net.add(Add if operation == "add" else Multiply, name, *sources)
        return self.output(made, axes)

    def scale(self, name, value: Value, factor, shift) -> str:
        """A layer that multiplies each channel by a number, and adds one; perhaps part of others.

        It is the layer of `value` where that can do so, and is not read by others.
        """
        source = self.materialise(value)
        found = self.network.scale(name, source, factor, shift, alone=value.alone)
        if found == source:
            self._changed.update(self._bases.pop(source, {}).values())
            self._changed.add(value.expression)
        return found

    # -- axes --

    def natural(self, value: Value) -> Value:
        """The value with its channels along one axis, in the order of its layer.

        Channels in another order, such as the shuffled ones, are put into that by a layer.
        """
        with_channels = [i for i, axis in enumerate(value.axes) if "c" in letters([axis])]
        if len(with_channels) > 1:
            raise WeightsError(f"its channels are over several axes of an array {value.shape}")
        if not with_channels:
            return value
        (place,) = with_channels
        axis = value.axes[place]
        parts = [part for part in axis if part[0] == "c"]
        if len(parts) == 1:
            return value
        first = axis.index(parts[0])
        if axis[first : first + len(parts)] != tuple(parts):
            raise WeightsError(f"its channels are mixed with pixels in an array {value.shape}")
        source, net = self.materialise(value), self.network
        channels = net.shape(source)[-1]
        made = self._reordered.get((source, tuple(parts)), "")
        if not made and len(parts) == 2 and parts[0][1] == 1:
            made = net.add(ChannelShuffle, value.name, source, groups=parts[1][2])
        elif not made:
            order = np.argsort(indices(tuple(parts), "c", channels))
            made = net.select(value.name, source, order)
        self._reordered[source, tuple(parts)] = made
        whole_axis: Axis = axis[:first] + whole("c", channels) + axis[first + len(parts) :]
        axes = (*value.axes[:place], whole_axis, *value.axes[place + 1 :])
        found = self.output(made, axes)
        found.alone = found.alone_before = value.alone
        return found

    def maps(self, value: Value, order: str = "nchw") -> Value:
        """The value, which has to be an array with these axes.

        Raises
        ------
        WeightsError
            If it is another one.
        """
        found = self.natural(value)
        sizes = dict(zip("hwc", self.sides(found)), n=self.n)
        if found.axes != tuple(whole(letter, sizes[letter]) for letter in order):
            raise WeightsError(
                f"it wants an array of axes {', '.join(order)} and reads one of shape "
                f"{found.shape}, whose axes are {[letters([axis]) or '1' for axis in found.axes]}"
            )
        return found

    def axes_of(self, source: str, order: str = "nchw") -> Axes:
        """The axes of a layer's output in this order."""
        sizes = dict(zip("hwc", self.network.shape(source)), n=self.n)
        return tuple(whole(letter, sizes[letter]) for letter in order)

    def per_channel(self, value: Value, array: np.ndarray) -> np.ndarray:
        """(c,) of a constant that is broadcast over a value.

        Raises
        ------
        WeightsError
            If it is not the same for all pixels.
        """
        if array.ndim > len(value.axes) or (array.ndim and broadcast_shape(array, value) is None):
            raise WeightsError(f"a constant of shape {array.shape} for an array {value.shape}")
        channels = self.sides(value)[-1]
        places: list[np.ndarray] = []
        for size, axis in zip(array.shape[::-1], value.axes[::-1]):
            at = len(places)
            if size == 1:
                places.append(np.zeros(channels, np.int64))
            elif set(letters([axis])) <= {"c"}:
                places.append(indices(axis, "c", channels))
            else:
                own = -1 - at
                first = np.take(array, [0], axis=own)
                if not np.array_equal(np.broadcast_to(first, array.shape), array):
                    raise WeightsError("its constant is not the same for all pixels")
                places.append(np.zeros(channels, np.int64))
        vector = array[tuple(places[::-1])] if places else np.full(channels, array)
        return vector.astype(np.float64)


def broadcast_shape(array: np.ndarray, value: Value) -> tuple[int, ...] | None:
    """Shape of a value if a constant is broadcast over it, and does not make it larger."""
    pairs = zip(array.shape[::-1], map(length, value.axes[::-1]))
    return value.shape if all(size in (1, own) for size, own in pairs) else None
