"""GIST: the energy of a bank of Gabor filters on a coarse grid (Oliva and Torralba, 2001)."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import fft
from sklearn.utils._param_validation import Interval, StrOptions

from ..images import resize_and_crop
from .base import ImageDescriptor, to_grey

if TYPE_CHECKING:
    from .._utils.types import ImageShape

# The constants of the authors' published implementation.
PREFILTER_CYCLES = 4.0  # cycles an image: slower changes of light are removed
CONTRAST_FLOOR = 0.2  # of the standard deviation of log intensity, added before dividing by it
PREFILTER_MARGIN = 5 / 256  # mirrored border of the prefilter, as a share of the image's side
GABOR_MARGIN = 32 / 256
TOP_FREQUENCY = 0.3  # cycles a pixel, of the finest scale
SCALE_STEP = 1.85  # ratio of the frequencies of neighbouring scales
RADIAL_SHARPNESS = 3.5  # exp(-3.5 (f / f0 - 1)^2)
ANGULAR_SHARPNESS = np.pi / 32  # exp(-(pi / 32) n_orientations^2 angle^2)


@lru_cache(maxsize=8)
def gabor_bank(size: int, n_scales: int, n_orientations: int) -> np.ndarray:
    """Make the transfer functions of the filters: (n_scales, n_orientations, size, size), float32.

    Each is a Gaussian in polar coordinates of the frequency plane, around the frequency
    ``0.3 / 1.85 ** scale`` cycles a pixel and the direction ``pi * orientation / n_orientations``
    (0: intensity changes along x). There is one bump and no mirror image, so the absolute value
    of the response is the local amplitude, whatever the phase. Frequencies are in the order of
    ``fft2``.
    """
    frequencies = np.fft.fftfreq(size)
    fx, fy = np.meshgrid(frequencies, frequencies)  # (size, size), cycles a pixel
    radius = np.hypot(fx, fy)
    centres = TOP_FREQUENCY / SCALE_STEP ** np.arange(n_scales)
    radial = np.exp(-RADIAL_SHARPNESS * (radius / centres[:, None, None] - 1) ** 2)
    directions = np.pi * np.arange(n_orientations) / n_orientations
    angle = np.arctan2(fy, fx) - directions[:, None, None]
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    angular = np.exp(-ANGULAR_SHARPNESS * (n_orientations * angle) ** 2)
    bank = (radial[:, None] * angular[None]).astype(np.float32)
    bank[..., 0, 0] = 0  # a constant has no direction
    bank.setflags(write=False)
    return bank


def prefilter(intensity: np.ndarray) -> np.ndarray:
    """Take off slow changes of light and divide by the local contrast: (c, n, n) -> (c, n, n).

    Works on log intensity (of values from 0 to 255), so that a factor on the light is a constant,
    which is taken off. The contrast is the mean over the channels.
    """
    side = intensity.shape[-1]
    margin = max(1, round(PREFILTER_MARGIN * side))
    logs = _mirrored(np.log1p(intensity), margin)
    size = logs.shape[-1]
    # a Gaussian low-pass that halves at PREFILTER_CYCLES an image
    cycles = np.fft.fftfreq(size, 1 / size)
    width = PREFILTER_CYCLES / np.sqrt(np.log(2))
    low = np.exp(-((cycles / width) ** 2))
    low_pass = np.outer(low, low)[:, : size // 2 + 1].astype(np.float32)

    detail = logs - _filter(logs, low_pass)
    energy = _filter(detail.mean(axis=0) ** 2, low_pass)
    contrast = np.sqrt(np.abs(energy))
    inside = slice(margin, margin + side)
    return (detail / (CONTRAST_FLOOR + contrast))[:, inside, inside]


def _filter(x: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """Multiply the spectrum of real images (..., n, n) by a transfer function (n, n // 2 + 1)."""
    return fft.irfft2(fft.rfft2(x) * transfer, s=x.shape[-2:])


def _mirrored(x: np.ndarray, margin: int) -> np.ndarray:
    """Put a mirrored border around images (..., n, n)."""
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(margin, margin)] * 2, mode="symmetric")


@lru_cache(maxsize=8)
def block_average(side: int, n_blocks: int) -> np.ndarray:
    """Make the matrix that averages `side` values in `n_blocks` blocks: (n_blocks, side), float32.

    Where the blocks cannot be equal they differ by one value.
    """
    block = np.arange(side) * n_blocks // side
    member = block == np.arange(n_blocks)[:, None]
    return (member / member.sum(axis=1, keepdims=True)).astype(np.float32)


class GISTTransformer(ImageDescriptor):
    """GIST: strength of edges and textures by size and direction, on a coarse grid.

    The image is warped to a square. Slow changes of light and differences of local contrast are
    evened out, a bank of Gabor filters is applied, and the amplitudes of the responses are
    averaged in the blocks of a grid [1]_. The features describe the layout of a scene; they were
    one of the baselines of the DeCAF paper [2]_. The transformer is stateless: ``transform`` works
    without ``fit``.

    Parameters
    ----------
    image_size : int, default=256
        Side in pixels of the square. Computing time grows with the square of it.
    n_scales : int, default=4
        Number of frequencies, from 0.3 cycles a pixel down; each is the last one divided by 1.85.
    n_orientations : int, default=8
        Number of directions at each frequency, evenly spaced over 180 degrees.
    n_blocks : int, default=4
        Blocks of the grid in each direction.
    channels : {"grey", "rgb"}, default="grey"
        "grey" describes the luminance, with n_scales * n_orientations * n_blocks**2 features, 512
        by default; "rgb" describes each of the three channels, with 3 times as many, 1536.
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

    See Also
    --------
    LLCTransformer : Local patches instead of the whole scene.
    HOGTransformer : Histograms of gradients on a dense grid.

    Notes
    -----
    Columns are ordered by channel, scale (fine to coarse), orientation and block (row by row).
    Orientation 0 means intensity that changes along x, as across an upright edge.

    References
    ----------
    .. [1] A. Oliva and A. Torralba, "Modeling the shape of the scene: A holistic representation of
       the spatial envelope", International Journal of Computer Vision 42(3), 2001.
    .. [2] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, section 3.2.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_decaf.descriptors import GISTTransformer
    >>> GISTTransformer().transform(load_sample_images().images).shape
    (2, 512)
    """

    _prefix = "gist"
    _parameter_constraints = {
        "image_size": [Interval(Integral, 8, None, closed="left")],
        "n_scales": [Interval(Integral, 1, None, closed="left")],
        "n_orientations": [Interval(Integral, 1, None, closed="left")],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "channels": [StrOptions({"grey", "rgb"})],
        "resize": [StrOptions({"warp", "crop"})],
        **ImageDescriptor._parameter_constraints,
    }

    def __init__(
        self,
        *,
        image_size: int = 256,
        n_scales: int = 4,
        n_orientations: int = 8,
        n_blocks: int = 4,
        channels: Literal["grey", "rgb"] = "grey",
        resize: Literal["warp", "crop"] = "warp",
        exif_transpose: bool = True,
        max_pixels: int | None = None,
        image_shape: ImageShape | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.image_size = image_size
        self.n_scales = n_scales
        self.n_orientations = n_orientations
        self.n_blocks = n_blocks
        self.channels = channels
        self.resize = resize
        self.exif_transpose = exif_transpose
        self.max_pixels = max_pixels
        self.image_shape = image_shape
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def _n_features_out(self) -> int:
        n_channels = 3 if self.channels == "rgb" else 1
        return n_channels * self.n_scales * self.n_orientations * self.n_blocks**2

    def _describe(self, image) -> np.ndarray:
        side = self.image_size
        pixels = resize_and_crop(image, size=side, crop=side, resize=self.resize)
        if self.channels == "rgb":
            intensity = pixels.transpose(2, 0, 1).astype(np.float32)  # (3, n, n)
        else:
            intensity = to_grey(pixels)[None]  # (1, n, n)
        margin = round(GABOR_MARGIN * side)
        padded = _mirrored(prefilter(intensity), margin)
        spectrum = fft.fft2(padded)  # (c, m, m), complex64
        bank = gabor_bank(padded.shape[-1], self.n_scales, self.n_orientations)
        inside = slice(margin, margin + side)
        average = block_average(side, self.n_blocks)
        energy = np.empty((len(intensity), *bank.shape[:2], self.n_blocks, self.n_blocks))
        for channel, scale in np.ndindex(energy.shape[:2]):  # one scale at a time: memory
            responses = np.abs(fft.ifft2(spectrum[channel] * bank[scale]))[:, inside, inside]
            energy[channel, scale] = average @ responses @ average.T
        return energy.ravel()
