"""Activation cache: features of images that were seen before, on disk."""
