"""Every kind of layer in a training plan, against the float64 reference: alone, and in branches."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.layer_examples import EXAMPLES, IDS
from oracles.random_networks import random_images
from oracles.training import assert_gradients, check, small_parameters

from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.engine.training import TrainingPlan
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Multiply,
    ReLU,
    Scale,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)


def network(*layers, size=(6, 5)):
    preprocessing = Preprocessing(
        crop=size, channel_order="rgb", mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0)
    )
    return Architecture("small", layers, preprocessing, {})


@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_kinds(layer, shapes):
    """Each input comes from a convolution, so that gradients by all inputs are seen."""
    layers, names = [Conv("first", filters=6), Tanh("tanh")], []
    for i, shape in enumerate(shapes):
        name = f"input{i}"
        if len(shape) == 3:
            layers.append(Conv(name, ("tanh",), filters=shape[-1]))
        else:
            pooled = f"pooled{i}"
            layers += [GlobalAveragePool(pooled, ("tanh",)), Dense(name, (pooled,), shape[0])]
        names.append(name)
    layers += [replace(layer, name="tested", inputs=tuple(names)), Dense("fc", units=3)]
    check(network(*layers))


@pytest.mark.parametrize("stride", [1, 2, 3, (2, 1)])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("padding", ["same", 0, 1])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_convolutions(stride, size, padding, groups):
    net = network(
        Conv("first", filters=8),
        Tanh("tanh"),
        Conv(
            "conv",
            filters=16 if groups < 8 else 8,
            kernel_size=size,
            stride=stride,
            padding=padding,
            groups=groups,
        ),
        ReLU("relu", max_value=0.5),
        Dense("fc", units=3),
        size=(13, 12),
    )
    check(net)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("side", "channels", "groups"), [(8, 8, 1), (10, 16, 2), (13, 24, 1)])
@pytest.mark.parametrize("size", [3, 5])
def test_winograd(side, channels, groups, size, exact):
    net = network(
        Conv("first", filters=channels, kernel_size=3, padding=1),
        ReLU("relu1"),
        Conv("second", filters=2 * channels, kernel_size=size, padding=size // 2, groups=groups),
        ReLU("relu2"),
        Conv("third", filters=channels, kernel_size=size, padding=size // 2),
        Add("add", ("third", "relu1")),
        ReLU("relu3"),
        Dense("fc", units=3),
        size=(side, side),
    )
    check(net, exact=exact)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("size", "stride", "groups"), [(11, 4, 1), (7, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 3)]
)
def test_first_convolutions(size, stride, groups, order):
    """Those that read blocks of pixels, or turn RGB to BGR."""
    net = network(
        Conv("first", filters=24, kernel_size=size, stride=stride, padding=1, groups=groups),
        ReLU("relu"),
        MaxPool("pool", size=3, stride=2),
        Dense("fc", units=3),
        size=(43, 39),
    )
    check(replace(net, preprocessing=replace(net.preprocessing, channel_order=order)))


def test_normalisations_that_become_parts_of_convolutions():
    net = network(
        Conv("c1", filters=8, kernel_size=3),
        BatchNorm("n1"),
        ReLU("r1"),
        Conv("c2", filters=8, kernel_size=3, padding=1),
        Scale("s2"),
        BatchNorm("n2"),
        Add("add", ("n2", "r1")),
        BatchNorm("n3"),
        ReLU("r3"),
        Conv("c4", filters=4),
        Scale("s4", has_shift=False),
        Dense("fc", units=3),
        Softmax("prob"),
        size=(12, 11),
    )
    check(net)
    check(net, trainable=["n2", "c4", "n1"])


def test_branches():
    net = network(
        Conv("a", filters=8),
        ReLU("ra"),
        Conv("b", ("ra",), filters=8, kernel_size=3, padding=1),
        ReLU("rb"),
        Conv("c", ("ra",), filters=4),
        ReLU("rc"),
        Concat("cat", ("rb", "rc", "ra", "rb")),
        Conv("d", filters=8, kernel_size=3, padding=1),
        Add("twice", ("d", "d")),
        Add("sum", ("twice", "ra")),
        Identity("same"),
        GlobalAveragePool("squeeze"),
        Dense("squeeze1", units=4),
        SiLU("silu"),
        Dense("squeeze2", units=8),
        Sigmoid("gate"),
        Multiply("scaled", ("same", "gate")),
        Add("end", ("scaled", "sum")),
        GlobalAveragePool("pool"),
        Dense("fc", units=3),
        size=(9, 8),
    )
    check(net)
    check(net, output="end")


def test_several_readers_of_pixels():
    net = network(
        Conv("a", ("data",), filters=8, kernel_size=3, padding=1),
        Conv("b", ("data",), filters=8),
        Add("sum", ("a", "b")),
        Dense("fc", units=3),
    )
    check(net)


def test_maps_as_output_and_pixels_of_other_types():
    net = network(Conv("a", filters=8, kernel_size=3, padding=1), ReLU("r"), size=(9, 9))
    check(net)
    parameters = small_parameters(net)
    images = random_images(net, 3)
    plan = TrainingPlan(net, parameters, "r", group_size=2)
    kept = plan.forward(images)
    np.testing.assert_array_equal(plan.forward(images.astype(np.float32)), kept)
    np.testing.assert_array_equal(plan.forward(images.astype(np.float64)), kept)
    assert_gradients(net, parameters, images.astype(np.float32))
