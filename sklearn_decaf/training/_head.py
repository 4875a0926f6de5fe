"""A network with a new head: the scores of classes that it was not trained for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..networks.architecture import Architecture
from ..networks.features import FeatureBlock, feature_blocks
from ..networks.layers import LRN, Concat, Dense, Softmax
from ._trainable import with_inputs

SCALINGS = (None, "l2")
_TINY = 1e-12  # so that a row of zeros stays one


@dataclass(frozen=True)
class Head:
    """What the head of a network reads.

    Attributes
    ----------
    layer : str
        The layer below it, whose maps are pooled as the architecture says.
    scaling : {None, "l2"}
        Whether each row of features is divided by its Euclidean length.
    """

    layer: str
    scaling: str | None = None


@dataclass(frozen=True)
class HeadedNetwork:
    """A network with a new head.

    Attributes
    ----------
    architecture : Architecture
        The layers that the head needs, and it.
    features : str
        The layer that gives the rows of features, before they are scaled.
    scores : str
        The dense layer that gives the class scores.
    """

    architecture: Architecture
    features: str
    scores: str


def with_head(net: Architecture, head: Head, n_classes: int) -> HeadedNetwork:
    """Put a new head upon a layer of a network; what is above that layer goes.

    A dense layer gives the scores, as it does in the pipeline of features and a linear classifier
    that it begins as.

    Raises
    ------
    ValueError
        If there is no such layer, or its values are a map that is not pooled, and to be scaled.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> from sklearn_decaf.training._head import Head, with_head
    >>> made = with_head(get_architecture("efficientnet_lite0"), Head("head", "l2"), 5)
    >>> [layer.name for layer in made.architecture.layers[-4:]]
    ['head:avg', 'head:l2', 'fc', 'prob']
    """
    extended, (block,) = feature_blocks(net, (head.layer,), "auto")
    layers = with_inputs(extended, extended.ancestors(block.outputs))
    features = block.outputs[0]
    if len(block.outputs) > 1:
        features = f"{block.name}:both"
        layers[features] = Concat(features, block.outputs)
    below = features
    if head.scaling == "l2":
        if not can_scale(net, block):
            raise ValueError(
                f"scaling='l2' divides rows by their length, and the values of {head.layer!r} of "
                f"{net.name} are maps, which are not pooled"
            )
        below = f"{block.name}:l2"
        layers[below] = _unit_length(below, features, block.width)
    own = net.decaf_layers.get(8, "")
    scores = own if own and own not in layers and isinstance(net[own], Dense) else "classes"
    layers[scores] = Dense(scores, (below,), units=n_classes)
    layers["prob"] = Softmax("prob", (scores,))
    numbers = {n: name for n, name in net.decaf_layers.items() if n != 8 and name in layers}
    architecture = Architecture(
        f"{net.name}_tuned",
        tuple(layers.values()),
        net.preprocessing,
        {**numbers, 8: scores},
        pooling=net.pooling,
        layer_pooling={n: kind for n, kind in net.layer_pooling.items() if n in layers},
        dropout_layers=frozenset(name for name in net.dropout_layers if name in layers),
        aliases={
            alias: name
            for alias, name in net.aliases.items()
            if name in layers and alias not in layers
        },
    )
    return HeadedNetwork(architecture, features, scores)


def can_scale(net: Architecture, block: FeatureBlock) -> bool:
    """Tell whether the features of a layer are a vector, which has a length."""
    return block.outputs != (block.name,) or len(net.shapes()[block.name]) == 1


def _unit_length(name: str, source: str, width: int) -> LRN:
    """A layer that divides rows by their length: normalisation over a window of all channels."""
    size = 2 * width - 1
    return LRN(name, (source,), size=size, alpha=float(size), beta=0.5, k=_TINY)


def scale_rows(rows: np.ndarray, scaling: str | None) -> np.ndarray:
    """Scale rows of features, (n, d), as the network does."""
    if scaling is None:
        return rows
    squares = np.square(rows, dtype=np.float64).sum(axis=1, keepdims=True)
    return (rows / np.sqrt(squares + _TINY)).astype(rows.dtype)
