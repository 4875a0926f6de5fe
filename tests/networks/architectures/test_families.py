"""Families of networks: published numbers, and the engine against float64."""

import math

import numpy as np
import pytest
from oracles.calibrated_networks import calibrate
from oracles.random_networks import errors

from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import ARCHITECTURES, get_architecture, reference
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.flops import layer_multiply_adds
from sklearn_decaf.networks.layers import BatchNorm, Conv

# Parameters and thousand million multiply-adds, as torchvision's tables of models have them;
# EfficientNet-Lite's as timm's results and the authors' page have them.
PUBLISHED = {
    "alexnet": (61_100_840, 0.714),
    "vgg11": (132_863_336, 7.609),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg13": (133_047_848, 11.308),
    "vgg13_bn": (133_053_736, 11.308),
    "vgg16": (138_357_544, 15.47),
    "vgg16_bn": (138_365_992, 15.47),
    "vgg19": (143_667_240, 19.632),
    "vgg19_bn": (143_678_248, 19.632),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
    "resnext50_32x4d": (25_028_904, 4.23),
    "wide_resnet50_2": (68_883_240, 11.398),
    "googlenet": (6_624_904, 1.498),
    "inception_v3": (23_834_568, 5.713),  # without the auxiliary classifier
    "squeezenet1_0": (1_248_424, None),  # published for another size of the input
    "squeezenet1_1": (1_235_496, None),
    "densenet121": (7_978_856, 2.834),
    "densenet169": (14_149_480, 3.36),
    "densenet201": (20_013_928, 4.291),
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "mnasnet1_0": (4_383_312, 0.314),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "efficientnet_b0": (5_288_548, 0.386),
    "efficientnet_b1": (7_794_184, 0.687),
    "efficientnet_b2": (9_109_994, 1.088),
    "efficientnet_b3": (12_233_232, 1.827),
    "efficientnet_b4": (19_341_616, 4.394),
    "regnet_y_400mf": (4_344_144, 0.402),
    "convnext_tiny": (28_589_128, 4.456),
    # Caffe's: the size of its caffemodel, and the 3.8 thousand million of the paper
    "bvlc_googlenet": (6_998_552, 1.583),
    "caffe_resnet50": (25_557_032, 3.858),
    "efficientnet_lite0": (4_652_008, None),
    "efficientnet_lite1": (5_416_680, None),
    "efficientnet_lite2": (6_092_072, None),
    "efficientnet_lite3": (8_197_096, None),
    "efficientnet_lite4": (13_006_568, None),
}
# Caffe's networks have tables of their own
CAFFE = {"caffenet", "bvlc_alexnet", "decaf"}


def trainable(architecture):
    """How many numbers a framework trains, where a normalised convolution has no bias."""
    normalised = {
        architecture.inputs(layer.name)[0]
        for layer in architecture.layers
        if isinstance(layer, BatchNorm)
    }
    family = architecture.name.partition("_")[0]
    folded = architecture.name.startswith("efficientnet_lite")
    if family.startswith("vgg"):  # has both
        normalised = set()
    elif family.startswith("densenet"):  # normalises before
        normalised = {layer.name for layer in architecture.layers}
    total = 0
    for layer in architecture.layers:
        for key, shape in architecture.layer_parameter_shapes(layer.name).items():
            part, size = key.rpartition(".")[2], math.prod(shape)
            if part in ("mean", "variance"):
                continue
            if isinstance(layer, Conv) and part == "bias":
                # folded in, a bias stands for two numbers of the normalisation
                size *= 2 if folded else layer.name not in normalised
            total += size
    return total


def test_every_network_is_in_the_table():
    assert set(PUBLISHED) | CAFFE == set(ARCHITECTURES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    architecture = get_architecture(name)
    parameters, multiply_adds = PUBLISHED[name]
    assert trainable(architecture) == parameters
    if multiply_adds is not None:
        total = sum(layer_multiply_adds(architecture).values()) / 1e9
        assert total == pytest.approx(multiply_adds, abs=6e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers_by_number_and_by_block(name):
    """8 is the scores, 7 what they are computed from, pooled or not, and 6 and 5 lie before."""
    architecture = get_architecture(name)
    shapes, order = architecture.shapes(), architecture.layer_names
    five, six, seven, eight = (architecture.resolve(number) for number in (5, 6, 7, 8))
    assert shapes[eight] == (1000,)
    positions = [order.index(layer) for layer in (five, six, seven, eight)]
    assert positions == sorted(positions)
    for alias, layer in architecture.aliases.items():
        assert architecture.resolve(alias) == layer


@pytest.mark.parametrize(
    ("name", "block", "shape"),
    [
        ("resnet50", "layer3", (14, 14, 1024)),
        ("vgg16", "pool5", (7, 7, 512)),
        ("googlenet", "inception4e", (14, 14, 832)),
        ("bvlc_googlenet", "inception_4e", (14, 14, 832)),
        ("caffe_resnet50", "stage3", (14, 14, 1024)),
        ("inception_v3", "Mixed_6e", (17, 17, 768)),
        ("densenet121", "features.denseblock3", (14, 14, 1024)),
        ("mobilenet_v2", "features.14", (7, 7, 160)),
        ("efficientnet_b0", "features.6", (7, 7, 192)),
        ("shufflenet_v2_x1_0", "stage4", (7, 7, 464)),
        ("regnet_y_400mf", "trunk_output.block3", (14, 14, 208)),
        ("convnext_tiny", "features.5", (14, 14, 384)),
    ],
)
def test_blocks_by_name(name, block, shape):
    architecture = get_architecture(name)
    assert architecture.shapes()[architecture.resolve(block)] == shape


# -- the engine --

# a member of each family; the large ones take seconds in float64
MEMBERS = [
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
    "efficientnet_b0",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "resnet50",
            "resnext50_32x4d",
            "vgg11_bn",
            "googlenet",
            "bvlc_googlenet",
            "caffe_resnet50",
            "inception_v3",
            "densenet121",
            "convnext_tiny",
            "squeezenet1_0",
            "efficientnet_lite1",
        )
    ),
]


@pytest.fixture(scope="module", params=MEMBERS)
def calibrated(request):
    architecture = get_architecture(request.param)
    wanted = architecture.preprocessing
    photographs = load_sample_photos().images[:2]
    ((_, images, _),) = iter_batches(photographs, size=wanted.resize, crop=wanted.crop)
    parameters, exact = calibrate(architecture, images)
    outputs = list(dict.fromkeys(architecture.decaf_layers.values()))
    single = reference.forward(architecture, parameters, images, outputs)
    rounding = errors(architecture, single, exact)
    return architecture, parameters, images, exact, rounding


# What rounding single precision does in plain NumPy, which differs from network to network, is the
# measure: random weights amplify it. Winograd's transforms round several times as much.
@pytest.mark.slow
@pytest.mark.parametrize(("exact", "factor"), [(False, 10), (True, 3)])
def test_layers_by_number_in_the_engine(calibrated, exact, factor):
    architecture, parameters, images, expected, rounding = calibrated
    plan = Plan(architecture, parameters, rounding, exact=exact)
    actual = plan.run(images)
    found = errors(architecture, dict(zip(rounding, actual)), expected)
    for name, share in found.items():
        assert share <= factor * max(rounding[name], 5e-7), (name, share, rounding[name])
    for values, alone in zip(actual, plan.run(images[1:], n_threads=2)):
        np.testing.assert_array_equal(alone, values[1:])
