"""Layers of every kind with shapes that they fit, for tests that hold for all kinds."""

from __future__ import annotations

import math

import numpy as np

from sklearn_decaf.networks.layers import (
    ELU,
    GELU,
    LRN,
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    Shape,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)

MAP, VECTOR = (6, 5, 4), (9,)

#: (layer, shapes of its inputs); at least one of every kind.
EXAMPLES: list[tuple[Layer, list[Shape]]] = [
    (Conv("conv", filters=3, kernel_size=3, stride=2, padding=1), [MAP]),
    (Conv("conv-same", filters=4, kernel_size=5, padding="same"), [MAP]),
    (Conv("conv-groups", filters=6, kernel_size=3, padding=1, groups=2), [MAP]),
    (Conv("conv-depthwise", filters=4, kernel_size=3, padding=1, groups=4), [MAP]),
    (Conv("conv-rows", filters=3, kernel_size=(1, 5), padding=(0, 2)), [MAP]),
    (Conv("conv-columns", filters=3, kernel_size=(3, 1), stride=(2, 1)), [MAP]),
    (Conv("conv-uneven", filters=3, kernel_size=3, padding=((0, 2), (1, 0))), [MAP]),
    (Conv("conv-dilated", filters=3, kernel_size=3, padding=2, dilation=2), [MAP]),
    (Conv("conv-dilated-rows", filters=4, kernel_size=2, dilation=(3, 1), groups=4), [MAP]),
    (MaxPool("max-pool"), [MAP]),
    (MaxPool("max-pool-padded", size=3, stride=2, ceil_mode=False, padding=1), [MAP]),
    (MaxPool("max-pool-rows", size=(2, 3), stride=(2, 1)), [MAP]),
    (AveragePool("average-pool", size=2, stride=2), [MAP]),
    (AveragePool("average-pool-padded", size=3, stride=2, padding=1), [MAP]),
    (AveragePool("average-pool-counted", size=3, padding=1, count_padding=True), [MAP]),
    (GlobalAveragePool("global-average"), [MAP]),
    (GlobalMaxPool("global-max"), [MAP]),
    (Dense("dense", units=5), [VECTOR]),
    (Dense("dense-map", units=5), [MAP]),
    (Add("add"), [MAP, MAP]),
    (Add("add-vectors"), [VECTOR, VECTOR]),
    (Multiply("multiply"), [MAP, MAP]),
    (Multiply("multiply-channels"), [MAP, MAP[-1:]]),
    (Multiply("multiply-pixels"), [MAP, (*MAP[:-1], 1)]),
    (Multiply("multiply-vectors"), [VECTOR, VECTOR]),
    (Concat("concat"), [MAP, (*MAP[:-1], 3)]),
    (Concat("concat-vectors"), [VECTOR, (2,), VECTOR]),
    (ChannelSlice("slice", start=1, stop=3), [MAP]),
    (ChannelSlice("slice-odd", start=1, stop=4, step=2), [MAP]),
    (ChannelSlice("slice-vector", start=2, stop=7), [VECTOR]),
    (ChannelShuffle("shuffle"), [MAP]),
    (ChannelShuffle("shuffle-vector", groups=3), [VECTOR]),
    *[
        (kind, [shape])
        for shape in (MAP, VECTOR)
        for kind in (
            ReLU(f"relu-{len(shape)}"),
            ReLU(f"relu6-{len(shape)}", max_value=0.6),
            LeakyReLU(f"leaky-relu-{len(shape)}", slope=0.25),
            PReLU(f"prelu-{len(shape)}"),
            ELU(f"elu-{len(shape)}", alpha=0.75),
            Sigmoid(f"sigmoid-{len(shape)}"),
            Tanh(f"tanh-{len(shape)}"),
            SiLU(f"silu-{len(shape)}"),
            HardSigmoid(f"hard-sigmoid-{len(shape)}"),
            HardSwish(f"hard-swish-{len(shape)}"),
            GELU(f"gelu-{len(shape)}"),
            GELU(f"gelu-tanh-{len(shape)}", approximate=True),
            BatchNorm(f"batch-norm-{len(shape)}"),
            Scale(f"scale-{len(shape)}"),
            Scale(f"layer-scale-{len(shape)}", has_shift=False),
            LayerNorm(f"layer-norm-{len(shape)}"),
            Softmax(f"softmax-{len(shape)}"),
            Identity(f"identity-{len(shape)}"),
        )
    ],
    (LRN("lrn", alpha=0.5), [MAP]),
]
IDS = [layer.name for layer, _ in EXAMPLES]


def drawn(seed: int, *shape: int, dtype=np.float64) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def example_arrays(layer: Layer, shapes: list[Shape], seed: int = 0, n: int = 2):
    """Return inputs for n images and parameters: variances are positive."""
    inputs = [drawn(seed + i, n, *shape) for i, shape in enumerate(shapes)]
    parameters = []
    for i, (name, shape) in enumerate(layer.parameter_shapes(*shapes).items()):
        values = drawn(seed + 10 + i, *shape) / math.sqrt(math.prod(shape[:-1]))
        parameters.append(np.abs(values) + 0.1 if name == "variance" else values)
    return inputs, parameters


def assert_same(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    """Compare shape, type and values, to a share of the largest."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())
