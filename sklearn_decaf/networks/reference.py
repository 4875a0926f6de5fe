"""Plain NumPy forward pass of a network.

Each kind of layer computes itself, in :mod:`sklearn_decaf.networks.layers`. Everything fast is
compared with this module, in float64. Where no compiled kernel is installed it is also what runs,
in float32. Arrays are ``(n, h, w, c)`` maps or ``(n, c)`` vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .architecture import INPUT, Architecture, Preprocessing
from .layers import Layer


def preprocess(images: np.ndarray, preprocessing: Preprocessing, dtype=np.float32) -> np.ndarray:
    """Turn RGB images of the network's input size into the network's input.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, 3)
        RGB, 0 to 255.
    preprocessing : Preprocessing
    dtype : dtype, default=float32

    Returns
    -------
    ndarray of shape (n, h, w, 3) and the given dtype
    """
    if preprocessing.flip_vertical:
        images = images[:, ::-1]
    if preprocessing.channel_order == "bgr":
        images = images[..., ::-1]
    mean = preprocessing.crop_mean().astype(dtype)  # (3,) or (h, w, 3)
    std = np.asarray(preprocessing.std, dtype=dtype)
    return (images.astype(dtype) - mean) / std


def compute(layer: Layer, parameters: Sequence[np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """Compute one layer, given its parameters (kernel, bias) and its inputs."""
    return layer.forward(inputs, parameters)


def layer_parameters(
    architecture: Architecture, layer: str, parameters: Mapping[str, np.ndarray], dtype=np.float32
) -> dict[str, np.ndarray]:
    """Select one layer's parameters by their full names, in its order and in a precision."""
    keys = architecture.layer_parameter_shapes(layer)
    return {key: parameters[key].astype(dtype, copy=False) for key in keys}


def forward(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    images: np.ndarray,
    outputs: Iterable[str],
    dtype=np.float32,
) -> dict[str, np.ndarray]:
    """Run a network on RGB images and keep the wanted layers.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``; only those on the way to `outputs` are read.
    images : ndarray of shape (n, h, w, 3)
        RGB, 0 to 255, of the network's input size.
    outputs : iterable of str
        Layer names.
    dtype : dtype, default=float32
        Precision of all arithmetic; float64 gives the values that tests compare with.

    Returns
    -------
    dict of str to ndarray
        One entry an output, of shape (n, h, w, c) or (n, c).
    """
    outputs = list(outputs)
    steps = architecture.ancestors(outputs)
    last_use = {
        name: i for i, layer in enumerate(steps) for name in architecture.inputs(layer.name)
    }
    blobs = {INPUT: preprocess(images, architecture.preprocessing, dtype)}
    for i, layer in enumerate(steps):
        inputs = architecture.inputs(layer.name)
        own = layer_parameters(architecture, layer.name, parameters, dtype)
        blobs[layer.name] = compute(layer, list(own.values()), *(blobs[name] for name in inputs))
        for name in set(inputs):
            if last_use[name] == i and name not in outputs:
                del blobs[name]
    return {name: blobs[name] for name in outputs}
