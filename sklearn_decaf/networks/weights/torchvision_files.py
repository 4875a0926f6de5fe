"""The published weights of torchvision's networks, trained on ImageNet.

Names of files, accuracies and sides of pictures are what torchvision states of them. A network for
which there are two sets has the first one under its own name, and the second, the outcome of a
longer training with more distorted pictures, as ``<name>_imagenet1k_v2``.
"""

from __future__ import annotations

from dataclasses import dataclass

URL = "https://download.pytorch.org/models"

_FAMILIES = {
    "alexnet": "A. Krizhevsky. One weird trick for parallelizing convolutional neural networks. "
    "arXiv:1404.5997, 2014.",
    "vgg": "K. Simonyan, A. Zisserman. Very deep convolutional networks for large-scale image "
    "recognition. ICLR 2015.",
    "resnet": "K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. "
    "CVPR 2016.",
    "resnext": "S. Xie et al. Aggregated residual transformations for deep neural networks. "
    "CVPR 2017.",
    "wide_resnet": "S. Zagoruyko, N. Komodakis. Wide residual networks. BMVC 2016.",
    "googlenet": "C. Szegedy et al. Going deeper with convolutions. CVPR 2015.",
    "inception": "C. Szegedy et al. Rethinking the Inception architecture for computer vision. "
    "CVPR 2016.",
    "squeezenet": "F. Iandola et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters "
    "and <0.5MB model size. arXiv:1602.07360, 2016.",
    "densenet": "G. Huang, Z. Liu, L. van der Maaten, K. Weinberger. Densely connected "
    "convolutional networks. CVPR 2017.",
    "mobilenet_v2": "M. Sandler et al. MobileNetV2: inverted residuals and linear bottlenecks. "
    "CVPR 2018.",
    "mobilenet_v3": "A. Howard et al. Searching for MobileNetV3. ICCV 2019.",
    "mnasnet": "M. Tan et al. MnasNet: platform-aware neural architecture search for mobile. "
    "CVPR 2019.",
    "shufflenet": "N. Ma, X. Zhang, H. Zheng, J. Sun. ShuffleNet V2: practical guidelines for "
    "efficient CNN architecture design. ECCV 2018.",
    "efficientnet": "M. Tan, Q. Le. EfficientNet: rethinking model scaling for convolutional "
    "neural networks. ICML 2019.",
    "regnet": "I. Radosavovic et al. Designing network design spaces. CVPR 2020.",
    "convnext": "Z. Liu et al. A ConvNet for the 2020s. CVPR 2022.",
}


@dataclass(frozen=True)
class TorchvisionFile:
    """One set of weights.

    Attributes
    ----------
    architecture : str
    name : str
        Of the file. What follows the last hyphen are the first digits of its sha256.
    top1, top5 : float
        Accuracy on ILSVRC-2012 validation, in per cent.
    version : int
    resize : int or None
        Side to which pictures are resized, where it is not the architecture's.
    """

    architecture: str
    name: str
    top1: float
    top5: float
    version: int = 1
    resize: int | None = None

    @property
    def weights(self) -> str:
        """The name by which the weights are registered."""
        return self.architecture + ("_imagenet1k_v2" if self.version == 2 else "")

    @property
    def checksum(self) -> str:
        """As much as is published."""
        return "sha256:" + self.name.rpartition("-")[2].removesuffix(".pth")

    @property
    def citation(self) -> str:
        """The paper of the network."""
        family = max((key for key in _FAMILIES if self.architecture.startswith(key)), key=len)
        return f"{_FAMILIES[family]} Weights: torchvision."


_File = TorchvisionFile
FILES = (
    _File("alexnet", "alexnet-owt-7be5be79.pth", 56.522, 79.066),
    _File("vgg11", "vgg11-8a719046.pth", 69.02, 88.628),
    _File("vgg13", "vgg13-19584684.pth", 69.928, 89.246),
    _File("vgg16", "vgg16-397923af.pth", 71.592, 90.382),
    _File("vgg19", "vgg19-dcbb9e9d.pth", 72.376, 90.876),
    _File("vgg11_bn", "vgg11_bn-6002323d.pth", 70.37, 89.81),
    _File("vgg13_bn", "vgg13_bn-abd245e5.pth", 71.586, 90.374),
    _File("vgg16_bn", "vgg16_bn-6c64b313.pth", 73.36, 91.516),
    _File("vgg19_bn", "vgg19_bn-c79401a0.pth", 74.218, 91.842),
    _File("resnet18", "resnet18-f37072fd.pth", 69.758, 89.078),
    _File("resnet34", "resnet34-b627a593.pth", 73.314, 91.42),
    _File("resnet50", "resnet50-0676ba61.pth", 76.13, 92.862),
    _File("resnet50", "resnet50-11ad3fa6.pth", 80.858, 95.434, 2, 232),
    _File("resnet101", "resnet101-63fe2227.pth", 77.374, 93.546),
    _File("resnet101", "resnet101-cd907fc2.pth", 81.886, 95.78, 2, 232),
    _File("resnet152", "resnet152-394f9c45.pth", 78.312, 94.046),
    _File("resnet152", "resnet152-f82ba261.pth", 82.284, 96.002, 2, 232),
    _File("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", 77.618, 93.698),
    _File("resnext50_32x4d", "resnext50_32x4d-1a0047aa.pth", 81.198, 95.34, 2, 232),
    _File("wide_resnet50_2", "wide_resnet50_2-95faca4d.pth", 78.468, 94.086),
    _File("wide_resnet50_2", "wide_resnet50_2-9ba9bcbe.pth", 81.602, 95.758, 2, 232),
    _File("googlenet", "googlenet-1378be20.pth", 69.778, 89.53),
    _File("inception_v3", "inception_v3_google-0cc3c7bd.pth", 77.294, 93.45),
    _File("squeezenet1_0", "squeezenet1_0-b66bff10.pth", 58.092, 80.42),
    _File("densenet121", "densenet121-a639ec97.pth", 74.434, 91.972),
    _File("densenet169", "densenet169-b2777c0a.pth", 75.6, 92.806),
    _File("densenet201", "densenet201-c1103571.pth", 76.896, 93.37),
    _File("mobilenet_v2", "mobilenet_v2-b0353104.pth", 71.878, 90.286),
    _File("mobilenet_v2", "mobilenet_v2-7ebf99e0.pth", 72.154, 90.822, 2, 232),
    _File("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth", 74.042, 91.34),
    _File("mobilenet_v3_large", "mobilenet_v3_large-5c1a4163.pth", 75.274, 92.566, 2, 232),
    _File("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth", 67.668, 87.402),
    _File("mnasnet1_0", "mnasnet1.0_top1_73.512-f206786ef8.pth", 73.456, 91.51),
    _File("shufflenet_v2_x1_0", "shufflenetv2_x1-5666bf0f80.pth", 69.362, 88.316),
    _File("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", 77.692, 93.532),
    _File("efficientnet_b1", "efficientnet_b1_rwightman-bac287d4.pth", 78.642, 94.186),
    _File("efficientnet_b1", "efficientnet_b1-c27df63c.pth", 79.838, 94.934, 2, 255),
    _File("efficientnet_b2", "efficientnet_b2_rwightman-c35c1473.pth", 80.608, 95.31),
    _File("efficientnet_b3", "efficientnet_b3_rwightman-b3899882.pth", 82.008, 96.054),
    _File("efficientnet_b4", "efficientnet_b4_rwightman-23ab8bcd.pth", 83.384, 96.594),
    _File("regnet_y_400mf", "regnet_y_400mf-c65dace8.pth", 74.046, 91.716),
    _File("regnet_y_400mf", "regnet_y_400mf-e6988f5f.pth", 75.804, 92.742, 2, 232),
    _File("convnext_tiny", "convnext_tiny-983f1562.pth", 82.52, 96.146),
)
