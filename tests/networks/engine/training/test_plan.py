"""Losses and gradients of a training plan, against the float64 reference."""

import numpy as np
import pytest
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.networks import Architecture, Preprocessing
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.gradients import gradients
from sklearn_decaf.networks.layers import Conv, Dense, MaxPool, ReLU

NET = Architecture(
    "small",
    (
        Conv("conv1", filters=8, kernel_size=3, padding="same"),
        ReLU("relu1"),
        MaxPool("pool1", size=2, stride=2),
        Conv("conv2", filters=16, kernel_size=3, padding="same"),
        ReLU("relu2"),
        Dense("fc", units=5),
    ),
    Preprocessing(crop=8, channel_order="rgb", mean=(127.5,) * 3, std=(64.0,) * 3),
    {},
)


def squares(targets):
    def loss(scores, part):
        difference = scores - targets[part]
        return float((difference**2).sum()), 2 * difference

    return loss


def test_gradients():
    parameters, images = he_parameters(NET), random_images(NET, 21)
    targets = np.random.default_rng(1).standard_normal((21, 5)).astype(np.float32)
    plan = TrainingPlan(NET, parameters, "fc", group_size=8)
    value, found = plan.gradients(images, squares(targets))
    exact = gradients(
        NET, parameters, images, lambda scores: 2 * (scores - targets), "fc", dtype=np.float64
    ).parameters
    assert sorted(found) == sorted(exact)
    for name, one in exact.items():
        np.testing.assert_allclose(found[name], one, 1e-4, 2e-6 * np.abs(one).max(), err_msg=name)
    scores = plan.forward(images)
    np.testing.assert_allclose(value, ((scores - targets) ** 2).sum(), rtol=1e-5)


def test_from_a_layer_on():
    parameters, images = he_parameters(NET), random_images(NET, 5)
    targets = np.zeros((5, 5), np.float32)
    maps = TrainingPlan(NET, parameters, "pool1").forward(images)
    _, whole = TrainingPlan(NET, parameters, "fc").gradients(images, squares(targets))
    plan = TrainingPlan(NET, parameters, "fc", start="pool1")
    _, part = plan.gradients(maps, squares(targets))
    assert sorted(part) == ["conv2.bias", "conv2.kernel", "fc.bias", "fc.kernel"]
    for name, one in part.items():
        np.testing.assert_allclose(one, whole[name], 1e-5, 1e-6 * np.abs(one).max())


def test_dropout_is_drawn_by_images():
    """The zeros depend on an image's place in the batch, not on groups; the mean is kept."""
    parameters, images = he_parameters(NET), random_images(NET, 6)
    seen = {2: np.zeros((6, 5)), 6: np.zeros((6, 5))}
    for size, rows in seen.items():

        def loss(scores, part, rows=rows):
            rows[part] = scores
            return 0.0, np.ones_like(scores)

        plan = TrainingPlan(NET, parameters, "fc", dropout={"relu2": 0.5}, group_size=size)
        _, found = plan.gradients(images, loss, seed=3)
        np.testing.assert_allclose(found["fc.bias"], 6)
    np.testing.assert_allclose(seen[2], seen[6], rtol=1e-5, atol=1e-5)
    assert not np.allclose(seen[2], plan.forward(images))
    drawn = []

    def keep(scores, part):
        drawn.append(scores)
        return 0.0, np.zeros_like(scores)

    for seed in range(300):
        plan.gradients(images[:2], keep, seed=seed)
    spread = np.std(drawn, axis=0) / np.sqrt(len(drawn))
    assert np.all(np.abs(np.mean(drawn, axis=0) - plan.forward(images[:2])) < 5 * spread)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "fc9"}, "output names 'fc9', which is no layer of 'small'"),
        ({"start": "pool9"}, "start names 'pool9', which is no layer of 'small'"),
        ({"dropout": {"fc6": 0.5}}, "dropout names 'fc6', which is no layer of 'small'"),
        (
            {"start": "pool1", "trainable": ["conv1"]},
            "trainable names 'conv1', which is no layer on the way from 'pool1' to 'fc'",
        ),
    ],
)
def test_names_that_are_not_there(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingPlan(NET, he_parameters(NET), **{"output": "fc", **options})


def test_inputs_of_another_shape():
    parameters = he_parameters(NET)
    plan, cut = (TrainingPlan(NET, parameters, "fc", start=start) for start in ("data", "pool1"))
    with pytest.raises(ValueError, match=r"images have shape \(n, 8, 8, 3\)"):
        plan.forward(np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"outputs of 'pool1' have shape \(n, 4, 4, 8\)"):
        cut.gradients(np.zeros((2, 128), np.float32), squares(np.zeros((2, 5))))
