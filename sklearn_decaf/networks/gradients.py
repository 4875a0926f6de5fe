"""Plain NumPy gradients of a network: the reverse of the forward pass in :mod:`.reference`.

Each kind of layer computes its own gradients, in :mod:`sklearn_decaf.networks.layers`. Everything
fast that trains a network is compared with this module, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from .architecture import INPUT, Architecture
from .layers import Layer
from .reference import forward, layer_parameters

__all__ = ["Gradients", "backward", "gradients"]


@dataclass(frozen=True)
class Gradients:
    """Gradients of a loss.

    Attributes
    ----------
    parameters : dict of str to ndarray
        By the full names of the parameters, such as ``"conv1.kernel"``.
    layers : dict of str to ndarray of shape (n, h, w, c) or (n, c)
        Those by the outputs of layers that were asked for; ``"data"`` is the preprocessed image.
    """

    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    layers: dict[str, np.ndarray] = field(default_factory=dict)


def gradients(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    images: np.ndarray,
    output_gradient: np.ndarray | Callable[[np.ndarray], np.ndarray],
    layer: str,
    *,
    trainable: Iterable[str] | None = None,
    wanted: Collection[str] = (),
    dtype: DTypeLike = np.float64,
) -> Gradients:
    """Run a network on RGB images, and compute gradients of a loss of one layer.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``.
    images : ndarray of shape (n, h, w, 3)
        RGB, 0 to 255, of the network's input size.
    output_gradient : ndarray of shape (n, oh, ow, oc) or (n, oc), or callable
        The gradient of the loss by the output of `layer`, or a function of that output that
        returns it.
    layer : str
        The layer whose output the loss is computed from.
    trainable : iterable of str, optional
        Layers whose parameters are wanted. Default: all on the way to `layer`. Nothing is computed
        for those below the first of them.
    wanted : collection of str, default=()
        Layers by whose outputs the gradients are wanted, too.
    dtype : dtype, default=float64
        Precision of all arithmetic.

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError
        If a layer that was named is not on the way to `layer`, or `output_gradient` has not the
        shape of its output.
    TypeError
        If a kind of layer has no gradients; it names the layer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_decaf.networks.architecture import Architecture, Preprocessing
    >>> from sklearn_decaf.networks.gradients import gradients
    >>> from sklearn_decaf.networks.layers import Dense
    >>> net = Architecture("tiny", (Dense("fc", units=2),), Preprocessing(crop=1), {})
    >>> parameters = {"fc.kernel": np.ones((3, 2)), "fc.bias": np.zeros(2)}
    >>> image = np.array([10.0, 20.0, 30.0]).reshape(1, 1, 1, 3)
    >>> found = gradients(net, parameters, image, np.array([[1.0, -2.0]]), "fc")
    >>> found.parameters["fc.kernel"]
    array([[ 10., -20.],
           [ 20., -40.],
           [ 30., -60.]])
    """
    names = [step.name for step in architecture.ancestors([layer])]
    values = forward(architecture, parameters, images, [INPUT, *names], dtype)
    if callable(output_gradient):
        output_gradient = output_gradient(values[layer])
    return backward(
        architecture,
        parameters,
        values,
        {layer: output_gradient},
        trainable=trainable,
        wanted=wanted,
    )


def backward(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    output_gradients: Mapping[str, np.ndarray],
    *,
    trainable: Iterable[str] | None = None,
    wanted: Collection[str] = (),
) -> Gradients:
    """Compute gradients from the values of all layers, in their precision.

    Where a layer is read by several, the gradients that come from them are added in the order of
    the layers, last first.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
    values : dict of str to ndarray
        Outputs of all layers on the way, and the preprocessed images as ``"data"``.
    output_gradients : dict of str to ndarray
        The gradients of the loss by the outputs of the layers that it is computed from.
    trainable, wanted
        See :func:`gradients`.

    Returns
    -------
    Gradients

    Raises
    ------
    ValueError
        See :func:`gradients`.
    """
    steps = architecture.ancestors(output_gradients)
    trained = _trained(architecture, steps, trainable)
    kept = set(wanted)
    _check_names(architecture, steps, kept - {INPUT}, "wanted")
    needed = _needed(architecture, steps, trained | kept)
    sums = {
        name: _checked(name, gradient, values[name]) for name, gradient in output_gradients.items()
    }
    found = Gradients()
    for layer in reversed(steps):
        if layer.name not in needed or layer.name not in sums:
            continue
        gradient = sums.pop(layer.name)
        if layer.name in kept:
            found.layers[layer.name] = gradient
        sources = architecture.inputs(layer.name)
        if layer.name not in trained and not needed.intersection(sources):
            continue
        output = values[layer.name]
        own = layer_parameters(architecture, layer.name, parameters, output.dtype)
        by_inputs, by_parameters = layer.backward(
            [values[source] for source in sources], list(own.values()), output, gradient
        )
        if layer.name in trained:
            names = dict(zip(own, by_parameters))
            for statistic in layer.statistics:
                del names[f"{layer.name}.{statistic}"]
            found.parameters.update(names)
        for source, by_input in zip(sources, by_inputs):
            if source in needed:  # never in place: layers may hand on what they were given
                sums[source] = sums[source] + by_input if source in sums else by_input
    if INPUT in kept:
        found.layers[INPUT] = sums[INPUT]
    return found


def _trained(
    architecture: Architecture, steps: tuple[Layer, ...], trainable: Iterable[str] | None
) -> set[str]:
    """Return the names of the layers whose parameters are wanted."""
    if trainable is None:
        return {step.name for step in steps if architecture.layer_parameter_shapes(step.name)}
    names = set(trainable)
    _check_names(architecture, steps, names, "trainable")
    return names


def _check_names(
    architecture: Architecture, steps: tuple[Layer, ...], names: set[str], parameter: str
) -> None:
    off = sorted(names - {step.name for step in steps})
    if off:
        raise ValueError(
            f"{parameter} names {off[0]!r}, which is no layer of {architecture.name!r} that the "
            "loss depends on"
        )


def _needed(architecture: Architecture, steps: tuple[Layer, ...], ends: set[str]) -> set[str]:
    """Return the names of all that lies between `ends` and the outputs, both included."""
    needed = set(ends)
    for step in steps:
        if not needed.isdisjoint(architecture.inputs(step.name)):
            needed.add(step.name)
    return needed


def _checked(name: str, gradient: np.ndarray, output: np.ndarray) -> np.ndarray:
    gradient = np.asarray(gradient)
    if gradient.shape != output.shape:
        raise ValueError(
            f"the gradient by layer {name!r} has shape {gradient.shape}, and its output "
            f"{output.shape}: they must be the same"
        )
    return gradient.astype(output.dtype, copy=False)
