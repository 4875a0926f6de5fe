"""From the graph of an ONNX model to a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT
from ..formats._messages import describe
from ..formats._onnx_nodes import Node, OnnxGraph
from .axes import letters, whole
from .constants import Folder
from .names import name_of_node
from .network import Network
from .values import Sequence as ValueSequence
from .values import Value, Values

DEFAULT_SIDE = 224
_OWN_DOMAINS = ("", "ai.onnx")
# What stands behind class scores in some models, and gives no features.
_ENDINGS = frozenset(["ArgMax", "ArgMin", "TopK", "LogSoftmax"])

# Operators whose first operand may be a constant, or several values.
_ANY_OPERANDS = frozenset(
    ["Add", "Sub", "Mul", "Div", "Pow", "Sum", "Max", "Min", "CastLike", "Concat", "SequenceAt"]
)

Operand = Value | np.ndarray
# What makes values of the inputs of a node: one, or a list of its outputs.
Handler = Callable[["OnnxTranslator", Node, list], Any]


class Ending:
    """Stands for results that are no features: they may be outputs, and nothing reads them."""


class OnnxTranslator:
    """Goes through the nodes of a graph in order, and makes layers of them.

    Parameters
    ----------
    graph : OnnxGraph
    handlers : mapping of str to callable
        By operator, what makes values of a node's inputs.
    sides : (int, int) or None
        Height and width of the input, where the graph leaves them open; None is 224 for both.

    Attributes
    ----------
    network : Network
    output : str
        The layer that gives the output of the graph; the last one of several.
    notes : list of str
        What was assumed.
    opset : int
    """

    def __init__(
        self,
        graph: OnnxGraph,
        handlers: dict[str, Handler],
        sides: tuple[int, int] | None = None,
    ):
        self.notes: list[str] = []
        self.opset = graph.opset or 1  # what is meant by none, in the first models
        self._graph = graph
        self._handlers = handlers
        self._folder = Folder(graph.files, graph.size)
        outputs = graph.outputs or list(_unread(graph.nodes))
        if not outputs:
            raise WeightsError("other nodes read the output of every node: the graph has a cycle")
        nodes = _needed(graph.nodes, outputs)
        self._readers = Counter(name for node in nodes for name in node.inputs)
        self._readers.update(outputs)
        name, shape = self._find_input(nodes)
        n, sides, order = self._understand_input(name, shape, sides)
        self.network = Network(sides)
        self.values = Values(self.network, n)
        lengths = {"n": n, "c": 3, "h": sides[0], "w": sides[1]}
        axes = tuple(whole(letter, lengths[letter]) for letter in order)
        first = self.values.output(INPUT, axes)
        first.alone = self._readers[name] == 1
        self._found: dict[str, Operand | Ending | None] = {name: first, "": None}
        for node in nodes:
            self._translate(node)
        self.output = self._last_layer(outputs)

    # -- the input --

    def _find_input(self, nodes: Sequence[Node]) -> tuple[str, list[int] | None]:
        declared = [name for name in self._graph.inputs if name not in self._graph.tensors]
        if not self._graph.inputs:  # whatever is read without having been written
            written = {name for node in nodes for name in node.outputs} | {""}
            written.update(self._graph.tensors)
            read = dict.fromkeys(n for node in nodes for n in node.inputs if n not in written)
            declared = list(read)[:1]
        used = [name for name in declared if self._readers[name]]
        if len(used) != 1:
            listed = ", ".join(map(describe, used[:5]))
            raise WeightsError(
                f"the graph has {len(used)} inputs{f' ({listed})' if used else ''}; one, the "
                "picture, is expected"
            )
        return used[0], self._graph.inputs.get(used[0])

    def _understand_input(
        self, name: str, shape: list[int] | None, sides: tuple[int, int] | None
    ) -> tuple[int, tuple[int, int], str]:
        """Number of images, height and width, and order of axes of the input."""
        if shape is None:
            shape = [0, 0, 0, 0]
        if len(shape) != 4:
            raise WeightsError(
                f"input {describe(name)} has {len(shape)} axes; a batch of pictures has four"
            )
        order = "nhwc" if shape[3] == 3 and shape[1] != 3 else "nchw"
        sizes = dict(zip(order, shape))
        if sizes["c"] not in (0, 3):
            raise WeightsError(
                f"input {describe(name)} has shape {tuple(shape)}, with 0 for an open axis; "
                "pictures of three channels are expected"
            )
        own = sizes["h"], sizes["w"]
        if sides is not None and any(n not in (0, wanted) for n, wanted in zip(own, sides)):
            raise WeightsError(
                f"preprocessing crops to {sides[0]} x {sides[1]} pixels, but the graph is for "
                f"{' x '.join(str(n or 'any') for n in own)}"
            )
        if sides is None and not all(own):
            self.notes.append(
                f"the graph leaves the size of its input open: {DEFAULT_SIDE} pixels are assumed"
            )
        wanted = sides or (own[0] or DEFAULT_SIDE, own[1] or DEFAULT_SIDE)
        return sizes["n"] or 1, wanted, order

    # -- nodes --

    def _translate(self, node: Node) -> None:
        try:
            outputs = self._outputs(node)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # what NumPy says of numbers that fit nowhere, in a damaged file
            label = describe(node.name or (node.outputs or [""])[0])
            raise WeightsError(f"node {label} of kind {describe(node.kind)}: {error}") from error
        for name, value in zip(node.outputs, outputs):
            if name in self._found and name:
                raise WeightsError(f"two nodes write {describe(name)}")
            if isinstance(value, Value):
                value.alone = self._readers[name] == 1 and value.alone_before
                value = self._in_order(value)
            self._found[name] = value

    def _in_order(self, value: Value) -> Value:
        """Shuffle channels where a graph has done so, rather than where somebody reads them.

        The layers after it have their channels as the nodes have whose names they bear.
        """
        axes = [axis for axis in value.axes if "c" in letters([axis])]
        if len(axes) == 1 and len(axes[0]) > 1 and set(letters(axes)) == {"c"}:
            return self.values.natural(value)
        return value

    def _outputs(self, node: Node) -> Sequence[Operand | Ending]:
        if node.domain not in _OWN_DOMAINS:
            raise WeightsError(
                f"an operator of {describe(node.domain)}: there is no layer for it; give the "
                "model as it was exported, before it was optimised"
            )
        inputs: list[Any] = [self._read(name) for name in node.inputs]
        if any(isinstance(one, Ending) for one in inputs):
            raise WeightsError("it reads the output of a node for which there is no layer")
        if not any(isinstance(one, Value | ValueSequence) for one in inputs):
            return self._folder.compute(node, inputs)
        handler = self._handlers.get(node.kind)
        if handler is None:
            if node.kind in _ENDINGS:
                self.notes.append(f"{node.kind} at the end is left out")
                return [Ending()] * len(node.outputs)
            raise WeightsError("there is no layer for this operator")
        if node.kind != "SequenceAt" and any(isinstance(one, ValueSequence) for one in inputs):
            raise WeightsError("it reads a list of arrays; only SequenceAt may")
        if not isinstance(inputs[0], Value) and node.kind not in _ANY_OPERANDS:
            raise WeightsError("its first input does not depend on the picture, and others do")
        found: Any = handler(self, node, inputs)
        return found if type(found) is list else [found]

    def _read(self, name: str) -> Operand | Ending | None:
        if name not in self._found:
            tensor = self._graph.tensors.get(name)
            if tensor is None:
                raise WeightsError(
                    f"it reads {describe(name)}, which no node before it writes: the graph has a "
                    "cycle, or is damaged"
                )
            self._found[name] = self._folder.read(tensor)
        return self._found[name]

    def _last_layer(self, outputs: Sequence[str]) -> str:
        """The last of the layers that the outputs are; they are made here, if they were not."""
        values = [self._found.get(name) for name in outputs]
        made = {self.values.materialise(one) for one in values if isinstance(one, Value)}
        order = [name for name in self.network.layers if name in made or not made - {INPUT}]
        if not order or not self.network.parameters:
            raise WeightsError("the graph has no layers with parameters that its output needs")
        return order[-1]

    # -- what handlers ask for --

    def name(self, node: Node, weight: str = "") -> str:
        """What the layer of a node is called."""
        output = node.outputs[0] if node.outputs else ""
        # a tensor that several nodes read names one of them at most
        own = weight in self._graph.tensors and self._readers[weight] == 1
        return name_of_node(node.kind, node.name, output, weight if own else "")

    def output_of(self, layer: str, like: Value) -> Value:
        """Value of a layer, in the same order of axes as another one."""
        order = "nchw" if len(like.axes) == 4 else "nc"
        return self.values.output(layer, self.values.axes_of(layer, order))


def _unread(nodes: Sequence[Node]) -> Iterator[str]:
    """What is written and nobody reads, where a graph does not name its outputs."""
    read = {name for node in nodes for name in node.inputs}
    return (name for node in nodes for name in node.outputs if name not in read)


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """The nodes that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(filter(None, node.outputs)):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]
