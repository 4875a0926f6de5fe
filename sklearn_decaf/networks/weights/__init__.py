"""Weights of networks: which are known, where their files are, and what is in a file."""

from .fetching import fetch_weights
from .loading import Weights, list_weights, load, load_weights, save_weights

__all__ = ["Weights", "fetch_weights", "list_weights", "load", "load_weights", "save_weights"]
