"""Random parameters under which a deep network behaves like a trained one."""

from __future__ import annotations

import math

import numpy as np

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import INPUT, Architecture
from sklearn_decaf.networks.layers import BatchNorm, Layer


def calibrate(architecture: Architecture, images: np.ndarray, seed: int = 0):
    """Draw parameters, normalisations from the statistics of the images themselves.

    With random statistics a deep network amplifies rounding errors a thousandfold; trained ones
    do not.

    Returns
    -------
    parameters : dict of str to ndarray, float32
    values : dict of str to ndarray, float64
        Of all layers.
    """
    rng = np.random.default_rng(seed)
    values = {INPUT: reference.preprocess(images, architecture.preprocessing, np.float64)}
    parameters = {}
    for layer in architecture.layers:
        inputs = [values[name] for name in architecture.inputs(layer.name)]
        own = _draw(rng, layer, inputs)
        for key, value in own.items():
            parameters[f"{layer.name}.{key}"] = value
        wide = [value.astype(np.float64) for value in own.values()]
        values[layer.name] = layer.forward(inputs, wide)
    return parameters, {name: value for name, value in values.items() if name != INPUT}


def _draw(rng, layer: Layer, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    shapes = layer.parameter_shapes(*(x.shape[1:] for x in inputs))
    drawn = {}
    for key, shape in shapes.items():
        value = rng.standard_normal(shape)
        if key == "kernel":
            value *= math.sqrt(2 / math.prod(shape[:-1]))
        elif key in ("scale", "slope"):
            value = 1 + 0.2 * value
        else:
            value *= 0.1
        drawn[key] = value
    if isinstance(layer, BatchNorm):
        axes = tuple(range(inputs[0].ndim - 1))
        drawn["mean"] = inputs[0].mean(axis=axes)
        drawn["variance"] = inputs[0].var(axis=axes)
    return {key: value.astype(np.float32) for key, value in drawn.items()}
