"""SqueezeNet (Iandola et al. 2016): "fire" modules of 1x1 and 3x3 convolutions."""

from __future__ import annotations

from typing import Any

from ..architecture import Architecture, Preprocessing
from ..layers import Concat, Conv, GlobalAveragePool, Layer, MaxPool, ReLU, Softmax

NAMES = ("squeezenet1_1", "squeezenet1_0")
# filters of fire2 to fire9: squeezed, and of each kind of expansion
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# modules that a pooling follows
_POOLED = {"squeezenet1_1": (3, 5), "squeezenet1_0": (4, 8)}


def build(name: str) -> Architecture:
    """Build SqueezeNet 1.0 or 1.1, which pools earlier and begins with fewer, smaller filters."""

    def fire(i: int, squeeze: int, expand: int) -> tuple[Layer, ...]:
        module = f"fire{i}"
        return (
            Conv(f"{module}.squeeze", filters=squeeze),
            ReLU(f"{module}.squeeze_relu"),
            Conv(f"{module}.expand1x1", filters=expand),
            ReLU(f"{module}.expand1x1_relu"),
            Conv(
                f"{module}.expand3x3",
                (f"{module}.squeeze_relu",),
                filters=expand,
                kernel_size=3,
                padding=1,
            ),
            ReLU(f"{module}.expand3x3_relu"),
            Concat(module, (f"{module}.expand1x1_relu", f"{module}.expand3x3_relu")),
        )

    first: dict[str, Any] = (
        {"filters": 96, "kernel_size": 7}
        if name == "squeezenet1_0"
        else {"filters": 64, "kernel_size": 3}
    )
    layers: list[Layer] = [Conv("conv1", stride=2, **first), ReLU("relu1"), MaxPool("pool1")]
    for i, (squeeze, expand) in enumerate(_FIRES, start=2):
        layers += fire(i, squeeze, expand)
        if i in _POOLED[name]:
            layers.append(MaxPool(f"pool{i}"))
    layers += [
        Conv("conv10", filters=1000),
        ReLU("relu10"),
        GlobalAveragePool("pool10"),
        Softmax("prob"),
    ]
    return Architecture(
        name,
        tuple(layers),
        Preprocessing(crop=227, channel_order="bgr", mean=(104.006, 116.669, 122.679)),
        {5: "fire8", 6: "fire9", 7: "relu10", 8: "pool10"},
        pooling="avg+max",
        # the largest score of a class anywhere says less than its mean: with 1, 5 and 30 images
        # for each of 20 classes the mean is better by 8, 6 and 3 points
        layer_pooling={"conv10": "avg", "relu10": "avg"},
    )
