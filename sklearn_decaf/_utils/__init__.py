"""Helpers that know nothing of images or networks: threads, files, downloads, progress."""
