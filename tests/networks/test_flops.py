"""Counts of operations against published totals and a count by running loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sklearn_decaf.networks import ARCHITECTURES, get_architecture
from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.flops import layer_flops, layer_multiply_adds
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Softmax,
)


def at_size(name: str, crop: int) -> Architecture:
    architecture = get_architecture(name)
    return replace(architecture, preprocessing=replace(architecture.preprocessing, crop=crop))


@pytest.mark.parametrize(
    ("architecture", "published", "tolerance"),
    [
        # torchvision's table of models: 0.71 and 0.35 GFLOPS (multiply-adds), at 224 x 224
        (get_architecture("alexnet"), 714e6, 0.001),
        (at_size("squeezenet1_1", 224), 349e6, 0.001),
        # 724 million: the usual count for Krizhevsky's network with its two groups
        (get_architecture("caffenet"), 724e6, 0.001),
        # the authors' table: 407 million, which counts more than the products
        (get_architecture("efficientnet_lite0"), 407e6, 0.06),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_published_totals(architecture, published, tolerance):
    total = sum(layer_multiply_adds(architecture).values())
    assert abs(total - published) <= tolerance * published


def test_layers_of_caffenet():
    """Outputs x kernel x channels seen, by hand: fc6 to fc8 have as many as weights."""
    counts = layer_multiply_adds(get_architecture("caffenet"))
    assert counts["conv1"] == 55 * 55 * 96 * 11 * 11 * 3
    assert counts["conv2"] == 27 * 27 * 256 * 5 * 5 * 48
    assert counts["conv3"] == 13 * 13 * 384 * 3 * 3 * 256
    assert counts["fc6"] == 9216 * 4096
    assert counts["relu1"] == counts["pool5"] == counts["norm1"] == 0


def test_depthwise_convolutions_see_one_channel():
    network = get_architecture("efficientnet_lite0")
    h, w, c = network.shapes()["block1.depthwise.conv"]
    assert layer_multiply_adds(network)["block1.depthwise.conv"] == h * w * c * 9


def test_every_kind_of_layer():
    network = Architecture(
        "small",
        (
            Conv("conv", filters=4, kernel_size=3, padding=1),
            ReLU("relu"),
            LRN("norm", size=5),
            MaxPool("pool", size=2, stride=2),
            Add("sum", ("pool", "pool")),
            Concat("both", ("sum", "pool")),
            GlobalAveragePool("mean"),
            Dense("fc", units=5),
            Softmax("prob"),
        ),
        Preprocessing(crop=6),
        {},
    )
    assert layer_flops(network) == {
        "conv": 36 * 4 * (2 * 27 + 1),
        "relu": 144,
        "norm": 144 * 9,
        "pool": 36 * 3,
        "sum": 36,
        "both": 0,
        "mean": 9 * 8,
        "fc": 2 * 40 + 5,
        "prob": 25,
    }


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_all_architectures_have_counts(name):
    network = get_architecture(name)
    multiply_adds, flops = layer_multiply_adds(network), layer_flops(network)
    assert tuple(multiply_adds) == tuple(flops) == network.layer_names
    for layer in network.layers:
        products = 2 * multiply_adds[layer.name]
        if isinstance(layer, Conv | Dense):
            assert flops[layer.name] == products + math.prod(network.shapes()[layer.name])
        else:
            assert products == 0 <= flops[layer.name]
