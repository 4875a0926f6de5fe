"""Names of the arrays in state dicts of torchvision and timm, taken from these libraries.

Each network has the number of its arrays, that of their numbers, and a digest of the sorted lines
``name size``. Counters of batches and auxiliary classifiers are left out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

# torchvision 0.29.1
TORCHVISION = {
    "alexnet": (16, 61100840, "b6e30c485ef9dc77"),
    "squeezenet1_1": (52, 1235496, "55788b2a3913dfd1"),
    "squeezenet1_0": (52, 1248424, "90608a632eacff69"),
    "resnet18": (102, 11699112, "3b8a62f9f7f8b22b"),
    "resnet34": (182, 21814696, "68f75c2ed0a520f1"),
    "resnet50": (267, 25610152, "418a1a88f9479c81"),
    "resnet101": (522, 44654504, "7dbac7d2e8f31c0e"),
    "resnet152": (777, 60344232, "265cff08da7611ef"),
    "resnext50_32x4d": (267, 25097128, "58ccaa6747491a42"),
    "wide_resnet50_2": (267, 68951464, "27b0bf34c8a4ddb8"),
    "vgg11": (22, 132863336, "bfa9cca6d8a0fe33"),
    "vgg11_bn": (54, 132874344, "9e1059c676be479d"),
    "vgg13": (26, 133047848, "67b54b7dd8a43988"),
    "vgg13_bn": (66, 133059624, "685c0a62689056c9"),
    "vgg16": (32, 138357544, "1c0287ed0e864fb3"),
    "vgg16_bn": (84, 138374440, "3cbb2ae4624aad77"),
    "vgg19": (38, 143667240, "9f20996ac9868b20"),
    "vgg19_bn": (102, 143689256, "f62f60d307192b53"),
    "googlenet": (287, 6639464, "187413d01c51cae9"),
    "inception_v3": (472, 23869000, "8f646cd7d11bef8c"),
    "densenet121": (606, 8062504, "6ae7c11f144bc6f0"),
    "densenet169": (846, 14307880, "1c014590f7f5d297"),
    "densenet201": (1006, 20242984, "e5ad52b17c94adf8"),
    "mobilenet_v2": (262, 3538984, "1341a11fcb9cfc25"),
    "mobilenet_v3_large": (266, 5507432, "8d320dad1dcebec6"),
    "mobilenet_v3_small": (210, 2554968, "3cfce8f871fef36d"),
    "mnasnet1_0": (262, 4421232, "a0b95baf934eab4c"),
    "efficientnet_b0": (311, 5330564, "1a86b2a2b6787ae9"),
    "efficientnet_b1": (439, 7856232, "d1364ca6a75473a4"),
    "efficientnet_b2": (439, 9177562, "30f6ba2844939915"),
    "efficientnet_b3": (496, 12320528, "404a60dcd32ad4bc"),
    "efficientnet_b4": (610, 19466816, "612156096e4a83dd"),
    "shufflenet_v2_x1_0": (282, 2294784, "3f0c27f5e9301b1a"),
    "regnet_y_400mf": (331, 4371296, "95c901a10e29e4c8"),
    "convnext_tiny": (182, 28589128, "fe93c932ff7cb76f"),
}
# timm 1.0.31, with its names of the networks; ResNet, ResNeXt, DenseNet and Inception v3 have
# torchvision's
TIMM = {
    "efficientnet_lite0": ("tf_efficientnet_lite0", 247, 4694024, "d40260be3b6b229d"),
    "efficientnet_lite1": ("tf_efficientnet_lite1", 322, 5470344, "d6ab5697b9e840f5"),
    "efficientnet_lite2": ("tf_efficientnet_lite2", 322, 6150168, "b3e13140fc9337c2"),
    "efficientnet_lite3": ("tf_efficientnet_lite3", 367, 8273768, "7802fcba24284459"),
    "efficientnet_lite4": ("tf_efficientnet_lite4", 457, 13118936, "7b43410c679d7650"),
    "efficientnet_b0": ("efficientnet_b0", 311, 5330564, "e18ea8c5d99448bf"),
    "efficientnet_b1": ("efficientnet_b1", 439, 7856232, "757cf6193f378cf3"),
    "efficientnet_b2": ("efficientnet_b2", 439, 9177562, "cac5dda6ab368ec8"),
    "efficientnet_b3": ("efficientnet_b3", 496, 12320528, "6efcab3584bc6afc"),
    "efficientnet_b4": ("efficientnet_b4", 610, 19466816, "af69e2c57d87d48e"),
    "mobilenet_v3_large": ("mobilenetv3_large_100", 266, 5507432, "cd69971b6dd5a718"),
    "mobilenet_v3_small": ("mobilenetv3_small_100", 210, 2554968, "aae05c003bef5ab1"),
    "mobilenet_v2": ("mobilenetv2_100", 262, 3538984, "90bcdaf4465228ed"),
    "mnasnet1_0": ("mnasnet_100", 262, 4421232, "c64b78d4c90f24e0"),
    "vgg11": ("vgg11", 22, 132863336, "0975c19c04e11621"),
    "vgg13": ("vgg13", 26, 133047848, "f5c55f745c2d4e13"),
    "vgg16": ("vgg16", 32, 138357544, "3629309fd25f8a5c"),
    "vgg19": ("vgg19", 38, 143667240, "b13bc68e276c1c10"),
    "vgg11_bn": ("vgg11_bn", 54, 132874344, "27a2483fad6608f5"),
    "vgg13_bn": ("vgg13_bn", 66, 133059624, "f122c6049d71d6bc"),
    "vgg16_bn": ("vgg16_bn", 84, 138374440, "5f5bc8698c21f7dd"),
    "vgg19_bn": ("vgg19_bn", 102, 143689256, "fce78ce852b6393b"),
    "convnext_tiny": ("convnext_tiny", 182, 28589128, "4e07cbdddce24652"),
    "regnet_y_400mf": ("regnety_004", 331, 4371296, "f21072f6a35989eb"),
}


def summarise(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int, str]:
    """Number of arrays and of their numbers, and the digest."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    lines = sorted(f"{name} {size}" for name, size in sizes.items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return len(sizes), sum(sizes.values()), digest
