"""Image data sets: your own folders, sample photographs and published collections."""

from .._data_home import get_data_home
from ._image_folder import IMAGE_EXTENSIONS, load_image_folder
from ._office_caltech10 import fetch_office_caltech10
from ._sample_photos import load_sample_photos

__all__ = [
    "IMAGE_EXTENSIONS",
    "fetch_office_caltech10",
    "get_data_home",
    "load_image_folder",
    "load_sample_photos",
]
