"""A small network trained on scikit-learn's digits, by the reference gradients and a solver."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.gradients import backward
from sklearn_decaf.networks.layers import Conv, Dense, MaxPool, ReLU
from sklearn_decaf.training._clipping import clip_by_norm
from sklearn_decaf.training._fillers import initial_parameters
from sklearn_decaf.training._losses import multinomial_logistic
from sklearn_decaf.training._penalties import penalise
from sklearn_decaf.training._schedules import Cosine
from sklearn_decaf.training._solvers import SGD

BATCH = 64
NETWORK = Architecture(
    "digits",
    (
        Conv("conv1", filters=8, kernel_size=3, padding=1),
        ReLU("relu1"),
        MaxPool("pool1", size=2, stride=2),
        Conv("conv2", filters=16, kernel_size=3, padding=1),
        ReLU("relu2"),
        Dense("fc", units=10),
    ),
    Preprocessing(crop=8, mean=(5.0,) * 3, std=(6.0,) * 3),
    {},
)


def batches(n):
    """The first batches of digits, from 0 to 16, as images of three channels."""
    digits = load_digits()
    images = np.repeat(digits.images[..., np.newaxis], 3, axis=-1)
    for i in range(n):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        yield images[rows], digits.target[rows]


def step(parameters, images, labels, solver, rate, *, l2=0.0, max_norm=np.inf):
    """Do one step, and return the loss before it."""
    names = (INPUT, *NETWORK.layer_names)
    values = reference.forward(NETWORK, parameters, images, names, np.float64)
    loss, gradient = multinomial_logistic(values["fc"], labels)
    found = backward(NETWORK, parameters, values, {"fc": gradient}).parameters
    loss += penalise(parameters, found, l2=l2)
    clip_by_norm(found, max_norm)
    solver.update(parameters, found, rate)
    return loss


def test_losses_follow_those_of_torch(torch, torch_layers):
    parameters = initial_parameters(NETWORK, 0, dtype=np.float64)
    leaves = {key: torch_layers.leaf(values) for key, values in parameters.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=0.1, momentum=0.9)
    solver, found, expected = SGD(momentum=0.9), [], []
    for images, labels in batches(10):
        found.append(step(parameters, images, labels, solver, 0.1))
        x = reference.preprocess(images, NETWORK.preprocessing, np.float64)
        scores = torch_layers.compute_network(NETWORK, torch_layers.to_torch(x), leaves)["fc"]
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    for key, values in parameters.items():
        np.testing.assert_allclose(values, leaves[key].detach().numpy(), rtol=0, atol=1e-6)
    assert expected[-1] < 0.7 * expected[0]  # there was something to follow


def test_a_network_learns():
    parameters = initial_parameters(NETWORK, 0, dtype=np.float64)
    solver, schedule = SGD(momentum=0.9, nesterov=True), Cosine(0.1, 40)
    twice = [*batches(20), *batches(20)]
    losses = [
        step(parameters, *batch, solver, schedule(i), l2=1e-3, max_norm=5.0)
        for i, batch in enumerate(twice)
    ]
    assert losses[0] == pytest.approx(np.log(10), abs=0.3)  # the last layer begins small
    assert losses[-1] < 0.4
    images, labels = map(np.concatenate, zip(*list(batches(28))[20:]))  # by other writers
    (scores,) = reference.forward(NETWORK, parameters, images, ["fc"], np.float64).values()
    assert (scores.argmax(axis=1) == labels).mean() > 0.85
