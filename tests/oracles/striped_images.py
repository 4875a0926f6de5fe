"""A small network, and images of stripes that it can learn to tell apart, in a second or less."""

from __future__ import annotations

import numpy as np

from sklearn_decaf.networks.architecture import Architecture, Preprocessing
from sklearn_decaf.networks.layers import (
    Add,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Softmax,
)
from sklearn_decaf.networks.weights.weights import Weights
from sklearn_decaf.training._fillers import initial_parameters

NETWORK = Architecture(
    "striped",
    (
        Conv("conv1", filters=8, kernel_size=3, padding=1),
        ReLU("relu1"),
        MaxPool("pool1", size=2, stride=2),
        Conv("conv2", filters=12, kernel_size=3, padding=1),
        ReLU("relu2"),
        Conv("conv3", filters=12, kernel_size=3, padding=1),
        Add("add3", ("conv3", "relu2")),
        ReLU("relu3"),
        Conv("conv4", filters=16),
        ReLU("relu4"),
        GlobalAveragePool("pool"),
        Dense("fc", units=10),
        Softmax("prob"),
    ),
    Preprocessing(resize=20, crop=16, mean=(127.5,) * 3, std=(64.0,) * 3),
    {5: "relu2", 6: "relu3", 7: "relu4", 8: "fc"},
    pooling="avg",
)


def weights(seed: int = 0) -> Weights:
    """The network with random parameters."""
    return Weights(NETWORK, initial_parameters(NETWORK, seed))


def striped_images(
    n: int, *, n_classes: int = 3, noise: float = 40.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Images of 20 x 20 pixels, with stripes across, along, or both, and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    waves = np.sin(np.arange(20) * 1.6 + rng.uniform(0, 6, (n, 1)))  # of another phase each
    across = np.broadcast_to(waves[:, np.newaxis, :], (n, 20, 20))
    along = np.swapaxes(across, 1, 2)
    kinds = np.stack([across, along, (across + along) / 2, across * along])
    pixels = kinds[labels, np.arange(n)][..., np.newaxis] * 60 + 127
    pixels = pixels + rng.normal(0, noise, (n, 20, 20, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), labels
