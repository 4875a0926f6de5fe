"""Gradients of training plans, compared with the float64 reference."""

from __future__ import annotations

import numpy as np

from sklearn_decaf.networks.architecture import Architecture
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.gradients import gradients

from .random_networks import he_parameters, random_images


def small_parameters(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    """He's parameters with small biases, so that values keep their size."""
    parameters = he_parameters(architecture, seed)
    for name, values in parameters.items():
        if name.endswith((".bias", ".shift", ".mean")):
            values *= np.float32(0.1)
    return parameters


def linear_loss(weights: np.ndarray):
    """The sum of weighted outputs: its gradient is the same whatever they are."""

    def loss(scores, part):
        return float((scores * weights[part]).sum(dtype=np.float64)), weights[part]

    return loss


def assert_gradients(
    architecture: Architecture,
    parameters,
    images: np.ndarray,
    output: str | None = None,
    *,
    tolerance: float = 2e-5,
    floor: float = 0.0,
    trainable=None,
    **options,
) -> dict[str, np.ndarray]:
    """Compare all gradients of a linear loss with float64; return what the plan found.

    The tolerance is a share of the largest value of a gradient, and, where that is small beside
    them, a tenth as much of the largest of all gradients; never less than `floor`.
    """
    output = output or architecture.layer_names[-1]
    shape = architecture.shapes()[output]
    weights = np.random.default_rng(5).standard_normal((len(images), *shape), np.float32)
    plan = TrainingPlan(
        architecture, parameters, output, trainable=trainable, group_size=2, **options
    )
    value, found = plan.gradients(images, linear_loss(weights))
    wide = {name: values.astype(np.float64) for name, values in parameters.items()}
    exact = gradients(
        architecture, wide, images, weights.astype(np.float64), output, trainable=trainable
    ).parameters
    assert sorted(found) == sorted(exact)
    largest = max(np.abs(one).max(initial=0) for one in exact.values())
    for name, one in exact.items():
        assert found[name].shape == one.shape, name
        allowed = max(floor, tolerance * (np.abs(one).max(initial=0) + largest / 10))
        np.testing.assert_allclose(found[name], one, rtol=0, atol=allowed, err_msg=name)
    np.testing.assert_allclose(
        value, (plan.forward(images) * weights).sum(dtype=np.float64), rtol=1e-5, atol=1e-5
    )
    return found


def check(architecture: Architecture, output: str | None = None, **options) -> None:
    """Compare the gradients of a network with random parameters on three random images."""
    parameters = small_parameters(architecture)
    assert_gradients(architecture, parameters, random_images(architecture, 3), output, **options)


class ArrayData:
    """Rows of an array as they are."""

    is_slow = False

    def __init__(self, inputs: np.ndarray):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def take(
        self, rows: np.ndarray, epoch: int | None = None, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return some rows."""
        return self.inputs[rows]
