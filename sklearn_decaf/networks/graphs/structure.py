"""The architecture and the parameters that a file describes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture, Preprocessing
from ..architectures import ARCHITECTURES
from ..architectures._builder import IMAGENET, number_layers
from ..formats import Contents
from ..formats._onnx_nodes import OnnxGraph
from ..imagenet import imagenet_classes
from ..layers import Dense
from . import onnx_arithmetic, onnx_axes, onnx_windows
from .blocks import find_blocks, find_scores
from .input_scale import ASSUMED, for_side, take_preprocessing
from .names import clean
from .network import Network
from .onnx_graph import OnnxTranslator

_HANDLERS = {**onnx_axes.HANDLERS, **onnx_windows.HANDLERS, **onnx_arithmetic.HANDLERS}


@dataclass(frozen=True)
class Structure:
    """A network as its file describes it.

    Attributes
    ----------
    architecture : Architecture
    parameters : mapping of str to ndarray
        As in the file, or computed in float64 where they are sums of several.
    certainty : {"certain", "likely", "told"}
    evidence : str
    own_classes : bool
    missing : mapping of str to str
        Empty: what cannot be computed is refused.
    """

    architecture: Architecture
    parameters: Mapping[str, np.ndarray]
    certainty: str
    evidence: str
    own_classes: bool
    missing: Mapping[str, str] = field(default_factory=dict)


def read_structure(
    contents: Contents, name: str, preprocessing: Preprocessing | None = None
) -> Structure:
    """Make a network of what a file says about its layers.

    Parameters
    ----------
    contents : Contents
        With a graph.
    name : str
        What the architecture is called.
    preprocessing : Preprocessing or None
        What the network wants to see, where the caller knows it.

    Raises
    ------
    WeightsError
        If a layer cannot be computed; the message names it.
    """
    side = None if preprocessing is None else preprocessing.crop
    if not isinstance(contents.graph, OnnxGraph):
        raise WeightsError("the file does not say which layers it has")
    translated = OnnxTranslator(contents.graph, _HANDLERS, side)
    return _assembled(translated.network, translated.output, translated.notes, name, preprocessing)


def _assembled(
    network: Network, output: str, notes: list[str], name: str, told: Preprocessing | None
) -> Structure:
    side = network.shapes[INPUT][0]
    found, why = (None, "") if told is not None else take_preprocessing(network)
    if output not in network.layers:
        raise WeightsError("the graph computes nothing but a scale of its input")
    layers = {one: _without_defaults(layer) for one, layer in network.layers.items()}
    scores = find_scores(layers, output)
    blocks = find_blocks(layers, network.shapes, scores)
    flattens = any(
        isinstance(layer, Dense) and np.prod(network.shape(layer.inputs[0])[:2]) > 1
        for layer in layers.values()
    )
    name = clean(name) or "network"
    own_name = f"{name}_own" if name in ARCHITECTURES else name
    architecture = Architecture(
        own_name,
        tuple(layers.values()),
        told or for_side(found or IMAGENET, side),
        number_layers(blocks, scores),
        pooling=None if flattens else "avg",
    )
    n_classes = network.shape(scores)[-1]
    evidence = [f"no known network; its {len(layers)} layers are as the file says", *notes]
    if told is not None:
        certainty = "told"
        evidence.append("the preprocessing is the caller's")
    else:
        certainty = "certain" if found else "likely"
        evidence.append(why or ASSUMED)
    keys = architecture.parameter_shapes()
    return Structure(
        architecture,
        {key: network.parameters[key] for key in keys},
        certainty,
        "; ".join(evidence),
        own_classes=n_classes != len(imagenet_classes()),
    )


def _without_defaults(layer: Any) -> Any:
    """A layer whose numbers are plain Python numbers."""
    changes = {
        key: value.item() for key, value in vars(layer).items() if isinstance(value, np.generic)
    }
    return replace(layer, **changes) if changes else layer
