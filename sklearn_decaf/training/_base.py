"""What classifiers and regressors that train a network have in common."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.doc_link import doc_link_template
from .._utils.parallel import effective_n_threads
from .._utils.path_pickling import paths_as_text, paths_from_text
from .._utils.validation import is_integer
from ..images._inputs import ImageInputs
from ..networks.architecture import Architecture
from ..networks.architecture_data import to_text
from ..networks.engine.training import TrainingPlan
from ..networks.layers import Layer
from ..networks.weights.weights import Weights
from ..transformers import DeCAFTransformer
from ._augmentation import Augmentation, ColourShift, check_augmentation, principal_colours
from ._averaging import AveragedParameters
from ._by_layer import ByLayer
from ._checkpoints import EVERY, Checkpoint
from ._fillers import initial_parameters
from ._fitting import SCHEDULES, SOLVERS, TIMED, make_options, make_schedule, make_solver
from ._full_batch import run_lbfgs
from ._images import HELD, ImageData, common_size, digest_of, open_images
from ._inputs import TrainingInputMixin
from ._loop import Objective, TrainingLoop
from ._network import NetworkForTask, build_network, dropout_by_layer
from ._prediction import predictor
from ._solvers import SGD, Solver
from ._state import TrainingState
from ._validation import Validation, split_rows

if TYPE_CHECKING:
    from .._utils.types import FilePath, RandomState

#: Parameters that change how a result comes about, and not the result.
_NO_MATTER = ("checkpoint", "n_jobs", "verbose")


@dataclass
class Session:
    """What changes while a network learns.

    Attributes
    ----------
    parameters : dict of str to ndarray
        As the last step left them.
    solver : Solver
    state : TrainingState
    average : AveragedParameters or None
    """

    parameters: dict[str, np.ndarray]
    solver: Solver
    state: TrainingState
    average: AveragedParameters | None


def has_steps(estimator: Any) -> bool:
    """Tell whether an estimator's solver takes steps of a few images, which `partial_fit` needs."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs a solver that takes steps, and not 'lbfgs'")
    return True


class BaseConvNet(TrainingInputMixin, BaseEstimator):
    """Base class of estimators that train a network from the beginning.

    A subclass says which loss its targets have, and what the outputs of the network mean.
    """

    _doc_link_module = "sklearn_decaf"
    _doc_link_template = doc_link_template("sklearn_decaf.training")
    _parameter_constraints: dict = {
        "network": [str, Architecture, list, tuple, None],
        "image_shape": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "resize": [StrOptions({"warp", "crop"}), None],
        "augmentation": [str, Augmentation, tuple, list, None],
        "dropout": [Interval(Real, 0, 1, closed="left"), dict],
        "batch_norm": [StrOptions({"group", "frozen"})],
        "solver": [StrOptions(set(SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left"), dict],
        "l1": [Interval(Real, 0, None, closed="left"), dict],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "layer_rates": [Interval(Real, 0, None, closed="left"), dict],
        "warm_up": [Interval(Real, 0, 1, closed="both")],
        "step_epochs": [Interval(Integral, 1, None, closed="left")],
        "step_factor": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema": [Interval(Real, 0, 1, closed="left"), None],
        "checkpoint": [str, os.PathLike, None],
        "exact": ["boolean"],
        "n_jobs": [Integral, None],
    }

    # subclasses name them in the order in which they document them
    network: str | Architecture | Sequence[Layer] | None
    image_size: int | tuple[int, int] | None
    resize: Literal["warp", "crop"] | None
    augmentation: Any
    dropout: float | Mapping[str, float]
    batch_norm: Literal["group", "frozen"]
    solver: str
    alpha: ByLayer
    batch_size: int | Literal["auto"]
    learning_rate: str
    max_iter: int
    random_state: RandomState
    tol: float
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    max_fun: int
    ema: float | None
    checkpoint: FilePath | None
    exact: bool
    n_jobs: int | None

    weights_: Weights
    _network: NetworkForTask
    _state: TrainingState
    _sees_pixels: bool
    _colours: tuple[tuple[float, ...], ...] | None = None
    #: Of trainings by partial_fit, which go on with their solver.
    _last: Session | None = None
    #: Bytes of pixels that are held in memory, and seconds between two checkpoints.
    _held = HELD
    _checkpoint_every = EVERY

    # what subclasses say

    def _objective(self, targets: np.ndarray, sample_weight: np.ndarray | None) -> Objective:
        """The loss of targets, as `_encode` made them."""
        raise NotImplementedError

    def _scorer(
        self, targets: np.ndarray, sample_weight: np.ndarray | None
    ) -> Callable[[np.ndarray], float]:
        """A function that scores outputs of the network for these targets."""
        raise NotImplementedError

    def _labels(self, targets: np.ndarray) -> np.ndarray | None:
        """What a validation split keeps the shares of."""
        return None

    # training

    def _train(
        self,
        X: Any,
        targets: np.ndarray,
        sample_weight: np.ndarray | None,
        n_outputs: int,
        *,
        incremental: bool,
    ) -> None:
        """Train on images or rows, whose targets are encoded."""
        self._check_combination(incremental)
        n_threads = effective_n_threads(self.n_jobs)
        goes_on = self._goes_on(incremental)
        images = self._check_X(X, reset=not goes_on)
        if len(images) == 0:
            raise ValueError("found array with 0 sample(s): there are no images to learn from")
        if len(images) != len(targets):
            raise ValueError(
                f"X has {len(images)} images and y has {len(targets)} values: inconsistent numbers "
                "of samples"
            )
        random_state = check_random_state(self.random_state)
        if not goes_on:
            if hasattr(self, "weights_"):  # of another network
                del self.weights_
            self._network = build_network(
                self.network,
                n_outputs,
                image_size=self.image_size,
                found_size=(
                    images.shape[1:3] if isinstance(images, np.ndarray) else common_size(images)
                ),
            )
        self._check_outputs(n_outputs)
        changes = check_augmentation(self.augmentation)
        data = self._open(images, changes, n_threads)
        if not goes_on:
            self._look_at(data)
        data.changes = self._with_colours(changes, data, anew=not goes_on)
        session = self._session(random_state, goes_on=goes_on, incremental=incremental)
        rows, validation = self._split(targets, sample_weight, random_state)
        batch_size = min(32 if self.batch_size == "auto" else self.batch_size, len(rows))
        loop = TrainingLoop(
            self._plan(session.parameters),
            data,
            self._objective(targets, sample_weight),
            rows,
            session.solver,
            make_schedule(self, n_images=len(rows), batch_size=batch_size, endless=incremental),
            make_options(
                self,
                batch_size=batch_size,
                n_threads=n_threads,
                max_epochs=1 if incremental else self.max_iter,
            ),
            validation=validation,
            state=session.state,
            average=session.average,
        )
        with ExitStack() as stack:
            if self.checkpoint is not None:
                described = self._describe(data, targets, sample_weight)
                loop.checkpoint = stack.enter_context(
                    Checkpoint(self.checkpoint, described, every=self._checkpoint_every)
                )
            parameters = self._run(loop, incremental=incremental)
        self._remember(loop, parameters)
        self._last = session if incremental else None

    def _check_combination(self, incremental: bool) -> None:
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.checkpoint is None:
            return
        if incremental:
            raise ValueError("partial_fit does not support checkpoint: pickle the estimator")
        if self.solver == "lbfgs":
            raise ValueError("checkpoint is not for solver='lbfgs', whose trainings are short")
        if not is_integer(self.random_state):
            raise ValueError(
                f"random_state={self.random_state!r} with a checkpoint: it must be an integer, so "
                "that another process draws the same numbers"
            )

    def _goes_on(self, incremental: bool) -> bool:
        return hasattr(self, "weights_") and (incremental or self.warm_start)

    def _check_outputs(self, n_outputs: int) -> None:
        found = self._network.architecture.shapes()[self._network.output]
        if found != (n_outputs,):
            raise ValueError(
                f"y asks for {n_outputs} outputs, and the network that goes on learning has "
                f"{found[0]}"
            )

    def _open(
        self,
        images: ImageInputs | np.ndarray,
        changes: Sequence[Augmentation],
        n_threads: int,
        *,
        held: int | None = None,
    ) -> ImageData:
        """The pixels of images, as the network wants them."""
        preprocessing = self._network.architecture.preprocessing
        if not isinstance(images, np.ndarray):
            return open_images(
                images,
                preprocessing,
                resize=self.resize,
                changes=changes,
                n_threads=n_threads,
                held=self._held if held is None else held,
            )
        size = preprocessing.crop_sides
        if images.shape[1:3] != size:
            raise ValueError(
                f"image_shape={self.image_shape!r}, and the network sees images of {size[0]} x "
                f"{size[1]}: rows of numbers are not resized"
            )
        return ImageData(images, size, changes, n_threads)

    def _look_at(self, data: ImageData) -> None:
        """Learn from the images what the network subtracts, and whether they are pixels."""
        self._sees_pixels = data.is_8_bit
        if isinstance(self.network, str | Architecture):
            return  # which has its own mean
        pixels = data.sample().astype(np.float64)
        mean, std = pixels.mean(axis=0), pixels.std(axis=0)
        std[std < 1e-6 * (1 + np.abs(mean))] = 1.0  # a channel that is the same everywhere
        net = self._network.architecture
        preprocessing = replace(
            net.preprocessing, mean=tuple(mean.tolist()), std=tuple(std.tolist())
        )
        self._network = replace(
            self._network, architecture=replace(net, preprocessing=preprocessing)
        )

    def _with_colours(
        self, changes: tuple[Augmentation, ...], data: ImageData, *, anew: bool
    ) -> tuple[Augmentation, ...]:
        """Tell changes of colours along which lines those of the first images vary."""
        found = []
        for change in changes:
            if isinstance(change, ColourShift) and change.components is None:
                if anew or self._colours is None:
                    self._colours = principal_colours(data.sample())
                change = replace(change, components=self._colours)
            found.append(change)
        return tuple(found)

    def _session(
        self, random_state: np.random.RandomState, *, goes_on: bool, incremental: bool
    ) -> Session:
        """What changes in a training: from the beginning, or where the last one ended."""
        if goes_on and incremental and self._last is not None:
            session = self._last
            session.state = replace(session.state.continued(), first_step=0)
            return session
        average = None if self.ema is None else AveragedParameters(self.ema)
        # L-BFGS has no solver of this kind; its steps are SciPy's
        solver = SGD() if self.solver == "lbfgs" else make_solver(self)
        if goes_on:
            parameters = {name: values.copy() for name, values in self.weights_.parameters.items()}
            return Session(parameters, solver, self._state.continued(), average)
        parameters = initial_parameters(self._network.architecture, random_state)
        seed = int(random_state.randint(2**31 - 1))
        return Session(parameters, solver, TrainingState(seed=seed), average)

    def _plan(self, parameters: Mapping[str, np.ndarray]) -> TrainingPlan:
        network = self._network
        return TrainingPlan(
            network.architecture,
            parameters,
            network.output,
            dropout=dropout_by_layer(network, self.dropout),
            exact=self.exact,
            batch_norm=self.batch_norm,
        )

    def _split(
        self,
        targets: np.ndarray,
        sample_weight: np.ndarray | None,
        random_state: np.random.RandomState,
    ) -> tuple[np.ndarray, Validation | None]:
        """Rows to train on, and what is validated on the others."""
        counts = np.ones(len(targets), bool) if sample_weight is None else sample_weight > 0
        rows = np.flatnonzero(counts)
        if len(rows) == 0:
            raise ValueError("all sample weights are 0: there is nothing to learn from")
        if not self.early_stopping or self.solver == "lbfgs":
            return rows, None
        labels = self._labels(targets[rows])
        train, held_back = split_rows(
            len(rows), self.validation_fraction, random_state, labels=labels
        )
        held_back = rows[held_back]
        weights = None if sample_weight is None else sample_weight[held_back]
        return rows[train], Validation(held_back, self._scorer(targets[held_back], weights))

    def _run(self, loop: TrainingLoop, *, incremental: bool) -> dict[str, np.ndarray]:
        if self.solver == "lbfgs":
            parameters, found = run_lbfgs(
                loop, max_iter=self.max_iter, max_evaluations=self.max_fun, tol=self.tol
            )
            converged = found.converged
        else:
            parameters = loop.run()
            is_timed = incremental or self.learning_rate in TIMED or loop.validation is not None
            converged = is_timed or loop.state.stopped != "max_iter"
        if not converged:
            warnings.warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return parameters

    def _describe(
        self, data: ImageData, targets: np.ndarray, sample_weight: np.ndarray | None
    ) -> dict[str, str]:
        """All that the result depends on, for a checkpoint."""
        described = {
            name: repr(value)
            for name, value in self.get_params(deep=False).items()
            if name not in _NO_MATTER
        }
        if isinstance(self.network, Architecture):
            described["network"] = to_text(self.network)
        described |= {
            "X": data.digest(),
            "y": digest_of(targets),
            "sample_weight": digest_of(sample_weight),
        }
        if self._goes_on(False):
            described["what was learned before"] = self.weights_.digest
        return described

    def _remember(self, loop: TrainingLoop, parameters: Mapping[str, np.ndarray]) -> None:
        """Set the attributes of a fitted estimator."""
        state = loop.state
        state.best = {}  # they are the result, if they are wanted
        for values in parameters.values():
            values.flags.writeable = False
        self.weights_ = Weights(self._network.architecture, dict(parameters), own_classes=True)
        self._state = state
        self.n_iter_ = state.epoch
        self.n_steps_ = state.n_steps
        self.loss_curve_ = state.losses
        self.loss_ = state.losses[-1] if state.losses else state.best_loss
        self.best_loss_: float | None = state.best_loss
        self.learning_rates_ = state.learning_rates
        self.step_losses_ = state.step_losses
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        if loop.validation is not None:
            self.validation_scores_ = state.validation_scores
            self.best_validation_score_ = state.best_score
            self.best_loss_ = None

    # use

    def _outputs(self, X: Any) -> np.ndarray:
        """Outputs of the network, (n, n_outputs), float32."""
        check_is_fitted(self)
        images = self._check_X(X, reset=False)
        n_threads = effective_n_threads(self.n_jobs)
        data = self._open(images, (), n_threads, held=0)
        return predictor(self.weights_, self._network.output, self.exact).run(data, n_threads)

    def to_transformer(self, layer: int | str | tuple = 7, **parameters: Any) -> DeCAFTransformer:
        """Make a transformer of the network that was learned.

        Its features are activations of a layer, for other tasks than the one that was learned.

        Parameters
        ----------
        layer : int, str or tuple of these, default=7
            As :class:`~sklearn_decaf.DeCAFTransformer` takes it: 7 is the last layer before the
            scores, 8 the scores; or names of layers, which ``weights_.architecture.layer_names``
            lists.
        **parameters
            Others of :class:`~sklearn_decaf.DeCAFTransformer`, such as ``cache``.

        Returns
        -------
        DeCAFTransformer
            It holds the weights. :func:`~sklearn_decaf.networks.save_weights` writes
            ``weights_`` to a file that any process can load.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If the network was trained on rows of floats, which are no pixels.
        """
        check_is_fitted(self)
        if not self._sees_pixels:
            raise ValueError(
                "the network was trained on rows of floats, and a transformer gives it pixels from "
                "0 to 255: train it on images, or on rows of uint8"
            )
        weights = self.weights_
        defaults = {"resize": self.resize, "dropout": False}
        return DeCAFTransformer(layer, weights=weights, **{**defaults, **parameters})

    def __getstate__(self) -> dict[str, Any]:
        return paths_as_text(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(paths_from_text(state))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None
        return tags
