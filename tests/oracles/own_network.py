"""A network as a user writes it by hand, with parameters of every name there is."""

from __future__ import annotations

from dataclasses import replace

from sklearn_decaf.networks import Architecture, Preprocessing, Weights
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Conv,
    Dense,
    GlobalAveragePool,
    LayerNorm,
    MaxPool,
    PReLU,
    ReLU,
    Scale,
    Softmax,
)

from .random_networks import he_parameters

POCKET = Architecture(
    "pocket",
    (
        Conv("conv1", filters=16, kernel_size=3, stride=2),
        BatchNorm("norm1"),
        PReLU("prelu1"),
        MaxPool("pool1", size=3, stride=2),
        Conv("conv2", filters=16, kernel_size=3, padding=1),
        Add("sum2", ("conv2", "pool1")),
        LayerNorm("norm2"),
        Scale("scale2"),
        ReLU("relu2"),
        GlobalAveragePool("pool2"),
        Dense("fc", units=7),
        Softmax("prob"),
    ),
    Preprocessing(resize=36, crop=32, mean=(127.0,) * 3, std=(128.0,) * 3),
    {5: "pool1", 6: "relu2", 7: "pool2", 8: "fc"},
    pooling="avg",
    aliases={"body": "relu2"},
)
PARAMETERS = he_parameters(POCKET)
WEIGHTS = Weights(POCKET, PARAMETERS)

#: The same with a fully connected layer on a map, as AlexNets have.
FLAT = replace(
    POCKET,
    name="flat",
    layers=(*POCKET.layers[:4], Dense("fc6", units=9), ReLU("relu6")),
    decaf_layers={5: "pool1", 6: "relu6"},
    aliases={},
)
FLAT_WEIGHTS = Weights(FLAT, he_parameters(FLAT))
