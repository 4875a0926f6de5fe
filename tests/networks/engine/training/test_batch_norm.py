"""Batch normalisation in training plans, with the statistics of groups."""

import numpy as np
import pytest
from oracles.layer_examples import drawn
from oracles.random_networks import random_images
from oracles.training import linear_loss, small_parameters

from sklearn_decaf.networks import Architecture, Preprocessing
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.engine.training.batch_norm import GroupNorm, with_group_norms
from sklearn_decaf.networks.gradients import gradients
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    ReLU,
    Sigmoid,
)
from sklearn_decaf.networks.reference import forward

NET = Architecture(
    "normalised",
    (
        Conv("conv1", filters=8, kernel_size=3, padding=1),
        BatchNorm("norm1"),
        ReLU("relu1"),
        Conv("conv2", filters=8, kernel_size=3, padding=1),
        BatchNorm("norm2"),
        Add("add", ("norm2", "relu1")),
        BatchNorm("norm3", epsilon=1e-3),
        Sigmoid("sigmoid"),
        GlobalAveragePool("average"),
        Dense("fc1", units=6),
        BatchNorm("norm4"),
        Dense("fc2", units=4),
    ),
    Preprocessing(crop=9, channel_order="rgb", mean=(127.5,) * 3, std=(64.0,) * 3),
    {},
)
NORMS = ["norm1", "norm2", "norm3", "norm4"]


def case(n=11):
    weights = np.random.default_rng(1).standard_normal((n, 4)).astype(np.float32)
    return small_parameters(NET), random_images(NET, n), weights


def test_group_norm_has_the_gradients_of_its_forward():
    x, scale, shift = drawn(0, 5, 4, 3, 2), drawn(1, 2), drawn(2, 2)
    unused = np.full(2, np.nan)
    layer, gradient = GroupNorm("norm", epsilon=0.01), drawn(3, *x.shape)

    def loss(*changed):
        return (layer.forward(changed[:1], [*changed[1:], unused, unused]) * gradient).sum()

    given = x, scale, shift
    output = layer.forward([x], [scale, shift, unused, unused])
    np.testing.assert_allclose(output.mean(axis=(0, 1, 2)), shift)
    by_inputs, by_parameters = layer.backward([x], [scale, shift, unused, unused], output, gradient)
    for i, found in enumerate((*by_inputs, *by_parameters[:2])):
        change = drawn(4 + i, *found.shape)
        above, below = (
            loss(*(v + step * change if i == j else v for j, v in enumerate(given)))
            for step in (1e-5, -1e-5)
        )
        assert (found * change).sum() == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_gradients_and_running_statistics():
    parameters, images, weights = case()
    before = {name: values.astype(np.float64) for name, values in parameters.items()}
    plan = TrainingPlan(
        NET, parameters, "fc2", group_size=4, batch_norm="group", batch_norm_momentum=0.3
    )
    _, found = plan.gradients(images, linear_loss(weights))
    training = with_group_norms(NET, NORMS)
    expected, running = {}, dict(before)
    for first in range(0, len(images), 4):
        part = slice(first, first + 4)
        exact = gradients(training, before, images[part], weights[part].astype(np.float64), "fc2")
        for name, own in exact.parameters.items():
            expected[name] = expected.get(name, 0) + own
    assert sorted(found) == sorted(expected)
    largest = max(np.abs(own).max() for own in expected.values())
    for name, own in expected.items():  # the vectors of four images are alike: that amplifies
        np.testing.assert_allclose(found[name], own, 0, 3e-4 * largest, err_msg=name)
    # the first layer's statistics
    for first in range(0, len(images), 4):
        maps = forward(NET, before, images[first : first + 4], ["conv1"], np.float64)["conv1"]
        n = maps.size // 8
        mean, variance = maps.mean((0, 1, 2)), maps.var((0, 1, 2)) * n / (n - 1)
        for key, measured in (("norm1.mean", mean), ("norm1.variance", variance)):
            running[key] = 0.7 * running[key] + 0.3 * measured
    for key in ("norm1.mean", "norm1.variance"):
        np.testing.assert_allclose(parameters[key], running[key], 1e-4, 1e-5)
    changed = {name for name, values in parameters.items() if np.any(values != before[name])}
    assert changed == {f"{name}.{part}" for name in NORMS for part in ("mean", "variance")}


def test_the_trained_network_normalises_with_running_statistics():
    parameters, images, weights = case()
    plan = TrainingPlan(NET, parameters, "fc2", group_size=4, batch_norm="group")
    plan.gradients(images, linear_loss(weights))
    frozen = TrainingPlan(NET, parameters, "fc2")
    np.testing.assert_allclose(plan.forward(images), frozen.forward(images), 1e-4, 1e-5)


def test_threads_leave_the_bits():
    results = []
    for n_threads in (1, 2, 3):
        parameters, images, weights = case(29)
        plan = TrainingPlan(NET, parameters, "fc2", group_size=4, batch_norm="group")
        _, found = plan.gradients(images, linear_loss(weights), n_threads=n_threads)
        results.append({**found, **parameters})
    for other in results[1:]:
        for name, array in results[0].items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_only_trained_layers_follow():
    parameters, images, weights = case()
    before = {name: values.copy() for name, values in parameters.items()}
    plan = TrainingPlan(
        NET, parameters, "fc2", trainable=["conv2", "norm3", "fc2"], batch_norm="group"
    )
    _, found = plan.gradients(images, linear_loss(weights))
    assert {name.split(".")[0] for name in found} == {"conv2", "norm3", "fc2"}
    changed = {name for name, values in parameters.items() if np.any(values != before[name])}
    assert changed == {"norm3.mean", "norm3.variance"}


def test_what_cannot_be():
    parameters, _, _ = case()
    with pytest.raises(ValueError, match="batch_norm='batch' must be"):
        TrainingPlan(NET, parameters, "fc2", batch_norm="batch")
    parameters["norm2.mean"].setflags(write=False)
    TrainingPlan(NET, parameters, "fc2")
    with pytest.raises(ValueError, match=r"'norm2\.mean' is read-only"):
        TrainingPlan(NET, parameters, "fc2", batch_norm="group")
