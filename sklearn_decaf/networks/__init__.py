"""Frozen networks: architectures as data, weights, and the engine that runs them."""

from .architecture import Architecture, Preprocessing
from .architectures import ARCHITECTURES, get_architecture
from .imagenet import imagenet_classes, imagenet_wnids
from .weights import Weights, list_weights, load_weights, save_weights

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Preprocessing",
    "Weights",
    "get_architecture",
    "imagenet_classes",
    "imagenet_wnids",
    "list_weights",
    "load_weights",
    "save_weights",
]
