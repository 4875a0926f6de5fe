"""Classifier that trains a network from the beginning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from .._utils.docstrings import fill_docstring
from . import _docs
from ._augmentation import Augmentation
from ._base import BaseConvNet, has_steps
from ._by_layer import ByLayer
from ._class_scores import ClassScoresMixin, accuracy
from ._class_targets import encode_labels, encode_portion, image_weights
from ._loop import Objective
from ._losses import multinomial_logistic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from .._utils.types import FilePath, Images, ImageShape, RandomState
    from ..networks.architecture import Architecture
    from ..networks.layers import Layer


@fill_docstring(
    network=_docs.NETWORK,
    training=_docs.TRAINING,
    attributes=_docs.ATTRIBUTES,
    notes=_docs.NOTES,
)
class ConvNetClassifier(ClassScoresMixin, BaseConvNet):
    """Train a convolutional network to tell classes apart.

    It is for convolutional networks what :class:`~sklearn.neural_network.MLPClassifier` is for
    fully connected ones, with its parameters and attributes where both have them.

    Parameters
    ----------
    %(network)s
    label_smoothing : float, default=0.0
        Share of each label that is spread over all classes, in [0, 1].
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as scikit-learn has them: they multiply those of the images.
    %(training)s

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    %(attributes)s

    See Also
    --------
    ConvNetRegressor : The same for numbers.
    sklearn_decaf.DeCAFTransformer : Features of networks that were trained on a million images,
        which are better where there are few.

    Notes
    -----
    The validation split of `early_stopping` has the same shares of the classes, and the score is
    the accuracy.

    %(notes)s

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_decaf.training import ConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> net = ConvNetClassifier(image_shape=(8, 8), max_iter=3, random_state=0)
    >>> net = net.fit(X[:1000], y[:1000])
    >>> bool(net.score(X[1000:1200], y[1000:1200]) > 0.9)
    True
    """

    classes_: np.ndarray
    _parameter_constraints: dict = {
        **BaseConvNet._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="both")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        network: str | Architecture | Sequence[Layer] | None = None,
        *,
        image_shape: ImageShape | None = None,
        image_size: int | tuple[int, int] | None = None,
        resize: Literal["warp", "crop"] | None = "warp",
        augmentation: str | Augmentation | Sequence[str | Augmentation] | None = None,
        dropout: float | Mapping[str, float] = 0.25,
        batch_norm: Literal["group", "frozen"] = "group",
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        solver: Literal["adamw", "adam", "sgd", "adagrad", "lbfgs"] = "adamw",
        alpha: ByLayer = 1e-4,
        l1: ByLayer = 0.0,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["cosine", "constant", "step", "invscaling", "adaptive"] = "cosine",
        learning_rate_init: float = 0.001,
        layer_rates: ByLayer = 1.0,
        warm_up: float = 0.1,
        step_epochs: int = 10,
        step_factor: float = 0.1,
        power_t: float = 0.5,
        max_iter: int = 30,
        shuffle: bool = True,
        random_state: RandomState = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        max_norm: float | None = None,
        ema: float | None = None,
        checkpoint: FilePath | None = None,
        exact: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.network = network
        self.image_shape = image_shape
        self.image_size = image_size
        self.resize = resize
        self.augmentation = augmentation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.solver = solver
        self.alpha = alpha
        self.l1 = l1
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.layer_rates = layer_rates
        self.warm_up = warm_up
        self.step_epochs = step_epochs
        self.step_factor = step_factor
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.max_norm = max_norm
        self.ema = ema
        self.checkpoint = checkpoint
        self.exact = exact
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : images, or array-like of shape (n_samples, n_features) with `image_shape`
            Images as :class:`~sklearn_decaf.DeCAFTransformer` takes them.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images. Those of weight 0 are left out.

        Returns
        -------
        self : object
            Fitted classifier.

        Raises
        ------
        ImageError
            If an image cannot be read.
        FloatingPointError
            If the training diverges before the end of the first epoch.
        """
        self._require_y(y)
        classes, targets = encode_labels(y)
        if self._goes_on(False) and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True goes on with the classes of the last fit, "
                f"{self.classes_.tolist()}; y has {classes.tolist()}"
            )
        self.classes_ = classes
        return self._fit_targets(X, targets, sample_weight, incremental=False)

    @available_if(has_steps)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Images,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train the network for one epoch of these images.

        The solver goes on where it was. Schedules that depend on the length of the training,
        "cosine" and "step", keep `learning_rate_init`.

        Parameters
        ----------
        X : images, or array-like of shape (n_samples, n_features) with `image_shape`
            The first ones say what mean and scale the network's input has.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come, needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        self : object
            Trained classifier.

        Raises
        ------
        ValueError
            If `classes` are missing in the first call or others than in an earlier one, a label is
            none of them, or `class_weight` is "balanced": nobody knows how many images will come.
        """
        self._require_y(y)
        known = self.classes_ if hasattr(self, "weights_") else None
        self.classes_, targets = encode_portion(
            y, classes=classes, known=known, class_weight=self.class_weight
        )
        return self._fit_targets(X, targets, sample_weight, incremental=True)

    def _require_y(self, y: Any) -> None:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )

    def _fit_targets(
        self, X: Any, targets: np.ndarray, sample_weight: Any, *, incremental: bool
    ) -> Self:
        weights = image_weights(self.class_weight, self.classes_, targets, sample_weight)
        self._train(X, targets, weights, len(self.classes_), incremental=incremental)
        return self

    def _objective(self, targets: np.ndarray, sample_weight: np.ndarray | None) -> Objective:
        loss = partial(multinomial_logistic, label_smoothing=self.label_smoothing)
        return Objective(loss, targets, sample_weight)

    def _scorer(
        self, targets: np.ndarray, sample_weight: np.ndarray | None
    ) -> Callable[[np.ndarray], float]:
        return partial(accuracy, targets, sample_weight)

    def _scores(self, X: Images) -> np.ndarray:
        return self._outputs(X)

    def _labels(self, targets: np.ndarray) -> np.ndarray | None:
        return targets
