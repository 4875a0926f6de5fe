"""Photographs in, batches of 8-bit RGB pixels out: read, resized, cropped, in bounded memory.

:func:`check_images` says what counts as images, :func:`read_image` turns one of them into RGB, and
:func:`iter_batches` does both for many, in threads.
"""

from ._batches import find_unreadable, iter_batches
from ._containers import check_images
from ._inputs import ImageInputs
from ._reading import read_image
from ._resizing import resize_and_crop

__all__ = [
    "ImageInputs",
    "check_images",
    "find_unreadable",
    "iter_batches",
    "read_image",
    "resize_and_crop",
]
