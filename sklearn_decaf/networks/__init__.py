"""Frozen networks: architectures as data, weights, and the engine that runs them."""

from .architecture import Architecture, Preprocessing
from .architectures import ARCHITECTURES, get_architecture
from .imagenet import imagenet_classes, imagenet_wnids
from .weights.fetching import fetch_weights
from .weights.loading import list_weights, load, load_weights
from .weights.registration import register
from .weights.saving import save_weights
from .weights.weights import Weights

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Preprocessing",
    "Weights",
    "fetch_weights",
    "get_architecture",
    "imagenet_classes",
    "imagenet_wnids",
    "list_weights",
    "load",
    "load_weights",
    "register",
    "save_weights",
]
