"""Locality-constrained linear coding of dense SIFT descriptors (Wang et al., 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from sklearn.base import _fit_context
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._utils.parallel import effective_n_threads, single_threaded_blas
from .._utils.validation import check_integers
from ..exceptions import ImageError
from .base import ImageDescriptor, to_grey
from .sift import N_CELLS, dense_sift

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._utils.types import Images, ImageShape, RandomState

# Descriptors coded at a time: bounds the matrix of their distances to all codewords.
_CHUNK = 1024


def llc_codes(descriptors, codebook, n_neighbors=5, regularization=1e-4):
    """Write descriptors as combinations of their nearest codewords.

    The approximated solution of section 3 of [1]_: for a descriptor x and its nearest codewords,
    the rows of B, the code c minimises ``|x - c B|^2 + e |c|^2`` under ``sum(c) = 1``, with e the
    `regularization` times the trace of the covariance ``(B - x) (B - x)^T``.

    Parameters
    ----------
    descriptors : ndarray of shape (n, d)
    codebook : ndarray of shape (m, d)
    n_neighbors : int, default=5
        At most m.
    regularization : float, default=1e-4

    Returns
    -------
    neighbors : ndarray of shape (n, n_neighbors), intp
        Indices of the codewords, the nearest first.
    codes : ndarray of shape (n, n_neighbors), float64
        Their weights; each row sums to 1.

    References
    ----------
    .. [1] J. Wang et al., "Locality-constrained linear coding for image classification", CVPR
       2010.
    """
    shape = (len(descriptors), n_neighbors)
    neighbors, codes = np.empty(shape, np.intp), np.empty(shape)
    squares = np.einsum("ij,ij->i", codebook, codebook)
    for start in range(0, len(descriptors), _CHUNK):
        rows = slice(start, start + _CHUNK)
        x = descriptors[rows]
        distances = squares - 2 * (x @ codebook.T)  # (n, m), less |x|^2
        nearest = neighbors[rows]
        for j in range(n_neighbors):  # a vectorised minimum each: faster than a partition
            nearest[:, j] = distances.argmin(axis=1)
            np.put_along_axis(distances, nearest[:, j : j + 1], np.inf, axis=1)
        codes[rows] = _combine(x, codebook[nearest], regularization)
    return neighbors, codes


def _combine(x: np.ndarray, bases: np.ndarray, regularization: float) -> np.ndarray:
    """Solve for the weights of each descriptor's bases: (n, d), (n, k, d) -> (n, k)."""
    shifted = (bases - x[:, None]).astype(np.float64)
    covariance = shifted @ shifted.transpose(0, 2, 1)  # (n, k, k)
    trace = np.trace(covariance, axis1=1, axis2=2)
    # 1 instead of a trace of 0: all bases are the descriptor itself, and each will do
    ridge = np.where(trace > 0, regularization * trace, 1.0)
    covariance += ridge[:, None, None] * np.eye(bases.shape[1])
    weights = np.linalg.solve(covariance, np.ones((*bases.shape[:2], 1)))[..., 0]
    return weights / weights.sum(axis=1, keepdims=True)


def pool_pyramid(neighbors, codes, positions, n_codewords, pyramid) -> np.ndarray:
    """Take the largest weight of each codeword in each cell of a spatial pyramid.

    Parameters
    ----------
    neighbors, codes : ndarrays of shape (n, k)
        Codes of the descriptors, as `llc_codes` returns them. A codeword that is not among the
        neighbours has weight 0.
    positions : ndarray of shape (n, 2)
        (y, x) of the descriptors as shares of the image's sides, in [0, 1).
    n_codewords : int
    pyramid : sequence of int
        Cells in each direction, a level each.

    Returns
    -------
    ndarray of shape (cells, n_codewords), float32
        Level by level, cells row by row.
    """
    levels = []
    for n_cells in pyramid:
        row, column = np.floor(positions * n_cells).astype(np.intp).T
        pooled = np.zeros((n_cells * n_cells, n_codewords), np.float32)
        np.maximum.at(pooled, ((row * n_cells + column)[:, None], neighbors), codes)
        levels.append(pooled)
    return np.concatenate(levels)


class LLCTransformer(ImageDescriptor):
    """Locality-constrained linear coding: local patches as combinations of learnt codewords.

    SIFT descriptors of patches on a dense grid are written as combinations of their nearest
    codewords. For each codeword, the largest weight in each cell of a spatial pyramid is kept, and
    the row is scaled to length 1 [1]_. With a linear classifier these were among the best features
    before convolutional networks, and one of the baselines of the DeCAF paper [2]_. ``fit`` learns
    the codebook by k-means; run it on training images only.

    Parameters
    ----------
    n_codewords : int, default=1024
        Size of the codebook. There are n_codewords features a cell, 21504 by default.
    n_neighbors : int, default=5
        Number of codewords in each combination.
    regularization : float, default=1e-4
        Weight of the squared code, as a share of the trace of the local covariance.
    patch_sizes : tuple of int, default=(16, 25, 31)
        Sides of the patches in pixels.
    step : int, default=8
        Distance of neighbouring patches in pixels.
    pyramid : tuple of int, default=(1, 2, 4)
        Cells of each level of the spatial pyramid, in each direction.
    max_size : int, default=300
        Images whose longer side has more pixels are reduced to it, in their shape. A side that is
        shorter than the largest patch is stretched to that.
    max_descriptors : int, default=100_000
        Number of descriptors that the codebook is learnt from, drawn at random, the same number
        from each image. Each takes 512 bytes.
    exif_transpose : bool, default=True
        Turn a photograph upright as its EXIF orientation says.
    max_pixels : int, default=None
        Pixels of the largest file that is read; None takes ``PIL.Image.MAX_IMAGE_PIXELS``.
    image_shape : tuple (height, width) or (height, width, channels), default=None
        Shape of the images in rows of pixels. Only with it is a 2-D array taken as images.
    on_error : {"raise", "nan"}, default="raise"
        What to do with an image that cannot be read: raise an error that names its row, or give
        a row of NaN (and in ``fit``, learn from the others) and one warning that lists all of
        them.
    n_jobs : int, default=None
        Threads. None uses the cores that BLAS would use here; -1 means all. Changes speed, not
        results.
    random_state : int, RandomState instance or None, default=None
        Determines the drawn descriptors and the first codewords. Pass an int for the same codebook
        at every ``fit``.
    verbose : bool or int, default=False
        Show a progress bar with rate and time left.

    Attributes
    ----------
    codebook_ : ndarray of shape (n_codewords, 128), float32
        The codewords.
    n_features_in_ : int
        Number of columns seen in ``fit``; only for 2-D inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names; only for data frames.

    See Also
    --------
    GISTTransformer : The layout of the whole scene, without training.

    Notes
    -----
    As in [1]_: three patch sizes, a k-means codebook, five neighbours, the pyramid and max
    pooling. The optional refinement of the codebook (its algorithm 4.1) is left out. Only
    luminance counts.

    Memory: besides its decoded image, a thread holds the descriptors of that image and the
    distances of 1024 of them to all codewords.

    References
    ----------
    .. [1] J. Wang, J. Yang, K. Yu, F. Lv, T. Huang and Y. Gong, "Locality-constrained linear
       coding for image classification", CVPR 2010.
    .. [2] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, section 3.2.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_decaf.descriptors import LLCTransformer
    >>> llc = LLCTransformer(n_codewords=64, random_state=0)
    >>> llc.fit_transform(load_sample_images().images).shape
    (2, 1344)
    """

    _prefix = "llc"
    _parameter_constraints = {
        "n_codewords": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "regularization": [Interval(Real, 0, None, closed="neither")],
        "patch_sizes": [tuple, list],
        "step": [Interval(Integral, 1, None, closed="left")],
        "pyramid": [tuple, list],
        "max_size": [Interval(Integral, 1, None, closed="left")],
        "max_descriptors": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        **ImageDescriptor._parameter_constraints,
    }

    def __init__(
        self,
        n_codewords: int = 1024,
        *,
        n_neighbors: int = 5,
        regularization: float = 1e-4,
        patch_sizes: Sequence[int] = (16, 25, 31),
        step: int = 8,
        pyramid: Sequence[int] = (1, 2, 4),
        max_size: int = 300,
        max_descriptors: int = 100_000,
        exif_transpose: bool = True,
        max_pixels: int | None = None,
        image_shape: ImageShape | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_codewords = n_codewords
        self.n_neighbors = n_neighbors
        self.regularization = regularization
        self.patch_sizes = patch_sizes
        self.step = step
        self.pyramid = pyramid
        self.max_size = max_size
        self.max_descriptors = max_descriptors
        self.exif_transpose = exif_transpose
        self.max_pixels = max_pixels
        self.image_shape = image_shape
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: object = None) -> Self:
        """Learn the codebook.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.

        Raises
        ------
        ImageError
            If an image cannot be read (and ``on_error="raise"``) or the input is no sequence of
            images.
        ValueError
            If the images have fewer patches than there are to be codewords.
        """
        effective_n_threads(self.n_jobs)
        self._check_own_parameters()
        images = self._check_X(X, reset=True)
        if not len(images):
            raise ImageError("X holds no images (n_samples=0) to learn a codebook from.")
        random_state = check_random_state(self.random_state)
        sample = self._sample_descriptors(images, random_state)
        if len(sample) < self.n_codewords:
            raise ValueError(
                f"{len(sample)} patches found in {len(images)} images (n_samples={len(images)}), "
                f"too few for n_codewords={self.n_codewords}: pass more images, or lower "
                "n_codewords or step."
            )
        k_means = MiniBatchKMeans(
            self.n_codewords, batch_size=4096, n_init=1, random_state=random_state
        )
        with single_threaded_blas():  # the same sums whatever n_jobs
            self.codebook_ = k_means.fit(sample).cluster_centers_
        return self

    def transform(self, X: Images) -> np.ndarray:
        """Code each image.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            One row an image, ordered by cell of the pyramid and codeword; of length 1, or NaN for
            an image that cannot be read (``on_error="nan"``).

        Raises
        ------
        NotFittedError
            If there is no codebook yet.
        ImageError
            If an image cannot be read (and ``on_error="raise"``) or the input is no sequence of
            images. The message names the row.
        """
        check_is_fitted(self)
        self._check_own_parameters()
        return super().transform(X)

    def _check_own_parameters(self) -> None:
        check_integers("pyramid", self.pyramid)
        check_integers("patch_sizes", self.patch_sizes, minimum=N_CELLS)  # a pixel a cell
        if self.max_size < max(self.patch_sizes):
            raise ValueError(
                f"max_size={self.max_size!r}: it must be at least the largest of "
                f"patch_sizes={self.patch_sizes!r}."
            )
        if self.n_neighbors > self.n_codewords:
            raise ValueError(
                f"n_neighbors={self.n_neighbors!r}: it must be at most "
                f"n_codewords={self.n_codewords!r}."
            )

    @property
    def _n_features_out(self) -> int:
        n_codewords = len(getattr(self, "codebook_", range(self.n_codewords)))
        return n_codewords * sum(n * n for n in self.pyramid)

    def _sample_descriptors(self, images, random_state) -> np.ndarray:
        """Draw descriptors at random, the same number from each image: (n, 128)."""
        rows = np.arange(len(images))
        if len(rows) > self.max_descriptors:
            chosen = random_state.choice(rows, self.max_descriptors, replace=False)
            rows = np.sort(chosen)
        n_each = -(-self.max_descriptors // len(rows))
        seeds = random_state.randint(np.iinfo(np.int32).max, size=len(images))
        samples: dict[int, np.ndarray] = {}

        def use(row: int, image: Image.Image) -> None:
            descriptors, _ = self._dense_sift(image)
            order = np.random.RandomState(seeds[row]).permutation(len(descriptors))
            samples[row] = descriptors[order[:n_each]]

        self._for_each_image(images, rows, use)
        if not samples:
            raise ImageError("no image could be read: there is nothing to learn a codebook from.")
        return np.concatenate([samples[row] for row in sorted(samples)])

    def _dense_sift(self, image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
        """Compute the descriptors of an image, and their positions as shares of its sides."""
        shrink = min(1.0, self.max_size / max(image.size))
        least = max(self.patch_sizes)
        width, height = (max(round(n * shrink), least) for n in image.size)
        size = (width, height)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        grey = to_grey(np.asarray(image)) / np.float32(255)
        descriptors, centres = dense_sift(grey, patch_sizes=self.patch_sizes, step=self.step)
        return descriptors, (centres + 0.5) / grey.shape

    def _describe(self, image: Image.Image) -> np.ndarray:
        descriptors, positions = self._dense_sift(image)
        neighbors, codes = llc_codes(
            descriptors, self.codebook_, self.n_neighbors, self.regularization
        )
        row = pool_pyramid(neighbors, codes, positions, len(self.codebook_), self.pyramid).ravel()
        # never 0: the weights of a descriptor sum to 1, so one of them is positive
        return row / np.linalg.norm(row)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "codebook_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags
