"""HOG through scikit-image, with the same image inputs as all transformers here."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..images import resize_and_crop
from .base import ImageDescriptor

if TYPE_CHECKING:
    from .._utils.types import ImageShape


def import_hog():
    """Import the function of scikit-image when it is first needed."""
    try:
        from skimage.feature import hog
    except ImportError as error:
        raise ImportError(
            "HOGTransformer needs scikit-image, which is not installed: run "
            "pip install 'sklearn-decaf[descriptors]'."
        ) from error
    return hog


class HOGTransformer(ImageDescriptor):
    """Histograms of oriented gradients on a dense grid of cells.

    The image is warped to a square and cut into cells; each cell has a histogram of the directions
    of its gradients, and blocks of neighbouring cells are normalised together [1]_. The
    computation is scikit-image's, which has to be installed (``sklearn-decaf[descriptors]``). The
    transformer is stateless: ``transform`` works without ``fit``.

    Parameters
    ----------
    image_size : int, default=128
        Side in pixels of the square.
    orientations : int, default=9
        Bins of a histogram, over 180 degrees.
    pixels_per_cell : int, default=8
        Side of a cell in pixels.
    cells_per_block : int, default=2
        Side of a block in cells. The defaults give 15 x 15 blocks and 8100 features.
    block_norm : {"L1", "L1-sqrt", "L2", "L2-Hys"}, default="L2-Hys"
        Norm that each block is divided by; "L2-Hys" then limits values to 0.2 and divides again.
    transform_sqrt : bool, default=False
        Take the square root of the intensities first, which evens out differences of light.
    resize : {"warp", "crop"}, default="warp"
        "warp" makes the image square whatever its shape; "crop" keeps the shape and cuts out the
        central square.
    exif_transpose : bool, default=True
        Turn a photograph upright as its EXIF orientation says.
    max_pixels : int, default=None
        Pixels of the largest file that is read; None takes ``PIL.Image.MAX_IMAGE_PIXELS``.
    image_shape : tuple (height, width) or (height, width, channels), default=None
        Shape of the images in rows of pixels. Only with it is a 2-D array taken as images.
    on_error : {"raise", "nan"}, default="raise"
        What to do with an image that cannot be read: raise an error that names its row, or give
        a row of NaN and one warning that lists all of them.
    n_jobs : int, default=None
        Threads. None uses the cores that BLAS would use here; -1 means all. Changes speed, not
        results.
    verbose : bool or int, default=False
        Show a progress bar with rate and time left.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in ``fit``; only for 2-D inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names; only for data frames.

    Raises
    ------
    ImportError
        From ``fit`` and ``transform``, if scikit-image is not installed.

    See Also
    --------
    GISTTransformer : Coarser, and invariant to light and contrast.
    LLCTransformer : Codes of local patches.

    Notes
    -----
    At each pixel the colour channel with the largest gradient counts, as in [1]_.

    References
    ----------
    .. [1] N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR
       2005.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_decaf.descriptors import HOGTransformer
    >>> HOGTransformer(image_size=64).transform(load_sample_images().images).shape
    (2, 1764)
    """

    _prefix = "hog"
    _parameter_constraints = {
        "image_size": [Interval(Integral, 1, None, closed="left")],
        "orientations": [Interval(Integral, 1, None, closed="left")],
        "pixels_per_cell": [Interval(Integral, 1, None, closed="left")],
        "cells_per_block": [Interval(Integral, 1, None, closed="left")],
        "block_norm": [StrOptions({"L1", "L1-sqrt", "L2", "L2-Hys"})],
        "transform_sqrt": ["boolean"],
        "resize": [StrOptions({"warp", "crop"})],
        **ImageDescriptor._parameter_constraints,
    }

    def __init__(
        self,
        *,
        image_size: int = 128,
        orientations: int = 9,
        pixels_per_cell: int = 8,
        cells_per_block: int = 2,
        block_norm: Literal["L1", "L1-sqrt", "L2", "L2-Hys"] = "L2-Hys",
        transform_sqrt: bool = False,
        resize: Literal["warp", "crop"] = "warp",
        exif_transpose: bool = True,
        max_pixels: int | None = None,
        image_shape: ImageShape | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.image_size = image_size
        self.orientations = orientations
        self.pixels_per_cell = pixels_per_cell
        self.cells_per_block = cells_per_block
        self.block_norm = block_norm
        self.transform_sqrt = transform_sqrt
        self.resize = resize
        self.exif_transpose = exif_transpose
        self.max_pixels = max_pixels
        self.image_shape = image_shape
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _n_blocks(self) -> int:
        n_cells = self.image_size // self.pixels_per_cell
        return n_cells - self.cells_per_block + 1

    @property
    def _n_features_out(self) -> int:
        return max(self._n_blocks(), 0) ** 2 * self.cells_per_block**2 * self.orientations

    def _check_X(self, X, *, reset):
        import_hog()
        if self._n_blocks() < 1:
            raise ValueError(
                f"image_size={self.image_size!r}: it has no room for a block of cells_per_block="
                f"{self.cells_per_block} cells of pixels_per_cell={self.pixels_per_cell}: "
                f"make it at least {self.cells_per_block * self.pixels_per_cell}."
            )
        return super()._check_X(X, reset=reset)

    def _describe(self, image) -> np.ndarray:
        side = self.image_size
        return import_hog()(
            resize_and_crop(image, size=side, crop=side, resize=self.resize),
            orientations=self.orientations,
            pixels_per_cell=(self.pixels_per_cell, self.pixels_per_cell),
            cells_per_block=(self.cells_per_block, self.cells_per_block),
            block_norm=self.block_norm,
            transform_sqrt=self.transform_sqrt,
            channel_axis=-1,
        )
