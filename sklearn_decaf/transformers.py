"""Estimators: photographs to features of a frozen network, and dropout on features."""

from __future__ import annotations

import os
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from ._cache.activation_cache import ActivationCache
from ._cache.rows import compute_rows
from ._features.dropout import ActivationDropout
from ._features.network import NetworkFeatures
from ._utils.doc_link import DOC_LINK_TEMPLATE
from ._utils.parallel import effective_n_threads
from ._utils.progress import Progress
from ._utils.validation import is_integer
from .images._estimator import ImageInputMixin
from .images._warnings import warn_of_failures
from .networks.architecture import POOLINGS, Architecture
from .networks.weights.weights import Weights

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._utils.types import FilePath, Images, ImageShape, RandomState

__all__ = ["ActivationCache", "ActivationDropout", "DeCAFTransformer"]


class DeCAFTransformer(NetworkFeatures, ImageInputMixin, TransformerMixin, BaseEstimator):
    """Turn photographs into activations of a frozen, ImageNet-trained convolutional network.

    Each image becomes one row: the activations of a hidden layer, which carry over to other
    visual tasks so well that a linear classifier on a few labelled images is enough [1]_. The
    transformer is stateless: nothing is learnt in ``fit``, and ``transform`` works without it.

    Parameters
    ----------
    layer : int, str or tuple of these, default=6
        Which activations. A number counts as the DeCAF paper does: 7 is the last hidden layer
        before the class predictions, 6 the one before it, 5 the one before that, and 8 the class
        scores. Any layer can be given by its name, such as ``"pool5"``, ``"fire9"``, ``"head"``,
        ``"fc6"`` (before its ReLU) or ``"prob"``, the probabilities of the 1000 ImageNet classes.
        A tuple puts several layers side by side, from a single pass.
    dropout : bool or "auto", default="auto"
        Dropout on the features, as in the paper: ``fit_transform``, on training rows, sets each
        activation to 0 with probability 0.5; ``transform``, on test rows, multiplies by 0.5.
        "auto" does so for the fully connected layers 6 and 7 of the AlexNet family, as the paper
        does, and not for other layers, where it was measured to hurt. With a tuple of layers it
        is decided for each.
    weights : str, path or Weights, default="efficientnet_lite0"
        A network whose weights come with the installation, ``"efficientnet_lite0"`` or
        ``"squeezenet1_1"``; one that ``fit`` downloads where it is missing, such as
        ``"resnet18"``, ``"vgg16"`` or ``"caffenet"`` (``transform`` and worker processes download
        nothing, see :func:`~sklearn_decaf.networks.fetch_weights`;
        :func:`~sklearn_decaf.networks.list_weights` has them all); or the path of a file with
        weights of a known architecture: npz, safetensors, torch state dict, caffemodel, ONNX or
        the 2013 DeCAF pickle, recognised by content. A file without the last layers serves
        every layer it can reach. :class:`~sklearn_decaf.networks.Weights` are taken as they are.
    architecture : str or Architecture, default=None
        Architecture of a weight file that fits several, such as ``"caffenet"``; or a network of
        your own, whose parameters the file has.
    pooling : {"auto", "avg", "max", "avg+max", None}, default="auto"
        How the maps of a convolutional layer become a row: average, maximum or both over all
        positions, or None for all values in (h, w, c) order. "auto" is the architecture's own:
        average for EfficientNet-Lite0; average and maximum for SqueezeNet, average alone for its
        layer 7; None for the AlexNet family, as in the paper.
    resize : {"warp", "crop", None}, default="warp"
        How a photograph comes to the network's input size. "warp", the paper's way, resizes it
        to 256 x 256 pixels whatever its shape; "crop" resizes the shorter side to 256 and keeps
        the shape; None leaves the size as it is. Then the centre is cut out.
    resize_to : int, default=None
        What `resize` makes of the sides instead of 256 pixels, or of whatever the network was
        trained with. None follows `crop`, so that as much of the photograph is seen as at the
        network's own size.
    crop : int or tuple (height, width), default=None
        Size in pixels of what is cut out of the centre, the network's input; None takes the
        network's own, 224 for EfficientNet-Lite0. A larger one shows more detail and takes longer,
        in proportion to its area. Networks work on any size up to their fully connected layers on
        maps, such as ``"fc6"`` of AlexNets, which raise an error then. A network that subtracts a
        mean image keeps its `resize_to`, and has the same part cut out of the mean.
    ten_crop : bool, default=False
        Average the features over ten crops: the corners and the centre, and their mirror images.
        Takes ten times as long.
    exif_transpose : bool, default=True
        Turn a photograph upright as its EXIF orientation says. Arrays are taken as they are; a PIL
        image counts as not yet turned if it still carries its EXIF data (see
        :func:`~sklearn_decaf.images.read_image`).
    exact : bool, default=False
        If True, never use Winograd's algorithm for convolutions, which is faster and rounds a
        little more: for AlexNets and SqueezeNet the error is 2e-6 of a layer's largest value with
        it and 1e-6 without. EfficientNet-Lite0 is the same either way.
    draft : bool, default=False
        If True, let the decoder reduce JPEG files of more than about four times the size needed
        (1024 pixels on the shorter side): those of 12 megapixels are read in a third of the time.
        Changes features by about 2 % and no accuracy that was measured. PIL images and arrays are
        never reduced, so they then differ from the file by as much; without it they are the same,
        if they are turned in the same way.
    max_pixels : int, default=None
        Pixels of the largest file that is read, against decompression bombs; of a JPEG file that
        `draft` reduces, those that the decoder would make. None takes
        ``PIL.Image.MAX_IMAGE_PIXELS``, 89,478,485 unless the program has changed it, and no limit
        if that is None. Only the parameter reaches worker processes.
    image_shape : tuple (height, width) or (height, width, channels), default=None
        Shape of the images in rows of pixels. Only with it is a 2-D array taken as images.
    on_error : {"raise", "nan"}, default="raise"
        What to do with an image that cannot be read: raise an error that names its row, or give
        a row of NaN and one warning that lists all of them. No row is ever left out.
    cache : str, path or ActivationCache, default=None
        A folder in which activations are kept: each distinct image is computed once, for all
        layers by number, all values of `dropout` and all classifiers of a search, its folds and
        its processes, and for later runs. Changes speed, not results. A relative path starts from
        the folder in which the transformer was fitted, or pickled before that.
    batch_size : int, default=32
        Images that a thread decodes and holds at a time. Changes memory and speed, not results.
    n_jobs : int, default=None
        Threads. None uses the cores that BLAS would use here; -1 means all. Changes speed, not
        results.
    random_state : int, RandomState instance or None, default=None
        Draws the zeros of dropout. Pass an int for the same zeros at every ``fit_transform``.
    verbose : bool or int, default=False
        Show a progress bar with rate and time left.

    Attributes
    ----------
    weights_sha256_ : str
        Checksum of the weight file seen in ``fit``; the digest of weights in memory.
    n_features_in_ : int
        Number of columns seen in ``fit``; only for 2-D inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names; only for data frames.

    See Also
    --------
    ActivationDropout : Dropout by itself, with any probability.
    ActivationCache : Where activations are kept, and how much room they may take.
    extract : Features of millions of images, to files.

    Notes
    -----
    An image's row depends on that image alone: not on the others, on `batch_size`, `n_jobs` or
    its place. With the same kernel set (:func:`~sklearn_decaf.show_versions`) it is the same to
    the bit.

    ``fit(X).transform(X)`` equals ``fit_transform(X)`` only without dropout. See
    :class:`ActivationDropout` for what that means inside pipelines.

    Weights of a name or path are not part of a pickle: it carries that and their checksum, fitted
    or not, and weights with another checksum are refused where it is loaded. Weights in memory are
    part of it, and so is an architecture of your own, passed or registered. It carries the kernel
    set too. Where another one is in use, rows differ in their last digits (v3 and v4 agree), and
    a :class:`~sklearn_decaf.exceptions.KernelWarning` names both; if ``SKLEARN_DECAF_KERNELS`` was
    set where it was pickled, a :class:`~sklearn_decaf.exceptions.KernelError` does.

    ``Pipeline(memory=...)`` and other caches of joblib know a photograph by what is passed: of a
    path that is its text, so a file that was edited since gives its old features. `cache` knows a
    photograph by its content.

    Inputs can be

    - a list, tuple, object array, Series, Arrow array or one-column data frame of paths, encoded
      bytes, PIL images or arrays (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), mixed at will;
    - one array (n, h, w, c) with c = 1, 3 or 4;
    - with `image_shape`, a 2-D array with an image a row.

    Arrays are uint8 (0 to 255), uint16 (0 to 65535), or float in [0, 1]. No images give no rows:
    an array of shape (0, n_features_out). :func:`~sklearn_decaf.images.check_images` says what
    else counts, :func:`~sklearn_decaf.images.read_image` how an image becomes 8-bit RGB.

    References
    ----------
    .. [1] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> train = load_sample_photos(subset="train")
    >>> test = load_sample_photos(subset="test")
    >>> classifier = make_pipeline(DeCAFTransformer(), LogisticRegression())
    >>> classifier = classifier.fit(train.images, train.target)
    >>> bool(classifier.score(test.images, test.target) > 0.8)
    True
    """

    weights_sha256_: str
    _fit_attribute = "weights_sha256_"
    _doc_link_module = "sklearn_decaf"
    _doc_link_template = DOC_LINK_TEMPLATE
    _parameter_constraints = {
        "layer": [Integral, str, tuple, list],
        "dropout": ["boolean", StrOptions({"auto"})],
        "weights": [str, os.PathLike, Weights],
        "architecture": [str, Architecture, None],
        "pooling": [StrOptions({*filter(None, POOLINGS)}), None],
        "resize": [StrOptions({"warp", "crop"}), None],
        "resize_to": [Interval(Integral, 1, None, closed="left"), None],
        "crop": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "ten_crop": ["boolean"],
        "exif_transpose": ["boolean"],
        "exact": ["boolean"],
        "draft": ["boolean"],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": [tuple, list, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "cache": [str, os.PathLike, ActivationCache, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        layer: int | str | tuple[int | str, ...] = 6,
        dropout: bool | Literal["auto"] = "auto",
        *,
        weights: FilePath | Weights = "efficientnet_lite0",
        architecture: str | Architecture | None = None,
        pooling: Literal["auto", "avg", "max", "avg+max"] | None = "auto",
        resize: Literal["warp", "crop"] | None = "warp",
        resize_to: int | None = None,
        crop: int | tuple[int, int] | None = None,
        ten_crop: bool = False,
        exif_transpose: bool = True,
        exact: bool = False,
        draft: bool = False,
        max_pixels: int | None = None,
        image_shape: ImageShape | None = None,
        on_error: Literal["raise", "nan"] = "raise",
        cache: FilePath | ActivationCache | None = None,
        batch_size: int = 32,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: bool | int = False,
    ) -> None:
        self.layer = layer
        self.dropout = dropout
        self.weights = weights
        self.architecture = architecture
        self.pooling = pooling
        self.resize = resize
        self.resize_to = resize_to
        self.crop = crop
        self.ten_crop = ten_crop
        self.exif_transpose = exif_transpose
        self.exact = exact
        self.draft = draft
        self.max_pixels = max_pixels
        self.image_shape = image_shape
        self.on_error = on_error
        self.cache = cache
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: object = None) -> Self:
        """Check the parameters, the weights and the kind of input; compute nothing.

        With dropout, ``fit(X).transform(X)`` treats `X` as test rows and so differs from
        ``fit_transform(X)``.

        Parameters
        ----------
        X : images
            See the class's Notes. No image is read.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        effective_n_threads(self.n_jobs)
        self._check_X(X, reset=True)
        self._remember_weights()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Images, y: object = None) -> np.ndarray:
        """Compute the features of training images.

        With dropout, activations are set to 0 at random: this differs from
        ``fit(X).transform(X)``, which treats `X` as test images.

        Parameters
        ----------
        X : images
            See the class's Notes.
        y : None
            Ignored.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            One row an image.

        Raises
        ------
        ImageError
            If an image cannot be read (and ``on_error="raise"``) or the input is no sequence of
            images.
        WeightsError
            If the weights cannot be found, are not what they should be, or lack the layer.
        """
        images = self._check_X(X, reset=True)
        self._remember_weights()
        features = self._extract(images)
        self._apply_dropout(features, training=True)
        return features

    def transform(self, X: Images) -> np.ndarray:
        """Compute the features of test images.

        With dropout, activations are multiplied by 0.5: this differs from what ``fit_transform``
        does to training images.

        Parameters
        ----------
        X : images
            See the class's Notes.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out), float32
            One row an image.

        Raises
        ------
        ImageError
            If an image cannot be read (and ``on_error="raise"``) or the input is no sequence of
            images.
        WeightsError
            If the weights cannot be found, are not what they should be, or lack the layer.
        """
        self._validate_params()
        features = self._extract(self._check_X(X, reset=False))
        self._apply_dropout(features, training=False)
        return features

    def predict_labels(self, X: Images, *, top: int = 5) -> list[list[tuple[str, float]]]:
        """Name what the network itself sees in each image.

        The names are those of ImageNet's classes, or numbers where it was trained for others.

        Parameters
        ----------
        X : images
            See the class's Notes.
        top : int, default=5
            Number of classes to name, at most as many as the network has: 1000 for ImageNet.

        Returns
        -------
        labels : list of list of (str, float)
            For each image its most probable classes, names with probabilities, best first; an
            empty list for an image that could not be read (``on_error="nan"``).

        Examples
        --------
        >>> from sklearn.datasets import load_sample_image
        >>> from sklearn_decaf import DeCAFTransformer
        >>> photos = [load_sample_image("flower.jpg")]
        >>> [best] = DeCAFTransformer().predict_labels(photos, top=1)
        >>> best[0][0]
        'daisy'
        """
        classes = self._weights().class_names()
        if not is_integer(top) or not 1 <= top <= len(classes):
            raise ValueError(f"top={top!r}: it must be an integer from 1 to {len(classes)}.")
        network = self._variant(layer="prob", dropout=False).set_output(transform="default")
        labels = []
        for row in network.transform(X):
            ranks = np.argsort(-row, kind="stable")[:top]
            best = ranks[:0] if np.isnan(row).any() else ranks
            labels.append([(classes[i], float(row[i])) for i in best])
        return labels

    def _extract(self, images) -> np.ndarray:
        """Features of all images, without dropout: (n, n_features)."""
        progress = Progress(len(images), type(self).__name__, enabled=bool(self.verbose))
        features, failures = self._compute(images, progress.update)
        if failures:
            warn_of_failures(failures, len(images), "; their rows are NaN")
        return features

    def _compute(self, images, count) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Features, with NaN for what failed, and the failures: (row, message)."""
        recipe, cache = self._recipe(), self._located(self.cache)
        return compute_rows(images, recipe, cache, count=count, **self._run_options())

    def _run_options(self) -> dict:
        """Parameters that change speed and memory, but no feature."""
        n_threads = effective_n_threads(self.n_jobs)
        return {"batch_size": self.batch_size, "n_threads": n_threads, "on_error": self.on_error}
