"""Image data sets: your own folders, sample photographs and published collections."""

from .._utils.data_home import get_data_home
from ..images._reading import IMAGE_EXTENSIONS
from ._caltech101 import fetch_caltech101
from ._cub200 import fetch_cub200
from ._image_folder import load_image_folder
from ._office31 import fetch_office31
from ._office_caltech10 import fetch_office_caltech10
from ._sample_photos import load_sample_photos
from ._sun397 import fetch_sun397

__all__ = [
    "IMAGE_EXTENSIONS",
    "fetch_caltech101",
    "fetch_cub200",
    "fetch_office31",
    "fetch_office_caltech10",
    "fetch_sun397",
    "get_data_home",
    "load_image_folder",
    "load_sample_photos",
]
