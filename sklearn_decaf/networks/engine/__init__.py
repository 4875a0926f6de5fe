"""The engine: compiles a network for the wanted layers, and runs it fast on batches of images."""

from .plan import Plan

__all__ = ["Plan"]
