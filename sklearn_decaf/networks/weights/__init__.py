"""Weights of networks: which are known, where their files are, and what is in a file."""

from .fetching import fetch_weights
from .loading import list_weights, load, load_weights
from .saving import save_weights
from .weights import Weights

__all__ = ["Weights", "fetch_weights", "list_weights", "load", "load_weights", "save_weights"]
