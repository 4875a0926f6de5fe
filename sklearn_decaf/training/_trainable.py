"""Which layers of a network are trained further, and from which of its outputs on."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ..networks.architecture import INPUT, Architecture
from ..networks.graphs.blocks import find_blocks, find_scores, layers_in_common
from ..networks.layers import Layer

#: What may be trained: a word, or names of layers and blocks.
Trainable = str | Sequence[str]


@dataclass(frozen=True)
class Block:
    """A block of a network, such as an inverted residual block or a convolution with its ReLU.

    Attributes
    ----------
    output : str
        Its last layer.
    trainable : tuple of str
        Those of its layers that have parameters.
    """

    output: str
    trainable: tuple[str, ...]


def with_inputs(net: Architecture, layers: Collection[Layer] | None = None) -> dict[str, Layer]:
    """Layers by name, in order, each with the names of what it reads, also where it is implied."""
    layers = net.layers if layers is None else layers
    return {layer.name: replace(layer, inputs=net.inputs(layer.name)) for layer in layers}


def network_blocks(net: Architecture) -> tuple[Block, ...]:
    """The blocks of a network on the way to its class scores, in order.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> from sklearn_decaf.training._trainable import network_blocks
    >>> blocks = network_blocks(get_architecture("squeezenet1_1"))
    >>> [block.output for block in blocks]
    ['pool1', 'fire2', 'fire3', 'fire4', 'fire5', 'fire6', 'fire7', 'fire8', 'fire9', 'relu10']
    >>> blocks[-2].trainable
    ('fire9.squeeze', 'fire9.expand1x1', 'fire9.expand3x3')
    """
    layers = with_inputs(net)
    scores = net.decaf_layers.get(8) or find_scores(layers, net.layers[-1].name)
    found, known = [], set()
    for output in find_blocks(layers, {INPUT: net.input_shape, **net.shapes()}, scores):
        own = [layer.name for layer in net.ancestors([output]) if layer.name not in known]
        known.update(own)
        found.append(Block(output, tuple(n for n in own if net.layer_parameter_shapes(n))))
    return tuple(block for block in found if block.trainable)


def head_layers(net: Architecture) -> tuple[str, ...]:
    """The layers that a new head may read: 7 and 6, or the last two blocks if they have no number.

    They are names, the last layer first.
    """
    numbered = [net.decaf_layers[number] for number in (7, 6) if number in net.decaf_layers]
    if numbered:
        return tuple(dict.fromkeys(numbered))
    blocks = network_blocks(net)
    return tuple(block.output for block in blocks[-2:][::-1]) or (net.layers[-1].name,)


def trainable_layers(net: Architecture, trainable: Trainable, top: str) -> tuple[str, ...]:
    """The layers with parameters that `trainable` speaks of, in order.

    Parameters
    ----------
    net : Architecture
    trainable : {"head", "last:k", "all"} or sequence of str
        Nothing below a new head; the last k blocks, counted back from `top`; all layers; or names
        of layers and blocks.
    top : str
        The last layer below the head.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValueError
        If there are not so many blocks, or there is no such layer, or it has no parameters or is
        not below the head.
    """
    below = {layer.name for layer in net.ancestors([top])}
    with_parameters = [n for n in net.layer_names if n in below and net.layer_parameter_shapes(n)]
    if trainable == "head":
        return ()
    if trainable == "all":
        return tuple(with_parameters)
    if isinstance(trainable, str):
        count = _count(trainable)
        blocks = [block for block in network_blocks(net) if block.output in below]
        if count > len(blocks):
            raise ValueError(
                f"trainable={trainable!r}: {net.name} has {len(blocks)} blocks below the head: "
                f"{', '.join(block.output for block in blocks)}."
            )
        chosen = {name for block in blocks[-count:] for name in block.trainable}
    else:
        by_output = {block.output: block.trainable for block in network_blocks(net)}
        chosen = set()
        for item in trainable:
            name = net.resolve(item)
            # a name of a block's own may lead to its last layer, which is a convolution
            is_layer = name in with_parameters and (item == name or name not in by_output)
            own = (name,) if is_layer else by_output.get(name, ())
            if not own or not below.issuperset(own):
                raise ValueError(
                    f"trainable names {item!r}, which is neither a layer of {net.name} with "
                    f"parameters below {top!r}, nor a block of such layers. Layers: "
                    f"{', '.join(with_parameters)}. Blocks: {', '.join(by_output)}."
                )
            chosen.update(own)
    return tuple(name for name in with_parameters if name in chosen)


def check_trainable(trainable: Trainable) -> None:
    """Raise a ValueError if this is nothing that `trainable_layers` could understand."""
    if isinstance(trainable, str):
        if trainable not in ("head", "all"):
            _count(trainable)
    elif (
        not isinstance(trainable, tuple | list)
        or not trainable
        or not all(isinstance(name, str) for name in trainable)
    ):
        raise ValueError(f"trainable={trainable!r}: {_EXPECTED}")


_EXPECTED = (
    "it must be 'head', 'last:k' with a number of blocks such as 'last:6', 'all', or a tuple of "
    "names of layers or blocks."
)


def _count(trainable: str) -> int:
    match = re.fullmatch(r"last:([1-9]\d*)", trainable)
    if match is None:
        named = f" One name is passed as a tuple: ({trainable!r},)." if ":" not in trainable else ""
        raise ValueError(f"trainable={trainable!r}: {_EXPECTED}{named}")
    return int(match[1])


def find_cut(net: Architecture, trainable: Collection[str], output: str) -> str:
    """The last layer from which `output` follows and which no trainable layer has a part in.

    Training needs nothing of the layers before it. It is ``"data"`` where the first layer is
    trained.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> from sklearn_decaf.training._trainable import find_cut
    >>> find_cut(get_architecture("squeezenet1_1"), ["fire9.squeeze"], "fire9")
    'fire8'
    """
    changed: set[str] = set()
    for layer in net.layers:
        if layer.name in trainable or not changed.isdisjoint(net.inputs(layer.name)):
            changed.add(layer.name)
    cut = INPUT
    for layer, _ in layers_in_common(with_inputs(net), output):
        if layer.name in changed:
            break
        cut = layer.name
    return cut
