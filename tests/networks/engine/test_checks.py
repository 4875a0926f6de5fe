"""What cannot be run is refused when a plan is made, with the layer and its kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from oracles.random_networks import assert_close, he_parameters, random_images
from oracles.small_networks import NETWORKS, network, reference_of

from sklearn_decaf.networks import layers
from sklearn_decaf.networks.architecture import INPUT
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Softmax,
)


@dataclass(frozen=True)
class Unknown(Layer):
    """A layer that neither the engine nor the reference has heard of."""


@dataclass(frozen=True)
class Dilated(Conv):
    """A kind of its own, although it is a convolution to Python."""


C = Conv("c", filters=4, kernel_size=3)
DENSE = Dense("d", units=3)
REFUSED = {
    "unknown": ([C, Unknown("u")], TypeError, "'u' of type Unknown: the engine has no step"),
    "unknown, not last": ([C, Unknown("u"), ReLU("r")], TypeError, "'u' of type Unknown"),
    "unknown after a dense layer": ([C, DENSE, Unknown("u")], TypeError, "'u' of type Unknown"),
    "unknown first": ([Unknown("u"), C], TypeError, "'u' of type Unknown"),
    "a kind derived from another": ([Dilated("c")], TypeError, "'c' of type Dilated"),
    "a convolution in the batch stage": (
        [C, Softmax("s"), Conv("e", filters=2)],
        TypeError,
        "'e' of type Conv: it comes after a Dense or a Softmax layer",
    ),
    "an even window": ([C, LRN("n", size=4)], ValueError, "'n'.*odd number.*size=4"),
    "a vector pooled": (
        [C, GlobalAveragePool("a"), GlobalMaxPool("m")],
        ValueError,
        r"'m' of type GlobalMaxPool: it pools maps.* shape \(4,\)",
    ),
    "a vector pooled in the batch stage": (
        [C, DENSE, GlobalAveragePool("a")],
        ValueError,
        r"'a' of type GlobalAveragePool: it pools maps.* shape \(3,\)",
    ),
    "a softmax first": ([Softmax("s"), C], TypeError, "'c' of type Conv: it comes after"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_the_engine_refuses(name):
    """Before anything is read or packed: there are no parameters."""
    steps, error, message = REFUSED[name]
    architecture = network(*steps)
    with pytest.raises(error, match=f"^layer {message}"):
        Plan(architecture, {}, architecture.layer_names[-1:])


def test_what_is_not_on_the_way_may_be_anything():
    architecture = network(C, ReLU("r"), Unknown("u"))
    parameters, images, _ = reference_of(network(C, ReLU("r")))
    (values,) = Plan(architecture, parameters, ["r"]).run(images)
    assert values.shape == (len(images), *architecture.shapes()["r"])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([], "outputs is empty"),
        (["t", "nothing"], "no layer 'nothing'; it has c, "),
        ([INPUT], "no layer 'data'"),
    ],
)
def test_outputs_that_cannot_be(outputs, message):
    architecture = NETWORKS["residual"]
    with pytest.raises(ValueError, match=message):
        Plan(architecture, he_parameters(architecture), outputs)


# Every kind that is allowed in the batch stage, on vectors and on maps.
IN_THE_BATCH_STAGE = {
    "vectors": network(
        C,
        GlobalAveragePool("a"),
        Dense("d", ("c",), units=4),
        ReLU("r"),
        LRN("n"),
        LRN("even", size=4),
        Add("s", ("even", "a")),
        Concat("v", ("s", "r", "a", "d")),
        Softmax("p"),
    ),
    "maps": network(
        C,
        Softmax("s"),
        MaxPool("m", size=2),
        LRN("n"),
        ReLU("r"),
        Add("t", ("r", "m")),
        Concat("v", ("t", "n")),
        GlobalMaxPool("x"),
        GlobalAveragePool("a", ("v",)),
        Dense("d", ("v",), units=3),
    ),
}


@pytest.mark.parametrize("name", IN_THE_BATCH_STAGE)
def test_what_is_accepted_in_the_batch_stage_runs(name):
    architecture = IN_THE_BATCH_STAGE[name]
    parameters, images, expected = reference_of(architecture, 5)
    outputs = architecture.layer_names
    plan = Plan(architecture, parameters, outputs)
    actual = plan.run(images)
    assert_close(architecture, dict(zip(outputs, actual)), expected, 1e-5, random=True)
    for values, alone in zip(actual, plan.run(images[1:2], n_threads=2)):
        np.testing.assert_array_equal(values[1:2], alone)


def test_every_kind_has_its_place():
    """A new kind has to say how the engine computes it, or become one that does."""
    without = {kind for kind in layers.KINDS if kind.compile_step is Layer.compile_step}
    # parts of the engine of their own, the batch stage, and what is rewritten
    assert without == {Conv, Dense, Softmax, layers.BatchNorm, layers.Identity}


def test_images_that_do_not_fit():
    architecture = NETWORKS["residual"]
    plan = Plan(architecture, he_parameters(architecture), ["t"])
    images = random_images(architecture, 2)
    for wrong in (images[:, :-1], images[..., :2], images[0]):
        with pytest.raises(ValueError, match=r"images of shape .*; small takes images of shape"):
            plan.run(wrong)
