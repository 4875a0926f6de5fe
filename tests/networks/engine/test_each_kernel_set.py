"""Every layer of many networks on every kernel set, each in a process of its own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from oracles.processes import run_with_pickle
from oracles.random_networks import assert_close, he_parameters, random_images
from oracles.small_networks import CLASSIFIER, NETWORKS

from sklearn_decaf import _kernels
from sklearn_decaf.networks import load_weights, reference
from sklearn_decaf.networks.architecture import Architecture

EVERY_LAYER = """
import pickle, sys, warnings
import numpy as np
from sklearn_decaf import _kernels
from sklearn_decaf.networks.engine import Plan

warnings.simplefilter("error", UserWarning)
results = {"kernel set": _kernels.KERNEL_SET}
for name, (architecture, parameters, images) in pickle.load(sys.stdin.buffer).items():
    outputs = architecture.layer_names
    results[name] = dict(zip(outputs, Plan(architecture, parameters, outputs).run(images, 2)))
    exact = Plan(architecture, parameters, outputs, exact=True).run(images, 2)
    results[name + ": exact"] = dict(zip(outputs, exact))
    (deepest,) = Plan(architecture, parameters, outputs[-1:]).run(images)
    results[name + ": the last layer only"] = {outputs[-1]: deepest}
pickle.dump(results, sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def many_networks():
    """By name: architecture, parameters and images; and every layer in float64."""
    given, expected = {}, {}
    for name in ("efficientnet_lite0", "squeezenet1_1"):
        weights = load_weights(name)
        images = random_images(weights.architecture, 1)
        given[name] = weights.architecture, dict(weights.parameters), images
    given["classifier"] = CLASSIFIER, he_parameters(CLASSIFIER), random_images(CLASSIFIER, 3)
    for name, architecture in NETWORKS.items():
        if type(architecture) is Architecture:  # another class could not be unpickled
            given[name] = architecture, he_parameters(architecture), random_images(architecture, 1)
    for name, (architecture, parameters, images) in given.items():
        expected[name] = reference.forward(
            architecture, parameters, images, architecture.layer_names, np.float64
        )
    return given, expected


@pytest.mark.slow
@pytest.mark.parametrize("kernel_set", [*_kernels.installed_sets(), "none"])
def test_each_kernel_set(kernel_set, many_networks, tmp_path):
    """In a process of its own, where no warning is allowed."""
    if kernel_set not in (*_kernels.available_sets(), "none"):
        pytest.skip(f"this CPU cannot run the kernels {kernel_set!r}")
    given, expected = many_networks
    environment = {_kernels.OVERRIDE_VARIABLE: kernel_set}
    results = pickle.loads(run_with_pickle(EVERY_LAYER, given, tmp_path, **environment))
    assert results.pop("kernel set") == (None if kernel_set == "none" else kernel_set)
    for title, layers in results.items():
        name = title.split(":")[0]
        small = name in NETWORKS
        assert_close(given[name][0], layers, expected[name], 1e-5, random=small)
