"""From images of a network's input size to rows of features of the wanted layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .architecture import Architecture
from .engine.plan import Plan
from .imagenet import imagenet_classes
from .layers import GlobalAveragePool, GlobalMaxPool, Layer
from .weights.weights import Weights

_POOLING_LAYERS = {"avg": GlobalAveragePool, "max": GlobalMaxPool}

# How maps become vectors: one way for all wanted layers, or one for each of them.
Pooling = str | None | tuple[str | None, ...]


@dataclass(frozen=True)
class FeatureBlock:
    """The columns that come from one wanted layer.

    Attributes
    ----------
    layer : int or str
        The layer as it was asked for.
    name : str
        Its name in the architecture.
    outputs : tuple of str
        The layers whose flattened values stand side by side: itself, or poolings of it.
    columns : slice
        Where they stand.
    """

    layer: int | str
    name: str
    outputs: tuple[str, ...]
    columns: slice

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.columns.stop - self.columns.start


def feature_blocks(
    architecture: Architecture, layers: tuple[int | str, ...], pooling: Pooling
) -> tuple[Architecture, tuple[FeatureBlock, ...]]:
    """Add the poolings that the wanted layers need, and lay out the columns.

    A network that has such a layer already, under the same name, is left as it is.

    Returns
    -------
    Architecture
        The network, with pooling layers at its end.
    tuple of FeatureBlock
        One a layer, side by side.

    Raises
    ------
    ValueError
        If a layer does not exist or is asked for twice.
    """
    shapes = architecture.shapes()
    extra: list[Layer] = []
    blocks: list[FeatureBlock] = []
    start = 0
    kinds = pooling if isinstance(pooling, tuple) else (pooling,) * len(layers)
    for layer, kind in zip(layers, kinds, strict=True):
        name = architecture.resolve(layer)
        if any(block.name == name for block in blocks):
            raise ValueError(f"layer={layers!r} asks twice for layer {name!r}; name it once")
        if kind == "auto":
            kind = architecture.default_pooling(name)
        if len(shapes[name]) == 1 or kind is None:
            outputs, width = (name,), math.prod(shapes[name])
        else:
            parts = kind.split("+")
            pools = [_POOLING_LAYERS[part](f"{name}:{part}", (name,)) for part in parts]
            extra += [pool for pool in pools if pool not in architecture.layers]
            outputs = tuple(pool.name for pool in pools)
            width = shapes[name][-1] * len(pools)
        blocks.append(FeatureBlock(layer, name, outputs, slice(start, start + width)))
        start += width
    return architecture.with_layers(*extra), tuple(blocks)


def column_names(weights: Weights, blocks: tuple[FeatureBlock, ...]) -> list[str]:
    """Names of the columns of blocks that lie side by side.

    Such as ``decaf6_0000`` for a layer given by number, ``pool5_0000`` for one given by name; class
    scores and probabilities end in the class: ``prob_0000_tench``, if the network was trained for
    those of ImageNet.
    """
    class_layers = {weights.architecture.decaf_layers.get(8), "prob"}
    classes = [] if weights.own_classes else imagenet_classes()
    names = []
    for block in blocks:
        prefix = block.layer if isinstance(block.layer, str) else f"decaf{block.layer}"
        digits = max(4, len(str(block.width - 1)))
        suffixes = [""] * block.width
        if block.name in class_layers and block.width == len(classes):
            first_words = (name.split(",")[0] for name in classes)
            suffixes = ["_" + word.replace(" ", "_") for word in first_words]
        names += [f"{prefix}_{i:0{digits}}{suffix}" for i, suffix in enumerate(suffixes)]
    return names


class FeatureExtractor:
    """Computes rows of features: a plan for the wanted layers, pooled and flattened.

    Parameters
    ----------
    weights : Weights
    layers : tuple of int or str
        Numbers or names; their columns stand in this order.
    pooling : {"auto", "avg", "max", "avg+max", None}, or a tuple of these
        How maps become vectors: "auto" as the architecture says; None flattens them in
        (h, w, c) order. A tuple has one for each layer.
    exact : bool, default=False
        Compute convolutions by plain sums only; see :class:`Plan`.

    Raises
    ------
    ValueError
        If a layer does not exist.
    WeightsError
        If the weights do not reach a layer.
    """

    def __init__(
        self,
        weights: Weights,
        layers: tuple[int | str, ...],
        pooling: Pooling,
        exact: bool = False,
    ):
        architecture, self.blocks = feature_blocks(weights.architecture, layers, pooling)
        weights.require([block.name for block in self.blocks])
        outputs = [name for block in self.blocks for name in block.outputs]
        self._plan = Plan(architecture, weights.parameters, outputs, exact=exact)

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.blocks[-1].columns.stop

    def __call__(self, images: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Compute the features of images.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3), uint8
            RGB, of the network's input size.
        n_threads : int, default=1

        Returns
        -------
        ndarray of shape (n, n_features), float32
        """
        outputs = self._plan.run(images, n_threads)
        rows = [output.reshape(len(output), math.prod(output.shape[1:])) for output in outputs]
        return np.concatenate(rows, axis=1)


@lru_cache(maxsize=8)
def get_extractor(
    weights: Weights, layers: tuple[int | str, ...], pooling: Pooling, exact: bool = False
) -> FeatureExtractor:
    """A feature extractor, the same one for the same arguments in this process."""
    return FeatureExtractor(weights, layers, pooling, exact)
