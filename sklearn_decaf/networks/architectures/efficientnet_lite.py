"""EfficientNet-Lite (Tan and Le 2019), Lite0 to Lite4."""

from __future__ import annotations

import math

from ..architecture import Architecture, Preprocessing
from ..layers import Add, Conv, Dense, GlobalAveragePool, Layer, ReLU, Softmax
from ._builder import make_divisible
from .mobilenet import EFFICIENTNET_STAGES

# width, depth, side of the input
_SCALES = {
    "efficientnet_lite0": (1.0, 1.0, 224),
    "efficientnet_lite1": (1.0, 1.1, 240),
    "efficientnet_lite2": (1.1, 1.2, 260),
    "efficientnet_lite3": (1.2, 1.4, 280),
    "efficientnet_lite4": (1.4, 1.8, 300),
}
NAMES = tuple(_SCALES)


def _blocks(width: float, depth: float) -> list[tuple[int, int, int, int, int]]:
    """List the blocks: kernel size, stride, expansion, input channels, output channels.

    Stem and head, and the number of blocks of the first and the last stage, do not grow.
    """
    blocks, channels = [], 32
    for stage, (expansion, size, stride, filters, count) in enumerate(EFFICIENTNET_STAGES):
        filters = make_divisible(filters * width)
        fixed = stage in (0, len(EFFICIENTNET_STAGES) - 1)
        for i in range(count if fixed else math.ceil(count * depth)):
            blocks.append((size, stride if i == 0 else 1, expansion, channels, filters))
            channels = filters
    return blocks


def build(name: str) -> Architecture:
    """Build an EfficientNet-Lite by name: inverted residual blocks, no squeeze-and-excitation.

    A module's own name is its output: ``stem``, ``block1`` and so on, ``head``.

    The trained weights of Lite0's first layers, batch normalisation folded in, cancel to a high
    degree: those of one of the stem's filters add up to 658 in absolute value. In float32
    throughout, an activation of block 2 may be off by 2.4e-5 of the layer's maximum (measured on
    100 photographs). With the stem and block 1, 5 % of the arithmetic, summed in float64, no
    layer is off by more than 1.1e-5, and none of the DeCAF layers by more than 5e-6.
    """

    width, depth, crop = _SCALES[name]
    blocks = _blocks(width, depth)

    def layers_of_block(
        i: int, kernel_size, stride, expansion, channels, filters
    ) -> tuple[Layer, ...]:
        block = f"block{i}"
        before = "stem" if i == 1 else f"block{i - 1}"
        before = aliases.get(before, before)
        hidden = channels * expansion
        residual = stride == 1 and channels == filters
        double_precision = i == 1
        layers: list[Layer] = []
        if expansion != 1:
            layers += [
                Conv(f"{block}.expand.conv", filters=hidden),
                ReLU(f"{block}.expand", max_value=6.0),
            ]
        layers += [
            Conv(
                f"{block}.depthwise.conv",
                filters=hidden,
                kernel_size=kernel_size,
                stride=stride,
                padding="same",
                groups=hidden,
                double_precision=double_precision,
            ),
            ReLU(f"{block}.depthwise", max_value=6.0),
            Conv(f"{block}.project.conv", filters=filters, double_precision=double_precision),
        ]
        if residual:
            layers.append(Add(block, (f"{block}.project.conv", before)))
        return tuple(layers)

    # a block without a residual ends in its projection: the block's name leads there
    aliases = {
        f"block{i}": f"block{i}.project.conv"
        for i, (_, stride, _, channels, filters) in enumerate(blocks, start=1)
        if stride != 1 or channels != filters
    }
    layers: list[Layer] = [
        Conv(
            "stem.conv",
            filters=32,
            kernel_size=3,
            stride=2,
            padding="same",
            double_precision=True,
        ),
        ReLU("stem", max_value=6.0),
    ]
    for i, parameters in enumerate(blocks, start=1):
        layers += layers_of_block(i, *parameters)
    layers += [
        Conv("head.conv", filters=1280),
        ReLU("head", max_value=6.0),
        GlobalAveragePool("pool"),
        Dense("fc", units=1000),
        Softmax("prob"),
    ]
    last = len(blocks)
    numbers = {
        number: aliases.get(f"block{i}", f"block{i}") for number, i in ((5, last - 1), (6, last))
    }
    return Architecture(
        name,
        tuple(layers),
        Preprocessing(resize=crop + 32, crop=crop, mean=(127.0,) * 3, std=(128.0,) * 3),
        {**numbers, 7: "head", 8: "fc"},
        pooling="avg",
        aliases=aliases,
    )
