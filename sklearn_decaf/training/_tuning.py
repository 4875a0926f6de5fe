"""What is trained of a known network, what its new head may read, and where the training begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._features.recipe import Recipe
from ..networks.architecture import INPUT, Architecture
from ..networks.engine.training import TrainingPlan
from ..networks.features import Pooling, feature_blocks
from ..networks.weights.weights import Weights
from ._head import SCALINGS, Head, HeadedNetwork, can_scale
from ._trainable import Trainable, find_cut, head_layers, trainable_layers

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Tuning:
    """The part of a network that is trained further.

    Attributes
    ----------
    net : Architecture
        The known network.
    heads : tuple of Head
        What the new head may read, in order of preference.
    trainable : tuple of str
        The layers with parameters that are trained, below any of these heads.
    cut : str
        The layer whose output the training begins from: all below stay as they are. ``"data"`` if
        it begins from the pixels; empty if it begins from the features that the head reads.
    """

    net: Architecture
    heads: tuple[Head, ...]
    trainable: tuple[str, ...]
    cut: str

    def read_layers(self, heads: Sequence[Head] | None = None) -> tuple[tuple[str, ...], Pooling]:
        """The layers to compute for all images before training, and how each is pooled."""
        cut = () if self.cut in ("", INPUT) else (self.cut,)
        tops = tuple(dict.fromkeys(head.layer for head in heads or self.heads))
        return cut + tops, (None,) * len(cut) + ("auto",) * len(tops)

    def features(self, rows: np.ndarray, recipe: Recipe, layer: str) -> np.ndarray:
        """The features of a layer, (n, d), of the images themselves."""
        (block,) = feature_blocks(self.net, (layer,), "auto")[1]
        return _columns(rows, recipe, block.outputs)

    def views(self, rows: np.ndarray, recipe: Recipe, head: Head) -> list[np.ndarray]:
        """What the training begins from, (n, ...), of the images and of their mirror images."""
        outputs: Sequence[str] = (self.cut,)
        shape = (-1,)
        if self.cut:
            shape = self.net.shapes()[self.cut]
        else:
            (block,) = feature_blocks(self.net, (head.layer,), "auto")[1]
            outputs = block.outputs
            if outputs == (block.name,):  # a map that is not pooled
                shape = self.net.shapes()[block.name]
        suffixes = ("", "|mirror") if recipe.with_mirror else ("",)
        return [
            _columns(rows, recipe, [output + suffix for output in outputs]).reshape(
                len(rows), *shape
            )
            for suffix in suffixes
        ]


def _columns(rows: np.ndarray, recipe: Recipe, outputs: Sequence[str]) -> np.ndarray:
    """The columns of outputs that stand side by side."""
    columns = recipe.output_columns()
    return rows[:, columns[outputs[0]].start : columns[outputs[-1]].stop]


def plan_tuning(
    net: Architecture, trainable: Trainable, layer: int | str, scaling: str | None
) -> Tuning:
    """Find out what is to be trained of a network.

    Parameters
    ----------
    net : Architecture
    trainable : {"head", "last:k", "all"} or sequence of str
        See :func:`~._trainable.trainable_layers`. Blocks are counted back from layer 7, whatever
        the head reads then.
    layer : int or str
        The layer that the head reads; "auto" for 7 or 6.
    scaling : {"auto", None, "l2"}
        How its rows are scaled.

    Returns
    -------
    Tuning

    Raises
    ------
    ValueError
        If the parameters do not fit the network, or each other.
    """
    numbered = head_layers(net)
    tops = numbered if layer == "auto" else (net.resolve(layer),)
    top = tops[0]
    if isinstance(trainable, str) and trainable.startswith("last:"):
        # the same blocks, and the same cut, whichever of the layers the head reads
        top = top if top not in numbered else numbered[0]
    chosen = trainable_layers(net, trainable, top)
    heads = []
    for name in tops:
        below = {one.name for one in net.ancestors([name])}
        if chosen and (
            below.isdisjoint(chosen) or not (isinstance(trainable, str) or below.issuperset(chosen))
        ):
            continue
        (block,) = feature_blocks(net, (name,), "auto")[1]
        for kind in SCALINGS if scaling == "auto" else (scaling,):
            if kind is None or scaling != "auto" or can_scale(net, block):
                heads.append(Head(name, kind))
    if not heads:
        raise ValueError(
            f"trainable={trainable!r} with layer={layer!r}: none of the layers that it names is "
            f"below {' or '.join(map(repr, tops))}, which the head reads."
        )
    cut = find_cut(net, chosen, heads[0].layer) if chosen else ""
    return Tuning(net, tuple(heads), chosen, cut)


@dataclass(frozen=True, eq=False)
class TunedNetwork:
    """A network that was trained further, or is.

    Attributes
    ----------
    weights : Weights
    start : str
        The layer that its training begins from; ``"data"`` for the pixels.
    scores : str
        The layer of the class scores.
    trainable : tuple of str
        The layers that are trained, the head among them.
    """

    weights: Weights
    start: str
    scores: str
    trainable: tuple[str, ...]

    @property
    def trained(self) -> tuple[str, ...]:
        """Full names of the parameters that are trained; statistics of normalisations are not."""
        net = self.weights.architecture
        return tuple(
            f"{layer}.{key}"
            for layer in self.trainable
            for key in net.parameters_by_layer[layer]
            if key not in net[layer].statistics
        )

    def plan(self, parameters: Mapping[str, np.ndarray], **options) -> TrainingPlan:
        """Prepare a training that changes these parameters."""
        return TrainingPlan(
            self.weights.architecture,
            parameters,
            self.scores,
            start=self.start,
            trainable=self.trainable,
            **options,
        )


def tuned_network(
    weights: Weights, tuning: Tuning, made: HeadedNetwork, trained: Mapping[str, np.ndarray]
) -> TunedNetwork:
    """Put together a known network, its new head, and parameters that were trained.

    Parameters
    ----------
    weights : Weights
        Of the known network.
    tuning : Tuning
    made : HeadedNetwork
    trained : dict of str to ndarray
        Those of the head, and all that are not those of `weights`, by their full names.
    """
    net = made.architecture
    parameters: Arrays = {}
    for name in net.parameter_shapes():
        if name in trained:
            parameters[name] = np.array(trained[name], np.float32, order="C")
            parameters[name].flags.writeable = False
        else:
            parameters[name] = weights.parameters[name]
    own = Weights(
        net,
        parameters,
        evidence=f"trained further from {weights!r}",
        missing={name: why for name, why in weights.missing.items() if name in net.layer_names},
        own_classes=True,
    )
    kept = [name for name in tuning.trainable if name in net.layer_names]
    return TunedNetwork(own, tuning.cut or made.features, made.scores, (*kept, made.scores))


@lru_cache(maxsize=4)
def forward_plan(network: TunedNetwork) -> TrainingPlan:
    """A plan that computes the class scores; the same one for the same network in this process."""
    return TrainingPlan(
        network.weights.architecture,
        network.weights.parameters,
        network.scores,
        start=network.start,
        trainable=(),
    )
