"""Networks of inverted residual blocks: MobileNet v2 and v3, MNASNet, EfficientNet.

Sandler et al. 2018, Howard et al. 2019, Tan et al. 2019, Tan and Le 2019.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from ..architecture import Architecture
from ..layers import (
    Add,
    Dense,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    Layer,
    Multiply,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
)
from ._builder import IMAGENET, Builder, make_divisible

ReLU6 = partial(ReLU, max_value=6.0)


def squeeze_and_excite(
    net: Builder, name: str, channels: int, squeezed: int, first: type[Layer], gate: type[Layer]
) -> None:
    """Append a factor for each channel, computed from the means of all (Hu et al. 2018)."""
    source = net.last
    net.add(GlobalAveragePool, f"{name}.avgpool")
    net.add(Dense, f"{name}.fc1", units=squeezed)
    net.add(first, f"{name}.fc1.act")
    net.add(Dense, f"{name}.fc2", units=channels)
    net.add(gate, f"{name}.fc2.act")
    net.add(Multiply, name, source, net.last)


# -- MobileNet v2 --

# expansion, channels, blocks, stride of the first
_V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2() -> Architecture:
    """Build MobileNet v2 at full width."""
    net = Builder()
    net.conv("features.0.0", 32, 3, 2, norm="features.0.1", activation=ReLU6)
    channels, number = 32, 0
    for expansion, filters, count, first_stride in _V2_STAGES:
        for i in range(count):
            number += 1
            block, source, hidden = f"features.{number}.conv", net.last, channels * expansion
            stride, part = first_stride if i == 0 else 1, 0
            if expansion != 1:
                net.conv(f"{block}.0.0", hidden, norm=f"{block}.0.1", activation=ReLU6)
                part = 1
            net.conv(
                f"{block}.{part}.0",
                hidden,
                3,
                stride,
                groups=hidden,
                norm=f"{block}.{part}.1",
                activation=ReLU6,
            )
            net.conv(f"{block}.{part + 1}", filters, norm=f"{block}.{part + 2}", activation=None)
            if stride == 1 and channels == filters:
                net.add(Add, f"features.{number}", source, net.last)
            net.block(f"features.{number}")
            channels = filters
    net.conv("features.18.0", 1280, norm="features.18.1", activation=ReLU6)
    net.block("features.18")
    net.classifier("classifier.1")
    return net.architecture("mobilenet_v2", scores="classifier.1")


# -- MobileNet v3 --

# kernel size, expanded channels, channels, squeeze-and-excitation, activation, stride
_V3_BLOCKS = {
    "mobilenet_v3_large": (
        (3, 16, 16, False, ReLU, 1),
        (3, 64, 24, False, ReLU, 2),
        (3, 72, 24, False, ReLU, 1),
        (5, 72, 40, True, ReLU, 2),
        (5, 120, 40, True, ReLU, 1),
        (5, 120, 40, True, ReLU, 1),
        (3, 240, 80, False, HardSwish, 2),
        (3, 200, 80, False, HardSwish, 1),
        (3, 184, 80, False, HardSwish, 1),
        (3, 184, 80, False, HardSwish, 1),
        (3, 480, 112, True, HardSwish, 1),
        (3, 672, 112, True, HardSwish, 1),
        (5, 672, 160, True, HardSwish, 2),
        (5, 960, 160, True, HardSwish, 1),
        (5, 960, 160, True, HardSwish, 1),
    ),
    "mobilenet_v3_small": (
        (3, 16, 16, True, ReLU, 2),
        (3, 72, 24, False, ReLU, 2),
        (3, 88, 24, False, ReLU, 1),
        (5, 96, 40, True, HardSwish, 2),
        (5, 240, 40, True, HardSwish, 1),
        (5, 240, 40, True, HardSwish, 1),
        (5, 120, 48, True, HardSwish, 1),
        (5, 144, 48, True, HardSwish, 1),
        (5, 288, 96, True, HardSwish, 2),
        (5, 576, 96, True, HardSwish, 1),
        (5, 576, 96, True, HardSwish, 1),
    ),
}
_V3_HIDDEN = {"mobilenet_v3_large": 1280, "mobilenet_v3_small": 1024}


def mobilenet_v3(name: str) -> Architecture:
    """Build a MobileNet v3 by name."""
    net, epsilon = Builder(), 1e-3
    net.conv("features.0.0", 16, 3, 2, norm="features.0.1", epsilon=epsilon, activation=HardSwish)
    channels = 16
    blocks = _V3_BLOCKS[name]
    for number, (size, hidden, filters, excites, act, stride) in enumerate(blocks, start=1):
        block, source, part = f"features.{number}.block", net.last, 0
        options: dict[str, Any] = {"epsilon": epsilon, "activation": act}
        if hidden != channels:
            net.conv(f"{block}.0.0", hidden, norm=f"{block}.0.1", **options)
            part = 1
        at = f"{block}.{part}"
        net.conv(f"{at}.0", hidden, size, stride, groups=hidden, norm=f"{at}.1", **options)
        if excites:
            part += 1
            squeezed = make_divisible(hidden // 4)
            squeeze_and_excite(net, f"{block}.{part}", hidden, squeezed, ReLU, HardSigmoid)
        at = f"{block}.{part + 1}"
        net.conv(f"{at}.0", filters, norm=f"{at}.1", epsilon=epsilon, activation=None)
        if stride == 1 and channels == filters:
            net.add(Add, f"features.{number}", source, net.last)
        net.block(f"features.{number}")
        channels = filters
    head = f"features.{len(blocks) + 1}"
    net.conv(f"{head}.0", 6 * channels, norm=f"{head}.1", epsilon=epsilon, activation=HardSwish)
    net.block(head)
    net.add(GlobalAveragePool, "avgpool")
    net.add(Dense, "classifier.0", units=_V3_HIDDEN[name])
    net.add(HardSwish, "classifier.1")
    net.block()
    net.add(Dense, "classifier.3", units=1000)
    net.add(Softmax, "prob")
    return net.architecture(name, scores="classifier.3")


# -- MNASNet --

# kernel size, stride, expansion, channels, blocks
_MNASNET_STAGES = (
    (3, 2, 3, 24, 3),
    (5, 2, 3, 40, 3),
    (5, 2, 6, 80, 3),
    (3, 1, 6, 96, 2),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def mnasnet1_0() -> Architecture:
    """Build MNASNet with depth multiplier 1.0."""
    net = Builder()
    net.conv("layers.0", 32, 3, 2, norm="layers.1", activation_name="layers.2")
    net.conv("layers.3", 32, 3, groups=32, norm="layers.4", activation_name="layers.5")
    net.conv("layers.6", 16, norm="layers.7", activation=None)
    channels = 16
    for stage, (size, first_stride, expansion, filters, count) in enumerate(_MNASNET_STAGES, 8):
        for i in range(count):
            block, source, hidden = f"layers.{stage}.{i}", net.last, channels * expansion
            stride, parts = first_stride if i == 0 else 1, f"layers.{stage}.{i}.layers"
            net.conv(f"{parts}.0", hidden, norm=f"{parts}.1", activation_name=f"{parts}.2")
            net.conv(
                f"{parts}.3",
                hidden,
                size,
                stride,
                groups=hidden,
                norm=f"{parts}.4",
                activation_name=f"{parts}.5",
            )
            net.conv(f"{parts}.6", filters, norm=f"{parts}.7", activation=None)
            if stride == 1 and channels == filters:
                net.add(Add, block, net.last, source)
            net.block(block)
            channels = filters
    net.conv("layers.14", 1280, norm="layers.15", activation_name="layers.16")
    net.block()
    net.classifier("classifier.1")
    return net.architecture("mnasnet1_0", scores="classifier.1")


# -- EfficientNet --

# expansion, kernel size, stride, channels, blocks
EFFICIENTNET_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# width, depth, side after resizing, side of the crop
_EFFICIENTNETS = {
    "efficientnet_b0": (1.0, 1.0, 256, 224),
    "efficientnet_b1": (1.0, 1.1, 256, 240),
    "efficientnet_b2": (1.1, 1.2, 288, 288),
    "efficientnet_b3": (1.2, 1.4, 320, 300),
    "efficientnet_b4": (1.4, 1.8, 384, 380),
}


def efficientnet(name: str) -> Architecture:
    """Build an EfficientNet, B0 to B4, as torchvision has it."""
    width, depth, resize, crop = _EFFICIENTNETS[name]
    net, channels = Builder(), make_divisible(32 * width)
    net.conv("features.0.0", channels, 3, 2, norm="features.0.1", activation=SiLU)
    for stage, (expansion, size, first_stride, filters, count) in enumerate(EFFICIENTNET_STAGES, 1):
        filters = make_divisible(filters * width)
        for i in range(math.ceil(count * depth)):
            block, source, hidden = f"features.{stage}.{i}", net.last, channels * expansion
            stride, part = first_stride if i == 0 else 1, 0
            if expansion != 1:
                at = f"{block}.block.0"
                net.conv(f"{at}.0", hidden, norm=f"{at}.1", activation=SiLU)
                part = 1
            at = f"{block}.block.{part}"
            net.conv(
                f"{at}.0", hidden, size, stride, groups=hidden, norm=f"{at}.1", activation=SiLU
            )
            squeezed = max(1, channels // 4)
            squeeze_and_excite(net, f"{block}.block.{part + 1}", hidden, squeezed, SiLU, Sigmoid)
            at = f"{block}.block.{part + 2}"
            net.conv(f"{at}.0", filters, norm=f"{at}.1", activation=None)
            if stride == 1 and channels == filters:
                net.add(Add, block, net.last, source)
            net.block(block)
            channels = filters
        net.aliases[f"features.{stage}"] = net.last
    net.conv("features.8.0", 4 * channels, norm="features.8.1", activation=SiLU)
    net.block("features.8")
    net.classifier("classifier.1")
    preprocessing = replace(IMAGENET, resize=resize, crop=crop)
    return net.architecture(name, preprocessing, scores="classifier.1")


NAMES = ("mobilenet_v2", *_V3_BLOCKS, "mnasnet1_0", *_EFFICIENTNETS)


def build(name: str) -> Architecture:
    """Build one of these networks by name."""
    if name in _EFFICIENTNETS:
        return efficientnet(name)
    if name in _V3_BLOCKS:
        return mobilenet_v3(name)
    return {"mobilenet_v2": mobilenet_v2, "mnasnet1_0": mnasnet1_0}[name]()
