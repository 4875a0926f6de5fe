"""Blocks of a network that nobody named: where its branches meet, and its plain layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..architecture import INPUT
from ..layers import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Layer,
    MaxPool,
    Shape,
    Sigmoid,
    Softmax,
)
from ..layers._windows import pair


@dataclass
class Block:
    """Layers that belong together.

    Attributes
    ----------
    first : Layer
        The convolution or dense layer that it begins with, or where branches meet.
    end : str
        Name of its last layer.
    names : list of str
        Its layers, without those of branches.
    has : {"", "depthwise", "1x1"}
        The last of the kinds of convolution that an inverted block has.
    """

    first: Layer
    end: str
    names: list[str]
    has: str = ""


def find_scores(layers: Mapping[str, Layer], output: str) -> str:
    """The layer that gives the class scores: the output, or what a Softmax at its end reads."""
    while isinstance(layers[output], Softmax | Identity | Sigmoid):
        before = layers[output].inputs[0]
        if before == INPUT:
            break
        output = before
    return output


def find_blocks(layers: Mapping[str, Layer], shapes: Mapping[str, Shape], scores: str) -> list[str]:
    """Outputs of the blocks on the way to the class scores, in order.

    What all paths from the image to the scores have in common is cut into blocks. A block ends
    where branches meet (a sum, or maps joined), or it is one convolution or dense layer; what
    works on each value or pixel by itself, and a pooling after a plain layer, belongs to the layer
    before it. A depthwise convolution, the 1x1 layer after it, and one before it that adds
    channels, are one block; so are maps that are joined and the 1x1 layer before their branches,
    if that takes channels away. The layer of the scores is no block.
    """
    found: list[Block] = []
    for layer, meets in layers_in_common(layers, scores):
        if isinstance(layer, Conv | Dense) or (meets and isinstance(layer, Add | Concat)):
            found.append(Block(layer, layer.name, [layer.name]))
        elif isinstance(layer, GlobalAveragePool | GlobalMaxPool):
            found.append(Block(layer, "", [layer.name]))  # which is none, but ends one
        elif found and found[-1].end:
            plain = isinstance(found[-1].first, Conv | Dense)
            if not isinstance(layer, MaxPool | AveragePool) or plain:
                found[-1].names.append(layer.name)
                found[-1].end = layer.name
            else:
                found.append(Block(layer, "", [layer.name]))
    blocks = [block for block in found if block.end]
    own = next((i for i, block in enumerate(blocks) if scores in block.names), len(blocks))
    if own < len(blocks) and not isinstance(layers[scores], Conv | Dense):
        own += 1  # a network without a head
    return [block.end for block in _merged(blocks[:own], shapes)]


def layers_in_common(layers: Mapping[str, Layer], scores: str) -> list[tuple[Layer, bool]]:
    """Layers on all paths from the image to the scores, and whether branches meet in them."""
    needed, order = {scores}, []
    for layer in reversed(list(layers.values())):
        if layer.name in needed:
            needed.update(layer.inputs)
            order.append(layer)
    order.reverse()
    place = {INPUT: -1, **{layer.name: i for i, layer in enumerate(order)}}
    last_reader = [0] * (len(order) + 1)  # of the input, and of each layer
    for i, layer in enumerate(order):
        for name in layer.inputs:
            last_reader[place[name] + 1] = i
    found, open_until, before = [], last_reader[0], -1
    for i, layer in enumerate(order):
        if open_until <= i:
            found.append((layer, i - before > 1))
            before = i
        open_until = max(open_until, last_reader[i + 1])
    return found


def _merged(blocks: Sequence[Block], shapes: Mapping[str, Shape]) -> list[Block]:
    """Depthwise convolutions together with the layers around them."""
    result: list[Block] = []
    for block in blocks:
        before = result[-1] if result else None
        if before is not None and before.has == "depthwise" and _is_pointwise(block):
            result[-1] = Block(before.first, block.end, before.names + block.names, "1x1")
        elif _is_depthwise(block, shapes):
            if before is not None and not before.has and _adds_channels(before, shapes):
                result.pop()
            result.append(Block(block.first, block.end, block.names, "depthwise"))
        else:
            if isinstance(block.first, Concat) and before is not None and _squeezes(before, shapes):
                result.pop()
            result.append(block)
    return result


def _is_pointwise(block: Block) -> bool:
    first = block.first
    return isinstance(first, Conv) and pair(first.kernel_size) == (1, 1) and first.groups == 1


def _squeezes(block: Block, shapes: Mapping[str, Shape]) -> bool:
    first = block.first
    return (
        isinstance(first, Conv)
        and _is_pointwise(block)
        and first.filters < shapes[first.inputs[0]][-1]
    )


def _is_depthwise(block: Block, shapes: Mapping[str, Shape]) -> bool:
    first = block.first
    return isinstance(first, Conv) and first.is_depthwise(shapes[first.inputs[0]][-1])


def _adds_channels(block: Block, shapes: Mapping[str, Shape]) -> bool:
    first = block.first
    return (
        isinstance(first, Conv)
        and _is_pointwise(block)
        and first.filters > shapes[first.inputs[0]][-1]
    )
