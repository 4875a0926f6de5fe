"""Frozen networks: architectures as data, weights, and the engine that runs them."""

from .architecture import Architecture, Preprocessing
from .architectures import ARCHITECTURES, get_architecture

__all__ = ["ARCHITECTURES", "Architecture", "Preprocessing", "get_architecture"]
