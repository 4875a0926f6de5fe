"""Classifier that trains the last layers of a known network further."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from .._cache.activation_cache import ActivationCache
from .._utils.doc_link import doc_link_template
from .._utils.labels import shown
from ..networks.architecture import Architecture
from ..networks.weights.saving import save_weights
from ..networks.weights.weights import Weights
from ..transformers import DeCAFTransformer
from ._augmentation import Augmentation
from ._class_scores import ClassScoresMixin
from ._class_targets import encode_labels, encode_portion, image_weights
from ._fine_tuning import FineTuning
from ._state import TrainingState
from ._validation import split_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import FilePath, Images, ImageShape, RandomState


class FineTunedClassifier(ClassScoresMixin, FineTuning):
    """Classify photographs by a known network whose last layers are trained further.

    The classifier begins as a pipeline of frozen features and logistic regression, and trains the
    last blocks of the network together with it. What lies below them is computed once for each
    image and its mirror image, so that an epoch takes seconds.

    Parameters
    ----------
    trainable : {"head", "last:k", "all"} or tuple of str, default="last:6"
        What is trained: ``"head"`` alone; the last k blocks as well, counted back from layer 7, a
        last convolution before the pooling counting as one; all layers; or those of these names,
        layers or blocks. With "all" the photographs are cropped at random and mirrored, and the
        whole network is run in each epoch, which takes ten times as long.
    weights : str, path or Weights, default="efficientnet_lite0"
        The network to begin with, see :class:`~sklearn_decaf.DeCAFTransformer`.
    architecture : str or Architecture, default=None
        Architecture of a weight file that fits several, or a network of your own.
    layer : int, str or "auto", default="auto"
        The layer of the network that the new head reads, pooled as the architecture says; what is
        above it goes. "auto" takes 7 where layers below the head are trained, and 7 or 6,
        whichever cross-validates better, for the frozen pipeline.
    scaling : {"auto", "l2", None}, default="auto"
        Whether each row of features is divided by its Euclidean length before the head.
        "auto" takes what cross-validates better when frozen.
    C : float or "auto", default="auto"
        Inverse strength of the regularisation of the logistic regression that the head begins as,
        as :class:`~sklearn.linear_model.LogisticRegression` has it. "auto" cross-validates.
    max_iter : int, default=5
        Epochs.
    batch_size : int, default=32
        Images of a training step.
    learning_rate : {"cosine", "constant"}, default="cosine"
        "cosine" rises for the first tenth of the steps and then falls to 0.
    learning_rate_init : float, default=3e-4
        The largest learning rate.
    alpha : float, default=1e-4
        Weight decay of AdamW, of kernels.
    augmentation : {"auto", "mirror", None}, or as of ConvNetClassifier, default="auto"
        How images that are learned from differ from epoch to epoch. Where the training begins from
        activations, "auto" is "mirror", and the other choice None. With ``trainable="all"`` it is
        what :class:`ConvNetClassifier` takes, and "auto" is ``("resized_crop", "mirror")``.
    dropout : float or "auto", default="auto"
        Probability with which outputs of the hidden fully connected layers of the AlexNet family
        are set to 0 in training. "auto" is 0.5; other networks have none.
    label_smoothing : float, default=0.0
        Share of the targets that is spread over all classes.
    class_weight : dict or "balanced", default=None
        Weights of the classes.
    early_stopping : bool, default=True
        If True, hold images back, and keep the parameters of the epoch that predicts these best.
        The frozen pipeline, epoch 0, is a candidate: where nothing is won, nothing is trained, and
        the head is fitted to all images. If False, train on all images and keep the last epoch.
    validation_fraction : float, default=0.1
        Share of the images to hold back, of each class.
    n_iter_no_change : int, default=10
        End after so many epochs without progress in validation, and one more.
    tol : float, default=1e-4
        By how much the accuracy has to rise to be progress.
    resize : {"warp", "crop", None}, default="warp"
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    resize_to : int, default=None
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    crop : int or tuple (height, width), default=None
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    exif_transpose : bool, default=True
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    exact : bool, default=False
        If True, never use Winograd's algorithm for convolutions.
    draft : bool, default=False
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    max_pixels : int, default=None
        See :class:`~sklearn_decaf.DeCAFTransformer`.
    image_shape : tuple (height, width) or (height, width, channels), default=None
        Shape of the images in rows of pixels. Only with it is a 2-D array taken as images.
    cache : str, path or ActivationCache, default=None
        A folder in which the activations that the training begins from are kept: they are computed
        once for all candidates and folds of a search, and for later runs.
    n_jobs : int, default=None
        Threads. None uses the cores that BLAS would use here; -1 means all. Changes speed, not
        results.
    random_state : int, RandomState instance or None, default=None
        Draws the images that are held back, their order, and which are mirrored.
    verbose : bool or int, default=False
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    layer_ : str
        The layer that the head reads.
    scaling_ : {"l2", None}
        How its rows are scaled.
    C_ : float
        Inverse strength of the regularisation that the head began with.
    trained_layers_ : tuple of str
        The layers that were trained, the head among them.
    cut_layer_ : str
        The layer whose output the training began from, ``"data"`` for the pixels.
    parameters_ : dict of str to ndarray
        The parameters that are not those of `weights`, by full names.
    n_iter_ : int
        Epochs that were trained.
    best_epoch_ : int
        The epoch whose parameters were kept; 0 is the frozen pipeline.
    loss_curve_ : list of float
        Loss of each epoch.
    step_losses_, learning_rates_ : list of float
        The loss of each step, and the learning rate that followed it.
    validation_scores_ : list of float or None
        Accuracy on the images that were held back, of the frozen pipeline and after each epoch;
        None without `early_stopping`. Images count by their weights.
    best_validation_score_ : float or None
        The best of them.
    weights_sha256_ : str
        Checksum of the weight file; the digest of weights in memory.
    n_features_in_ : int
        Number of columns seen in ``fit``; only for 2-D inputs.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names; only for data frames.

    See Also
    --------
    sklearn_decaf.DeCAFTransformer : Features of a frozen network, for any classifier.

    Notes
    -----
    Batch normalisations keep their statistics. Those that are folded into convolutions, as
    in EfficientNet-Lite, make plain gradient descent diverge at usual rates.

    With `early_stopping` several frozen pipelines are candidates besides the epochs: on layers 6
    and 7, with rows of length 1 and as they are, of which cross-validation chooses one. Where it
    is at least as good on the images that were held back as each epoch, it is the result, fitted
    to all images.

    Activations of a cut at 14 x 14 pixels and 112 channels take 88 kB an image, and as much for its
    mirror image, in memory while ``fit`` runs.

    A pickle has the parameters that were trained. Those of `weights` are found again by their name
    or path, and compared by their checksum, as of :class:`~sklearn_decaf.DeCAFTransformer`.

    Examples
    --------
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> from sklearn_decaf.training import FineTunedClassifier
    >>> train = load_sample_photos(subset="train")
    >>> test = load_sample_photos(subset="test")
    >>> classifier = FineTunedClassifier("head", max_iter=2, random_state=0)
    >>> classifier = classifier.fit(train.images, train.target)
    >>> bool(classifier.score(test.images, test.target) > 0.8)
    True
    >>> transformer = classifier.to_transformer()
    >>> transformer.transform(test.images[:2]).shape[0]
    2
    """

    on_error = "raise"
    _fit_attribute = "classes_"
    _doc_link_module = "sklearn_decaf"
    _doc_link_template = doc_link_template("sklearn_decaf.training")
    _parameter_constraints = {
        "trainable": [str, tuple, list],
        "weights": [str, os.PathLike, Weights],
        "architecture": [str, Architecture, None],
        "layer": [Integral, str],
        "scaling": [StrOptions({"auto", "l2"}), None],
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"cosine", "constant"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "augmentation": [str, Augmentation, tuple, list, None],
        "dropout": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="both")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "resize": [StrOptions({"warp", "crop"}), None],
        "resize_to": [Interval(Integral, 1, None, closed="left"), None],
        "crop": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "exif_transpose": ["boolean"],
        "exact": ["boolean"],
        "draft": ["boolean"],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": [tuple, list, None],
        "cache": [str, os.PathLike, ActivationCache, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        trainable: str | Sequence[str] = "last:6",
        *,
        weights: FilePath | Weights = "efficientnet_lite0",
        architecture: str | Architecture | None = None,
        layer: int | str = "auto",
        scaling: Literal["auto", "l2"] | None = "auto",
        C: float | Literal["auto"] = "auto",
        max_iter: int = 5,
        batch_size: int = 32,
        learning_rate: Literal["cosine", "constant"] = "cosine",
        learning_rate_init: float = 3e-4,
        alpha: float = 1e-4,
        augmentation: str | Augmentation | Sequence[str | Augmentation] | None = "auto",
        dropout: float | Literal["auto"] = "auto",
        label_smoothing: float = 0.0,
        class_weight: dict | Literal["balanced"] | None = None,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        resize: Literal["warp", "crop"] | None = "warp",
        resize_to: int | None = None,
        crop: int | tuple[int, int] | None = None,
        exif_transpose: bool = True,
        exact: bool = False,
        draft: bool = False,
        max_pixels: int | None = None,
        image_shape: ImageShape | None = None,
        cache: FilePath | ActivationCache | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        verbose: bool | int = False,
    ) -> None:
        self.trainable = trainable
        self.weights = weights
        self.architecture = architecture
        self.layer = layer
        self.scaling = scaling
        self.C = C
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.augmentation = augmentation
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.resize = resize
        self.resize_to = resize_to
        self.crop = crop
        self.exif_transpose = exif_transpose
        self.exact = exact
        self.draft = draft
        self.max_pixels = max_pixels
        self.image_shape = image_shape
        self.cache = cache
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the head to frozen features, then train it and the last layers.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        self : object
            Fitted classifier.

        Raises
        ------
        ImageError
            If an image cannot be read, or the input is no sequence of images.
        WeightsError
            If the weights cannot be found, are not what they should be, or lack a layer.
        ValueError
            If labels are missing, there is only one class, there are too few images to hold any
            back, or `trainable` and `layer` do not fit the network.

        Warns
        -----
        ConvergenceWarning
            If the training diverged; the best parameters before that are kept.
        """
        images = self._check_X(X, reset=True)
        self._begin_fit()
        self.classes_, targets = encode_labels(y, len(images))
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {shown(self.classes_[0])}: a classifier needs images of two "
                "or more."
            )
        shares = image_weights(self.class_weight, self.classes_, targets, sample_weight)
        rng = check_random_state(self.random_state)
        counting = np.arange(len(images)) if shares is None else np.flatnonzero(shares)
        train, held_back = counting, counting[:0]
        if self.early_stopping:
            parts = split_rows(
                len(counting), self.validation_fraction, rng, labels=targets[counting]
            )
            train, held_back = (counting[part] for part in parts)
        prepared = self._prepare(images)
        best, start = self._choose(prepared, train, targets, shares, rng)
        self._take_pipeline(start)
        state = TrainingState(seed=int(rng.randint(2**31)))
        if self.early_stopping:
            rows = train, held_back
            self._train_and_validate(prepared, best, start, targets, shares, rows, state)
        else:
            self._train(prepared, targets, shares, train, state)
        del self._solver
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Images,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on these images for one epoch, at a constant learning rate.

        In the first call the head is fitted to the frozen features of the images given there, so
        these should be of all classes. Without a call of ``fit`` or ``partial_fit`` before, pass
        `classes`.

        Parameters
        ----------
        X : images
            Whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        self : object
            The classifier, trained further.

        Raises
        ------
        ValueError
            If `classes` are missing in the first call or others than in an earlier one, a label is
            none of them, or `class_weight` is "balanced": nobody knows how many images will come;
            otherwise as of `fit`.
        """
        first = not hasattr(self, "parameters_")
        images = self._check_X(X, reset=first)
        self.classes_, targets = encode_portion(
            y,
            len(images),
            classes=classes,
            known=None if first else self.classes_,
            class_weight=self.class_weight,
        )
        if first:
            self._begin_fit()
        shares = image_weights(self.class_weight, self.classes_, targets, sample_weight)
        prepared = self._prepare(images, None if first else [self._head])
        if not hasattr(self, "_state"):
            rng = check_random_state(self.random_state)
            self._state = TrainingState(seed=int(rng.randint(2**31)))
        everything = np.arange(len(images))
        if first:
            _, start = self._choose(prepared, everything, targets, shares, self._state.seed)
            self._take_pipeline(start)
        self._train(prepared, targets, shares, everything, self._state, n_epochs=1)
        return self

    def to_transformer(
        self, layer: int | str | tuple[int | str, ...] | None = None
    ) -> DeCAFTransformer:
        """Make a transformer of the network as it is now.

        It has the tuned weights in memory, and this estimator's parameters for reading images.

        Parameters
        ----------
        layer : int, str or tuple of these, default=None
            Which activations. None is the layer that the head reads; 8 are the class scores.

        Returns
        -------
        transformer : DeCAFTransformer
            For :func:`~sklearn_decaf.extract`, displays, other classifiers.
        """
        network = self._tuned().weights
        if layer is None:
            numbers = {name: n for n, name in network.architecture.decaf_layers.items()}
            layer = numbers.get(self.layer_, self.layer_)
        return DeCAFTransformer(
            layer,
            weights=network,
            resize=self.resize,
            exif_transpose=self.exif_transpose,
            exact=self.exact,
            draft=self.draft,
            max_pixels=self.max_pixels,
            image_shape=self.image_shape,
            cache=self.cache,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def save_weights(self, path: FilePath) -> str:
        """Write the network as it is now to a file, which ``DeCAFTransformer(weights=path)`` reads.

        It holds all parameters, the size of the input among them; the labels of the classes are in
        `classes_`. How photographs are resized to it, `resize`, is a parameter there too.

        Parameters
        ----------
        path : str or path
            Usually with the suffix ``.safetensors``. An existing file is replaced.

        Returns
        -------
        sha256 : str
            Checksum of the file.
        """
        return save_weights(self._tuned().weights, path)
