"""A training that goes wrong: noticed at once, with the step and the layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..networks.engine.training import TrainingPlan

#: By how much the loss of a step may exceed the first one, or 1 if that is less.
MAX_GROWTH = 1e4

ADVICE = (
    "A lower learning rate, a warm-up (learning_rate='cosine') or a limit on the gradients "
    "(max_norm=1) may keep it stable. Networks whose batch normalisations are folded into their "
    "convolutions, as those of known weights are, diverge with solver='sgd' at usual rates: "
    "'adamw' trains them."
)


class Diverged(FloatingPointError):
    """A training diverged; the text says at which step and in which layer."""


def check_loss(loss: float, first: float) -> str:
    """Say what is wrong with the loss of a step; an empty text if nothing is."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if loss > MAX_GROWTH * max(first, 1.0):
        return f"the loss is {loss:.3g} and was {first:.3g} in the first step"
    return ""


def find_layer(plan: TrainingPlan, inputs: np.ndarray, gradients: Mapping[str, np.ndarray]) -> str:
    """Say in which layer a training diverged.

    The layers are looked through in order: first for parameters and outputs that are not finite,
    then, from the last one down, for gradients; if all are finite, for the largest output.

    Parameters
    ----------
    plan : TrainingPlan
        With its parameters of that step.
    inputs : ndarray
        Of that step.
    gradients : dict of str to ndarray
        Those that were found; may be empty.

    Returns
    -------
    str
        Part of a sentence that names the layer.
    """
    net, names, largest = plan.architecture, [layer.name for layer in plan.layers], {}
    for name in names:
        for key in net.layer_parameter_shapes(name):
            if not np.isfinite(plan.parameters[key]).all():
                return f"{key!r} is the first parameter with a number that is not finite"
    if not np.isfinite(inputs).all():
        return "its input is not finite"
    for name in names:
        part = TrainingPlan(net, plan.parameters, name, start=plan.start, exact=plan.exact)
        with np.errstate(all="ignore"):
            output = part.forward(inputs)
        if not np.isfinite(output).all():
            return f"layer {name!r} is the first whose output is not finite"
        largest[name] = float(np.abs(output).max())
    for name in reversed(names):
        for key in net.layer_parameter_shapes(name):
            if key in gradients and not np.isfinite(gradients[key]).all():
                return f"the gradient of {key!r} is not finite"
    name = max(largest, key=lambda name: largest[name])
    return f"layer {name!r} has the largest output, {largest[name]:.3g}"
