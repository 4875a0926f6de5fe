"""ConvNeXt (Liu et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

from ..architecture import Architecture
from ..layers import GELU, Add, Conv, Dense, GlobalAveragePool, LayerNorm, Scale, Softmax
from ._builder import IMAGENET, Builder

NAMES = ("convnext_tiny",)
_STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))  # channels, blocks


def build(name: str) -> Architecture:
    """Build ConvNeXt-T: blocks of a 7x7 depthwise layer and two fully connected ones a pixel."""
    net = Builder()
    net.add(Conv, "features.0.0", filters=96, kernel_size=4, stride=4)
    net.add(LayerNorm, "features.0.1")
    for number, (channels, count) in enumerate(_STAGES):
        stage = 2 * number + 1
        if number:
            net.add(LayerNorm, f"features.{stage - 1}.0")
            net.add(Conv, f"features.{stage - 1}.1", filters=channels, kernel_size=2, stride=2)
        for i in range(count):
            block, source = f"features.{stage}.{i}", net.last
            parts = f"{block}.block"
            net.add(
                Conv,
                f"{parts}.0",
                filters=channels,
                kernel_size=7,
                padding=3,
                groups=channels,
            )
            net.add(LayerNorm, f"{parts}.2")
            net.add(Conv, f"{parts}.3", filters=4 * channels)
            net.add(GELU, f"{parts}.4")
            net.add(Conv, f"{parts}.5", filters=channels)
            net.add(Scale, f"{block}.layer_scale", has_shift=False)
            net.add(Add, block, net.last, source)
            net.block()
        net.aliases[f"features.{stage}"] = net.last
    net.add(GlobalAveragePool, "avgpool")
    net.add(LayerNorm, "classifier.0")
    net.add(Dense, "classifier.2", units=1000)
    net.add(Softmax, "prob")
    preprocessing = replace(IMAGENET, resize=236)
    return net.architecture(name, preprocessing, scores="classifier.2")
