"""Regressor that trains a network from the beginning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight

from .._utils.docstrings import fill_docstring
from . import _docs
from ._augmentation import Augmentation
from ._base import BaseConvNet, has_steps
from ._by_layer import ByLayer
from ._loop import Objective
from ._losses import squared

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
class ConvNetRegressor(RegressorMixin, BaseConvNet):
    """Train a convolutional network to tell numbers from images.

    It is for convolutional networks what :class:`~sklearn.neural_network.MLPRegressor` is for
    fully connected ones, with its parameters and attributes where both have them.

    Parameters
    ----------
    %(network)s
    %(training)s

    Attributes
    ----------
    n_outputs_ : int
        How many numbers an image has.
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        Mean and standard deviation of the targets of the first ``fit``, for which the network
        learns ``(y - mean) / scale``.
    %(attributes)s

    See Also
    --------
    ConvNetClassifier : The same for classes.

    Notes
    -----
    The loss is half the squared distance of standardised targets; the score of the validation is
    the coefficient of determination.

    %(notes)s

    Examples
    --------
    How bright is the left half of an image?

    >>> import numpy as np
    >>> from sklearn_decaf.training import ConvNetRegressor
    >>> X = np.random.default_rng(0).random((200, 6, 6, 1))
    >>> y = X[:, :, :3].mean(axis=(1, 2, 3))
    >>> net = ConvNetRegressor(max_iter=10, dropout=0, random_state=0).fit(X[:150], y[:150])
    >>> bool(net.score(X[150:], y[150:]) > 0.8)
    True
    """

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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images. Those of weight 0 are left out.

        Returns
        -------
        self : object
            Fitted regressor.

        Raises
        ------
        ImageError
            If an image cannot be read.
        FloatingPointError
            If the training diverges before the end of the first epoch.
        """
        return self._fit_numbers(X, y, sample_weight, incremental=False)

    @available_if(has_steps)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the network for one epoch of these images.

        The solver goes on where it was. Schedules that depend on the length of the training,
        "cosine" and "step", keep `learning_rate_init`.

        Parameters
        ----------
        X : images, or array-like of shape (n_samples, n_features) with `image_shape`
            The first ones say what mean and scale the network's input has.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers. The first ones say what mean and scale they have.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        self : object
            Trained regressor.
        """
        return self._fit_numbers(X, y, sample_weight, incremental=True)

    def _fit_numbers(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Self:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        columns = y.reshape(len(y), -1)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        if not self._goes_on(incremental):
            counting = columns if weights is None else columns[weights > 0]
            self.target_mean_ = counting.mean(axis=0) if len(counting) else np.zeros(1)
            scale = counting.std(axis=0) if len(counting) else np.ones(1)
            scale[scale < 1e-12 * (1 + np.abs(self.target_mean_))] = 1.0
            self.target_scale_ = scale
            self._is_column = y.ndim == 1
            self.n_outputs_ = columns.shape[1]
        elif columns.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {columns.shape[1]} numbers an image, and had {self.n_outputs_} before"
            )
        targets = (columns - self.target_mean_) / self.target_scale_
        self._train(X, targets, weights, columns.shape[1], incremental=incremental)
        return self

    def _objective(self, targets: np.ndarray, sample_weight: np.ndarray | None) -> Objective:
        return Objective(squared, targets, sample_weight)

    def _scorer(
        self, targets: np.ndarray, sample_weight: np.ndarray | None
    ) -> Callable[[np.ndarray], float]:
        def score(outputs: np.ndarray) -> float:
            return float(r2_score(targets, outputs, sample_weight=sample_weight))

        return score

    def predict(self, X: Images) -> np.ndarray:
        """Predict numbers.

        Parameters
        ----------
        X : images, or array-like of shape (n_samples, n_features) with `image_shape`

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As in ``fit``.
        """
        outputs = self._outputs(X).astype(np.float64) * self.target_scale_ + self.target_mean_
        return outputs[:, 0] if self._is_column else outputs

    def score(self, X: Images, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the coefficient of determination of `predict`.

        Parameters
        ----------
        X : images, or array-like of shape (n_samples, n_features) with `image_shape`
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the images.

        Returns
        -------
        score : float
            1 where all is right, 0 where the mean of `y` does as well.
        """
        return float(super().score(X, y, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
