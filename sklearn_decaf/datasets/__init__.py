"""Image data sets: your own folders, sample photographs and published collections."""

from ._image_folder import IMAGE_EXTENSIONS, load_image_folder
from ._sample_photos import load_sample_photos

__all__ = ["IMAGE_EXTENSIONS", "load_image_folder", "load_sample_photos"]
