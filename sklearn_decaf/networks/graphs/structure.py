"""The architecture and the parameters that a file describes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...exceptions import WeightsError
from ..architecture import INPUT, Architecture, Preprocessing
from ..architectures import ARCHITECTURES, get_architecture
from ..architectures._builder import IMAGENET, number_layers
from ..formats import Contents
from ..formats._caffe_layers import CaffeNet
from ..formats._onnx_nodes import OnnxGraph
from ..imagenet import imagenet_classes
from ..layers import Dense
from . import onnx_arithmetic, onnx_axes, onnx_windows
from .blocks import find_blocks, find_scores
from .caffe_net import ASSUMED as CAFFE_ASSUMED
from .caffe_net import CAFFE, CaffeTranslator
from .cuda_convnet import CudaConvnetTranslator
from .input_scale import ASSUMED, for_sides, take_preprocessing
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
    sides = None if preprocessing is None else preprocessing.crop_sides
    stated, assumed, why = None, IMAGENET, ASSUMED
    if isinstance(contents.graph, OnnxGraph):
        found = OnnxTranslator(contents.graph, _HANDLERS, sides)
        if preprocessing is None:
            stated, why = take_preprocessing(found.network)
    elif isinstance(contents.graph, CaffeNet):
        found = CaffeTranslator(contents.graph, sides)
        stated, assumed, why = found.preprocessing, CAFFE, CAFFE_ASSUMED
        why = "the file says how its pictures are scaled" if stated else CAFFE_ASSUMED
    elif contents.metadata.get("network") == "cuda-convnet":
        found = CudaConvnetTranslator(contents, sides)
        assumed = get_architecture("decaf").preprocessing
        why = "its pictures are taken to be those of the DeCAF network"
    else:
        raise WeightsError("the file does not say which layers it has")
    if preprocessing is not None:
        certainty, why = "told", "the preprocessing is the caller's"
    else:
        certainty, why = ("certain", why) if stated else ("likely", why)
    wanted = preprocessing or for_sides(stated or assumed, found.network.shape(INPUT)[:2])
    n = len(found.network.layers)
    evidence = [f"no known network; its {n} layers are as the file says", *found.notes, why]
    net, own_classes = _assembled(found.network, found.output, name, wanted)
    parameters = {key: found.network.parameters[key] for key in net.parameter_shapes()}
    return Structure(net, parameters, certainty, "; ".join(evidence), own_classes)


def _assembled(
    network: Network, output: str, name: str, preprocessing: Preprocessing
) -> tuple[Architecture, bool]:
    """The architecture, and whether it has other classes than ImageNet's."""
    if output not in network.layers:
        raise WeightsError("the file computes nothing but a scale of its input")
    layers = {one: _plain(layer) for one, layer in network.layers.items()}
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
        preprocessing,
        number_layers(blocks, scores),
        pooling=None if flattens else "avg",
    )
    return architecture, network.shape(scores)[-1] != len(imagenet_classes())


def _plain(layer: Any) -> Any:
    """A layer whose numbers are plain Python numbers."""
    changes = {
        key: value.item() for key, value in vars(layer).items() if isinstance(value, np.generic)
    }
    return replace(layer, **changes) if changes else layer
