"""Networks in which everything that the engine joins and cuts occurs, small enough for float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from oracles.random_networks import he_parameters, random_images

from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import Architecture, Preprocessing
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

BGR = Preprocessing(crop=9, channel_order="bgr", mean=(10.0, 60.0, 200.0), std=(1.0, 2.0, 4.0))
FLIPPED = Preprocessing(crop=10, mean=(100.0, 120.0, 140.0), flip_vertical=True)


def network(*layers: Layer, preprocessing: Preprocessing = FLIPPED) -> Architecture:
    return Architecture("small", layers, preprocessing, decaf_layers={})


def reference_of(architecture, n=2):
    """Parameters, images and every layer in float64."""
    parameters, images = he_parameters(architecture), random_images(architecture, n)
    expected = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    return parameters, images, expected


def assert_same_bits(actual, expected):
    assert len(actual) == len(expected)
    for values, wanted in zip(actual, expected):
        np.testing.assert_array_equal(values, wanted, strict=True)


NETWORKS = {
    "bgr, depthwise first": network(
        Conv("c", filters=3, kernel_size=3, padding="same", groups=3), preprocessing=BGR
    ),
    "bgr, groups first": network(
        Conv("c", filters=6, kernel_size=3, stride=2, groups=3), ReLU("r"), preprocessing=BGR
    ),
    "bgr": network(Conv("c", filters=2, kernel_size=4, padding=1), preprocessing=BGR),
    "image padded": network(Conv("c", filters=2, kernel_size=5, stride=2, padding="same")),
    "one by one with a border": network(
        Conv("c", filters=4), Conv("d", filters=5, padding=1), ReLU("r")
    ),
    "border written at once": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r", max_value=6.0),
        Conv("d", filters=4, kernel_size=5, stride=2, padding="same", groups=4),
        Conv("e", filters=3, kernel_size=2, padding="same"),
        ReLU("s"),
        Conv("f", filters=2, kernel_size=3, padding=2),
    ),
    "double precision": network(
        Conv("c", filters=4, kernel_size=3, double_precision=True),
        ReLU("r", max_value=60.0),
        Conv("d", filters=4, kernel_size=3, padding=1, groups=4, double_precision=True),
        ReLU("s"),
        Conv("e", filters=4, double_precision=True),
        Add("sum", ("e", "r")),
        ReLU("t"),
        Conv("f", filters=3, double_precision=True),
        Concat("all", ("f", "r")),
    ),
    "border of nothing": network(
        Conv("c", filters=4, kernel_size=3), Conv("d", filters=4, stride=2, padding="same")
    ),
    "border, read twice": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=4, kernel_size=3, padding=1),
        Conv("e", ("r",), filters=4, kernel_size=5, padding=2),
        Add("sum", ("d", "e")),
    ),
    "strided, on three channels that are not the image": network(
        Conv("c", filters=3),
        ReLU("r"),
        Conv("d", filters=8, kernel_size=5, stride=2, padding=4),
        preprocessing=Preprocessing(crop=12),
    ),
    "residual": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=6),
        ReLU("s", max_value=6.0),
        Conv("e", filters=4, kernel_size=3, padding="same"),
        Add("sum", ("e", "r")),
        ReLU("t"),
        Conv("f", filters=2),
    ),
    "residual first": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=4),
        Add("sum", ("r", "d")),
        Conv("e", filters=4),
        Add("sum2", ("sum", "e")),
        ReLU("t"),
    ),
    "residual with a later one": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4),
        Conv("e", ("c",), filters=4),
        ReLU("r"),
        Add("sum", ("d", "r")),
        ReLU("s"),
    ),
    "residual with its own input": network(
        Conv("c", filters=4, kernel_size=3), Conv("d", filters=4), Add("sum", ("d", "c"))
    ),
    "residual after a depthwise": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4, kernel_size=3, padding=1, groups=4),
        Add("sum", ("d", "c")),
        ReLU("r"),
    ),
    "added to itself": network(
        Conv("c", filters=4, kernel_size=3), Add("sum", ("c", "c")), ReLU("r")
    ),
    "concatenation": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Conv("d", filters=3),
        ReLU("s"),
        MaxPool("p", ("r",), size=1, stride=1),
        Conv("e", ("r",), filters=5, kernel_size=3, padding=1),
        Concat("all", ("s", "p", "e", "r")),
        Conv("f", filters=2),
    ),
    "concatenation of a member twice": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=3),
        Concat("all", ("d", "c", "d")),
        MaxPool("p"),
    ),
    "concatenation of concatenations": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=3),
        Conv("e", ("c",), filters=2),
        Concat("inner", ("d", "e")),
        Conv("f", ("c",), filters=5),
        Concat("outer", ("f", "inner", "c")),
        Concat("outermost", ("outer", "f")),
    ),
    "concatenation of sums and depthwise": network(
        Conv("c", filters=4, kernel_size=3),
        Conv("d", filters=4),
        Add("sum", ("d", "c")),
        Conv("e", ("c",), filters=4, kernel_size=3, padding=1, groups=4),
        ReLU("r"),
        Concat("all", ("sum", "r")),
    ),
    "ceil mode": network(
        Conv("c", filters=4, kernel_size=1),
        MaxPool("p", size=3, stride=2),
        MaxPool("q", size=2, stride=3),
        MaxPool("s", size=1, stride=4),
    ),
    "floor mode": network(
        Conv("c", filters=4, kernel_size=1),
        MaxPool("p", size=3, stride=2, ceil_mode=False),
        MaxPool("q", size=2, stride=3, ceil_mode=False),
    ),
    "normalisation": network(
        Conv("c", filters=7, kernel_size=3),
        LRN("n", alpha=0.02),
        Conv("d", filters=2, kernel_size=3, padding=1),
        LRN("o", size=7, alpha=0.1, beta=0.6, k=2.0),
    ),
    "global poolings": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        GlobalAveragePool("a"),
        GlobalMaxPool("m", ("r",)),
        Concat("am", ("a", "m")),
        Dense("fc", units=6),
        ReLU("s"),
        Dense("fd", units=3),
        Softmax("prob"),
    ),
    "a map into a dense layer": network(
        Conv("c", filters=4, kernel_size=3),
        ReLU("r"),
        Dense("fc", units=6),
        Dense("fd", ("r",), units=6),
        Add("sum", ("fc", "fd")),
    ),
}


for double in (False, True):
    layers = (
        Conv("c", filters=4, kernel_size=3, double_precision=double),
        Conv("d", filters=4, kernel_size=3, stride=2, padding="same", double_precision=double),
        ReLU("r"),
        Conv("e", filters=3, kernel_size=2, stride=3, padding="same"),
    )
    name = "border on one side" + ", double precision" * double
    NETWORKS[name] = Architecture(
        "oblong", layers, replace(FLIPPED, crop=(10, 13)), decaf_layers={}
    )


CLASSIFIER = network(
    Conv("c", filters=16, kernel_size=5, stride=2),
    ReLU("r"),
    LRN("n"),
    MaxPool("p"),
    Dense("fc6", units=300),
    ReLU("relu6"),
    Dense("fc7", units=70),
    Softmax("prob"),
    preprocessing=Preprocessing(crop=41, mean=(120.0,) * 3),
)
