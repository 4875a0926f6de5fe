"""State dicts of timm's networks, where their names are not torchvision's."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...architecture import Architecture
from ...architectures import efficientnet_lite, vgg
from ...layers import BatchNorm, Conv
from .base import NUMBER_OF_BATCHES, Entry, Layout, torch_entries

_EFFICIENTNETS = tuple(f"efficientnet_b{i}" for i in range(5))
# blocks of each stage
_REPEATS = {
    "mobilenet_v2": (1, 2, 3, 4, 3, 3, 1),
    "mobilenet_v3_large": (1, 2, 3, 4, 2, 3),
    "mobilenet_v3_small": (1, 2, 3, 2, 3),
    "mnasnet1_0": (1, 3, 3, 3, 2, 4, 1),
}
_EFFICIENTNET_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_DEPTHS = (1.0, 1.1, 1.2, 1.4, 1.8)  # of B0 to B4, and of Lite0 to Lite4


def _repeats(name: str) -> tuple[int, ...]:
    if name in _REPEATS:
        return _REPEATS[name]
    grown = [math.ceil(n * _DEPTHS[int(name[-1])]) for n in _EFFICIENTNET_REPEATS]
    if name in efficientnet_lite.NAMES:  # whose first and last stages do not grow
        grown[0] = grown[-1] = 1
    return tuple(grown)


def _mobile_modules(net: Architecture) -> dict[str, str]:
    """Modules of a network of inverted residual blocks, found by the kinds of its layers.

    A block is ``[expansion] depthwise [squeeze-and-excitation] projection``; normalisations are
    counted in each block. Those of EfficientNet-Lite are folded, and stand under their
    convolution's name with ``.norm``.
    """
    names: dict[str, str] = {}
    layers = [layer for layer in net.parameters_by_layer if not isinstance(net[layer], BatchNorm)]
    norm_of = {
        net.inputs(layer)[0]: layer
        for layer in net.parameters_by_layer
        if isinstance(net[layer], BatchNorm)
    }

    def put(layer: str, module: str, norm: str) -> None:
        names[layer], names[norm_of.get(layer, f"{layer}.norm")] = module, norm

    rest = iter(layers)
    put(next(rest), "conv_stem", "bn1")
    stages = _repeats(net.name)
    for stage, count in enumerate(stages):
        for i in range(count):
            at = f"blocks.{stage}.{i}"
            parts = _block_parts(net, rest)
            expands = "expand" in parts
            for number, part in enumerate([p for p in parts if p not in ("fc1", "fc2")], start=1):
                conv = {"expand": "pw", "depthwise": "dw", "project": "pwl" if expands else "pw"}
                put(parts[part], f"{at}.conv_{conv[part]}", f"{at}.bn{number}")
            if "fc1" in parts:
                names[parts["fc1"]] = f"{at}.se.conv_reduce"
                names[parts["fc2"]] = f"{at}.se.conv_expand"
    *head, classifier = rest
    if len(head) == 2:  # MobileNet v3, whose last layer but one is fully connected
        put(head[0], f"blocks.{len(stages)}.0.conv", f"blocks.{len(stages)}.0.bn1")
        names[head[1]] = "conv_head"
    else:
        put(head[0], "conv_head", "bn2")
    names[classifier] = "classifier"
    return names


def _block_parts(net: Architecture, rest: Iterator[str]) -> dict[str, str]:
    """The layers of the next block, by what they do in it."""
    parts, layer = {}, next(rest)
    if _conv(net, layer).groups == 1:
        parts["expand"], layer = layer, next(rest)
    parts["depthwise"], layer = layer, next(rest)
    if not isinstance(net[layer], Conv):
        parts["fc1"], parts["fc2"], layer = layer, next(rest), next(rest)
    parts["project"] = layer
    return parts


def _conv(net: Architecture, layer: str) -> Conv:
    found = net[layer]
    assert isinstance(found, Conv), layer
    return found


def _mobile(net: Architecture) -> list[Entry]:
    return torch_entries(net, _mobile_modules(net).__getitem__)


def _lite(net: Architecture) -> list[Entry]:
    """Entries of EfficientNet-Lite, whose normalisations are folded into the convolutions."""
    modules, entries = _mobile_modules(net), []
    for layer in net.parameters_by_layer:
        module = modules[layer]
        if isinstance(net[layer], Conv):
            norm = modules[f"{layer}.norm"]
            entries.append(Entry(layer, {"kernel": f"{module}.weight"}, batch_norm=norm))
        else:
            entries.append(Entry(layer, {"kernel": f"{module}.weight", "bias": f"{module}.bias"}))
    return entries


_VGG_HEAD = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}


def _vgg(net: Architecture) -> list[Entry]:
    modules = {layer: module for module, layer in net.aliases.items()} | _VGG_HEAD
    return torch_entries(net, modules.__getitem__)


def _convnext(net: Architecture) -> list[Entry]:
    parts = {"block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2"}
    parts["layer_scale"] = "gamma"

    def module(layer: str) -> str:
        if layer.startswith("classifier"):
            return {"classifier.0": "head.norm", "classifier.2": "head.fc"}[layer]
        _, number, place, *part = layer.split(".")
        if number == "0":
            return f"stem.{place}"
        stage, is_between = divmod(int(number) - 1, 2)
        if is_between:
            return f"stages.{stage + 1}.downsample.{place}"
        return f"stages.{stage}.blocks.{place}.{parts['.'.join(part)]}"

    return torch_entries(net, module)


_REGNET_PARTS = {"f.a": "conv1", "f.b": "conv2", "f.c": "conv3", "proj": "downsample"}


def _regnet(net: Architecture) -> list[Entry]:
    def module(layer: str) -> str:
        if layer == "fc":
            return "head.fc"
        path, _, last = layer.rpartition(".")
        kind = {"0": "conv", "1": "bn"}.get(last, last)
        if path == "stem":
            return f"stem.{kind}"
        _, stage, block, *part = layer.split(".")
        at = f"s{stage.removeprefix('block')}.b{int(block.partition('-')[2]) + 1}"
        if "se" in part:
            return f"{at}.se.{last}"
        return f"{at}.{_REGNET_PARTS['.'.join(part[:-1])]}.{kind}"

    return torch_entries(net, module)


def _other_padding(own: str, other: str, known: str, rest: str = "") -> str:
    return (
        f"timm has two networks with these names and shapes: {own}, which is {known} here{rest}, "
        f"and {other}, which pads pictures differently and does not work here"
    )


LAYOUTS = (
    Layout(
        "timm's EfficientNet-Lite",
        efficientnet_lite.NAMES,
        _lite,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
        batch_norm_epsilon=1e-3,
        doubt=_other_padding(
            "tf_efficientnet_lite0 (1, 2, 3, 4)",
            "its own efficientnet_lite0",
            "efficientnet_lite0",
        ),
    ),
    Layout(
        "timm's EfficientNet",
        _EFFICIENTNETS,
        _mobile,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
        doubt=_other_padding("efficientnet_b0 (b1 to b4)", "tf_efficientnet_b0", "efficientnet_b0"),
    ),
    Layout(
        "timm's MobileNet v3",
        ("mobilenet_v3_large", "mobilenet_v3_small"),
        _mobile,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
        batch_norm_epsilon=1e-5,
        doubt=_other_padding(
            "mobilenetv3_large_100 (small_100)",
            "tf_mobilenetv3_large_100",
            "mobilenet_v3_large",
            " but for an epsilon",
        ),
    ),
    Layout(
        "timm's MobileNet v2 and MNASNet",
        ("mobilenet_v2", "mnasnet1_0"),
        _mobile,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
    ),
    Layout("timm's VGG", vgg.NAMES, _vgg, axes="oihw", ignored=NUMBER_OF_BATCHES),
    Layout("timm's ConvNeXt", ("convnext_tiny",), _convnext, axes="oihw"),
    Layout(
        "timm's RegNet",
        ("regnet_y_400mf",),
        _regnet,
        axes="oihw",
        ignored=NUMBER_OF_BATCHES,
    ),
)
