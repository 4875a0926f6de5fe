"""Base class of descriptors: reads images of any kind, computes one row for each, in threads."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from .._utils.doc_link import doc_link_template
from .._utils.locks import Lock
from .._utils.parallel import effective_n_threads, run_in_threads, single_threaded_blas
from .._utils.progress import Progress
from ..exceptions import ImageError
from ..images._estimator import ImageInputMixin
from ..images._inputs import FailureReason, ImageInputs, describe
from ..images._pixels import TRANSPARENCY_IGNORED
from ..images._reading import decode
from ..images._warnings import warn_of_failures, warn_of_ignored_transparency

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import Images

Failures = list[tuple[int, FailureReason]]  # (row, message)


class ImageDescriptor(ImageInputMixin, TransformerMixin, BaseEstimator):
    """Base of transformers that compute one row from each image, independently of the others.

    A subclass has the parameters `exif_transpose`, `max_pixels`, `image_shape`, `on_error`,
    `n_jobs` and `verbose`, sets `_prefix`, the start of its column names, and implements
    `_describe` and `_n_features_out`.
    """

    _doc_link_module = "sklearn_decaf"
    _doc_link_template = doc_link_template("sklearn_decaf.descriptors")
    _prefix = ""
    _parameter_constraints = {
        "exif_transpose": ["boolean"],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": [tuple, list, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def _describe(self, image: Image.Image) -> np.ndarray:
        """Compute the row of one RGB image: (n_features,). Called from several threads."""
        raise NotImplementedError

    @property
    def _n_features_out(self) -> int:
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: object = None) -> Self:
        """Check the parameters and the kind of input; compute nothing.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes. No image is read.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        effective_n_threads(self.n_jobs)
        self._check_X(X, reset=True)
        return self

    def transform(self, X: Images) -> np.ndarray:
        """Compute the descriptor of each image.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            One row an image; NaN for an image that cannot be read (``on_error="nan"``).

        Raises
        ------
        ImageError
            If an image cannot be read (and ``on_error="raise"``) or the input is no sequence of
            images. The message names the row.
        """
        self._validate_params()
        images = self._check_X(X, reset=False)
        rows = np.full((len(images), self._n_features_out), np.nan, np.float32)

        def use(row: int, image: Image.Image) -> None:
            rows[row] = self._describe(image)

        self._for_each_image(images, range(len(images)), use)
        return rows

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Get the names of the output columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
            The name of the descriptor and a number: ``gist_0000`` and so on.
        """
        width = self._n_features_out
        digits = max(4, len(str(width - 1)))
        return np.asarray([f"{self._prefix}_{i:0{digits}}" for i in range(width)], dtype=object)

    def _for_each_image(
        self, images: ImageInputs, rows, use: Callable[[int, Image.Image], None]
    ) -> None:
        """Read the images of some rows and call ``use(row, image)``, in threads.

        Each thread holds one image at a time. Images that cannot be read, or that `use` refuses
        with an ImageError, raise or are warned of as `on_error` says.
        """
        failures: Failures = []
        opaque: list[tuple[int, str]] = []  # transparent everywhere, and read as opaque
        progress = Progress(len(rows), type(self).__name__, enabled=bool(self.verbose))
        lock = Lock()

        def work(i: int) -> None:
            row = int(rows[i])
            problem = self._use_image(images, row, use, opaque)
            with lock:
                progress.update(1)
                if problem is not None:
                    failures.append((row, problem))
            if problem is not None and self.on_error == "raise":
                raise ImageError(problem)

        try:
            with single_threaded_blas():
                run_in_threads(work, len(rows), effective_n_threads(self.n_jobs))
        except ImageError:
            # rows are begun in their order: those before the first bad one have all been tried
            reason = min(failures)[1]
            raise reason.error_class(reason) from None
        if failures:
            warn_of_failures(sorted(failures), len(rows))
        warn_of_ignored_transparency(opaque, len(rows))

    def _use_image(self, images, row, use, opaque) -> FailureReason | None:
        """Read an image and hand it on; return why, if that fails."""
        try:
            source = images[row]
        except OSError as error:  # of a sequence that reads its items on demand
            found = f"{type(error).__name__}: {error}"
            message = f"{images.name_row(row)}: the image cannot be fetched ({found})."
            return FailureReason.of(error, message)
        try:
            image = decode(source, exif_transpose=self.exif_transpose, max_pixels=self.max_pixels)
            use(row, image)
        except ImageError as error:
            message = f"{images.name_row(row)}, {describe(source)}: {error}."
            return FailureReason.of(error, message)
        if TRANSPARENCY_IGNORED in image.info:
            opaque.append((row, f"{images.name_row(row)}, {describe(source)}"))
        return None


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Compute the luminance of RGB pixels, ITU-R BT.601: (h, w, 3) -> (h, w), float32."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
