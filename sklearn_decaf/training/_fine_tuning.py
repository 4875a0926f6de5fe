"""How a network is fine-tuned: the parts of the estimator that its users do not call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._cache.activation_cache import ActivationCache
from .._cache.rows import compute_rows
from .._features.network import NetworkOnImages
from .._features.recipe import Recipe
from .._utils.parallel import effective_n_threads
from .._utils.progress import Progress
from ..images._estimator import ImageInputMixin
from ..images._inputs import ImageInputs, SelectedImages
from ..networks.architecture import INPUT
from ._augmentation import Augmentation, Mirror, check_augmentation
from ._class_scores import accuracy
from ._frozen_pipeline import FrozenPipeline, compare_pipelines, fit_pipeline
from ._head import Head, with_head
from ._images import ImageData, read_images
from ._loop import LoopOptions, Objective, TrainingLoop
from ._losses import multinomial_logistic
from ._schedules import Constant, Cosine
from ._solvers import AdamW, Solver
from ._state import TrainingState
from ._trainable import check_trainable
from ._tuning import TunedNetwork, Tuning, forward_plan, plan_tuning, tuned_network
from ._validation import Validation
from ._views import CachedViews

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._utils.types import FilePath, Images

_READ_AT_ONCE = 32  # images that a thread decodes and holds at a time
_PREDICT_AT_ONCE = 512  # images whose activations are in memory at a time


@dataclass(frozen=True)
class Prepared:
    """Images, and what was computed of them before the training.

    Attributes
    ----------
    images : ImageInputs
    tuning : Tuning
    recipe : Recipe
        What is in the rows.
    rows : ndarray of shape (n, d)
        Activations of the cut, and features that heads may read.
    changes : tuple of Augmentation
        Of images that are learned from.
    """

    images: ImageInputs
    tuning: Tuning
    recipe: Recipe
    rows: np.ndarray
    changes: tuple[Augmentation, ...]

    @property
    def features(self) -> dict[str, np.ndarray]:
        """The features of each layer that the head may read, (n, d)."""
        return {
            head.layer: self.tuning.features(self.rows, self.recipe, head.layer)
            for head in self.tuning.heads
        }

    def data(self, head: Head, n_threads: int) -> CachedViews | ImageData:
        """What the training takes its batches from: activations, or pixels."""
        if self.tuning.cut != INPUT:
            return CachedViews(self.tuning.views(self.rows, self.recipe, head))
        cuts = any(change.cuts for change in self.changes)
        reader = self.recipe.reader(self.images, uncropped=cuts)
        size = self.tuning.net.preprocessing.crop_sides
        return read_images(reader, size, self.changes, n_threads)


class FineTuning(NetworkOnImages, ImageInputMixin, BaseEstimator):
    """Base of estimators that train a known network further.

    What they know after a fit is in `parameters_` and what comes with it. `_network_now` is the
    network that follows from it; it is made when needed, and no pickle has it. `_solver` and
    `_state` are what a training on a stream remembers.
    """

    trainable: str | Sequence[str]
    layer: int | str
    scaling: Literal["auto", "l2"] | None
    max_iter: int
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    alpha: float
    augmentation: str | Augmentation | Sequence[str | Augmentation] | None
    dropout: float | Literal["auto"]
    label_smoothing: float
    n_iter_no_change: int
    tol: float
    cache: FilePath | ActivationCache | None
    n_jobs: int | None
    verbose: bool | int

    validation_scores_: list[float] | None
    best_validation_score_: float | None
    best_epoch_: int
    classes_: np.ndarray
    layer_: str
    scaling_: str | None
    C_: float
    parameters_: dict[str, np.ndarray]
    _network_now: TunedNetwork
    _solver: Solver
    _state: TrainingState

    # Networks ----------------------------------------------------------------------------------

    def _needed_layers(self) -> list[str]:
        return [head.layer for head in self._tuning().heads]

    def _tuning(self) -> Tuning:
        check_trainable(self.trainable)
        return plan_tuning(self._network().architecture, self.trainable, self.layer, self.scaling)

    def _tuned(self) -> TunedNetwork:
        """The network as it is now."""
        check_is_fitted(self)
        if "_network_now" not in vars(self):  # it comes out of a pickle
            self._network_now = self._make_network()
        return self._network_now

    def _make_network(self) -> TunedNetwork:
        weights, tuning = self._network(), self._tuning()
        made = with_head(weights.architecture, self._head, len(self.classes_))
        return tuned_network(weights, tuning, made, self.parameters_)

    @property
    def _head(self) -> Head:
        return Head(self.layer_, self.scaling_)

    # Training ----------------------------------------------------------------------------------

    def _begin_fit(self) -> None:
        effective_n_threads(self.n_jobs)  # raises
        for name in ("parameters_", "_network_now", "_state", "_solver"):
            self.__dict__.pop(name, None)
        self._remember_weights()

    def _changes(self, tuning: Tuning) -> tuple[Augmentation, ...]:
        """How images that are learned from are changed."""
        from_pixels = tuning.cut == INPUT
        if self.augmentation == "auto":
            return check_augmentation(("resized_crop", "mirror") if from_pixels else "mirror")
        changes = check_augmentation(self.augmentation)
        if not from_pixels and changes not in ((), (Mirror(),)):
            raise ValueError(
                f"augmentation={self.augmentation!r} with trainable={self.trainable!r}: where "
                f"training begins from activations, images are mirrored ('mirror') or not (None)."
            )
        return changes

    def _prepare(self, images: ImageInputs, heads: Sequence[Head] | None = None) -> Prepared:
        """Compute what the training begins from; of certain heads, or of all that may be chosen."""
        tuning = self._tuning()
        changes = self._changes(tuning)
        recipe = self._recipe_for(
            self._network(),
            *tuning.read_layers(heads),
            with_mirror=tuning.cut != INPUT and bool(changes),
        )
        return Prepared(images, tuning, recipe, self._rows(images, recipe), changes)

    def _choose(
        self,
        prepared: Prepared,
        rows: np.ndarray,
        targets: np.ndarray,
        shares: np.ndarray | None,
        random_state: np.random.RandomState | int,
    ) -> tuple[FrozenPipeline, FrozenPipeline]:
        """The best frozen pipeline of some rows, and the one that the training starts from.

        Where layers below the head are trained, the head reads the last of the layers that it may
        read: what is above the others is worth more trained than gone.
        """
        features = {layer: values[rows] for layer, values in prepared.features.items()}
        targets, shares = targets[rows], None if shares is None else shares[rows]
        heads, n_classes = prepared.tuning.heads, len(self.classes_)
        choices = compare_pipelines(
            features, heads, targets, C=self.C, sample_weight=shares, random_state=random_state
        )
        best = start = fit_pipeline(features, choices[0], targets, n_classes, shares)
        if prepared.tuning.trainable and best.choice.head.layer != heads[0].layer:
            own = next(choice for choice in choices if choice.head.layer == heads[0].layer)
            start = fit_pipeline(features, own, targets, n_classes, shares)
        return best, start

    def _take_pipeline(self, frozen: FrozenPipeline) -> None:
        """Make a frozen pipeline the result."""
        head = frozen.choice.head
        made = with_head(self._network().architecture, head, len(self.classes_))
        self.layer_, self.scaling_, self.C_ = head.layer, head.scaling, frozen.choice.C
        self.parameters_ = {
            f"{made.scores}.kernel": frozen.kernel,
            f"{made.scores}.bias": frozen.bias,
        }
        self._network_now = self._make_network()

    def _train(
        self,
        prepared: Prepared,
        targets: np.ndarray,
        shares: np.ndarray | None,
        rows: np.ndarray,
        state: TrainingState,
        *,
        validation: Validation | None = None,
        n_epochs: int | None = None,
    ) -> None:
        """Train the network as it is now, and keep what comes out.

        With `n_epochs`, at a constant rate, since nobody knows how many more will follow.
        """
        network = self._tuned()
        net = network.weights.architecture
        now = network.weights.parameters
        parameters = {**now, **{name: now[name].copy() for name in network.trained}}
        plan = network.plan(parameters, dropout=self._dropout(network), exact=bool(self.exact))
        once = n_epochs is not None
        n_epochs = self.max_iter if n_epochs is None else n_epochs
        n_steps = n_epochs * -(-len(rows) // self.batch_size)
        rate = self.learning_rate_init
        constant = once or self.learning_rate == "constant"
        if "_solver" not in vars(self):
            self._solver = AdamW(weight_decay=self.alpha)
        n_threads = effective_n_threads(self.n_jobs)
        loop = TrainingLoop(
            plan,
            prepared.data(self._head, n_threads),
            Objective(
                partial(multinomial_logistic, label_smoothing=self.label_smoothing),
                targets,
                shares,
            ),
            rows,
            self._solver,
            Constant(rate) if constant else Cosine(rate, n_steps),
            LoopOptions(
                batch_size=self.batch_size,
                max_epochs=n_epochs,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                stop_on_loss=False,
                validate_first=True,
                n_threads=n_threads,
                label=type(self).__name__,
                verbose=bool(self.verbose),
            ),
            validation=validation,
            state=state,
        )
        result = loop.run()
        state.best = {}
        self.n_iter_ = state.epoch
        self.loss_curve_ = state.losses
        self.step_losses_ = state.step_losses
        self.learning_rates_ = state.learning_rates
        self.validation_scores_ = None if validation is None else state.validation_scores
        self.best_validation_score_ = None if validation is None else state.best_score
        self.best_epoch_ = state.epoch if validation is None else state.best_epoch
        self.trained_layers_ = network.trainable
        self.cut_layer_ = network.start
        of_head = net.layer_parameter_shapes(network.scores)
        kept = of_head if self.best_epoch_ == 0 else network.trained
        self.parameters_ = {name: result[name] for name in kept}
        self._network_now = self._make_network()

    def _train_and_validate(
        self,
        prepared: Prepared,
        best: FrozenPipeline,
        start: FrozenPipeline,
        targets: np.ndarray,
        shares: np.ndarray | None,
        rows: tuple[np.ndarray, np.ndarray],
        state: TrainingState,
    ) -> None:
        """Train, and keep what predicts the images that were held back best.

        That is an epoch if it is better than both frozen pipelines, and else the better one of
        these, fitted to all images.
        """
        train, held_back = rows
        weights = None if shares is None else shares[held_back]
        score = partial(accuracy, targets[held_back], weights)
        features = prepared.features
        frozen_score = score(
            best.scores({layer: values[held_back] for layer, values in features.items()})
        )
        validation = Validation(held_back, score)
        self._train(prepared, targets, shares, train, state, validation=validation)
        scores = state.validation_scores
        if max(frozen_score, scores[0]) >= max(scores):
            choice = (best if frozen_score >= scores[0] else start).choice
            self._take_pipeline(fit_pipeline(features, choice, targets, len(self.classes_), shares))
            self.best_epoch_ = 0
        scores[0] = max(frozen_score, scores[0])
        self.validation_scores_, self.best_validation_score_ = scores, max(scores)

    def _dropout(self, network: TunedNetwork) -> dict[str, float]:
        p = 0.5 if self.dropout == "auto" else float(self.dropout)
        net = network.weights.architecture
        fixed = {layer.name for layer in net.ancestors([network.start])} | {network.start}
        return {name: p for name in sorted(net.dropout_layers) if p and name not in fixed}

    # Images ------------------------------------------------------------------------------------

    def _rows(self, images: ImageInputs, recipe: Recipe, *, keep: bool = True) -> np.ndarray:
        """Activations of all images, (n, d)."""
        progress = Progress(len(images), type(self).__name__, enabled=bool(self.verbose))
        rows, _ = compute_rows(
            images,
            recipe,
            self._located(self.cache) if keep else None,
            batch_size=_READ_AT_ONCE,
            n_threads=effective_n_threads(self.n_jobs),
            on_error="raise",
            count=progress.update,
        )
        return rows

    def _scores(self, X: Images) -> np.ndarray:
        """The class scores, (n, n_classes)."""
        check_is_fitted(self)
        images = self._check_X(X, reset=False)
        self._check_kernels()
        network, tuning = self._tuned(), self._tuning()
        if network.start == INPUT:
            recipe = self._recipe_for(network.weights, (network.scores,), (None,))
            return self._rows(images, recipe, keep=False)
        head = self._head
        if tuning.cut:
            recipe = self._recipe_for(self._network(), (tuning.cut,), (None,))
        else:
            recipe = self._recipe_for(self._network(), (head.layer,), ("auto",))
        plan, n_threads = forward_plan(network), effective_n_threads(self.n_jobs)
        scores = np.empty((len(images), len(self.classes_)), np.float32)
        for first in range(0, len(images), _PREDICT_AT_ONCE):
            part = range(first, min(first + _PREDICT_AT_ONCE, len(images)))
            rows = self._rows(SelectedImages(images, part), recipe)
            (values,) = tuning.views(rows, recipe, head)
            scores[part.start : part.stop] = plan.forward(values, n_threads=n_threads)
        return scores

    # Copies, tags --------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_network_now", None)
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "parameters_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags
