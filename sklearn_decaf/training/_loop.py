"""The training loop: epochs of shuffled mini-batches, validation, an end at the right time.

What happens in a step depends on the seed, the epoch and the step alone: a training that is taken
up again from a checkpoint, or that uses other numbers of threads, has the same bits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._utils.parallel import single_threaded_blas
from .._utils.work_ahead import work_ahead
from ..networks.engine.training import TrainingPlan
from ._averaging import AveragedParameters
from ._by_layer import ByLayer
from ._checkpoints import Checkpoint
from ._clipping import clip_by_norm
from ._data import TrainingData
from ._divergence import ADVICE, Diverged, check_loss, find_layer
from ._epoch_progress import EpochProgress
from ._penalties import penalise
from ._schedules import Adaptive, Constant
from ._solvers import Solver
from ._state import Arrays, TrainingState
from ._validation import Validation, outputs_of


@dataclass(frozen=True)
class Objective:
    """What is to be made small: a loss, and what the outputs should be.

    Attributes
    ----------
    loss : callable
        One of `_losses`, options filled in.
    targets : ndarray of shape (n, ...)
        Of all rows of the data.
    sample_weight : ndarray of shape (n,), optional
        Of all rows.
    """

    loss: Callable[..., tuple[float, np.ndarray]]
    targets: np.ndarray
    sample_weight: np.ndarray | None = None

    def of_batch(self, rows: np.ndarray, mean_weight: float) -> Callable:
        """Return the loss of a batch, as the plan calls it for each group of its images."""

        def compute(outputs: np.ndarray, part: slice) -> tuple[float, np.ndarray]:
            own = rows[part]
            weights = None if self.sample_weight is None else self.sample_weight[own]
            return self.loss(
                outputs,
                self.targets[own],
                sample_weight=weights,
                # not the sum of its own weights: a batch of light images counts less
                total_weight=len(rows) * mean_weight,
            )

        return compute

    def mean_weight(self, rows: np.ndarray) -> float:
        """Return the mean weight of rows."""
        return 1.0 if self.sample_weight is None else float(self.sample_weight[rows].mean())


@dataclass(frozen=True)
class LoopOptions:
    """How a training goes.

    Attributes
    ----------
    batch_size : int
    max_epochs : int
        Of this call; those of earlier calls do not count.
    shuffle : bool
        Whether each epoch has another order.
    tol, n_iter_no_change : float, int
        A training ends when so many epochs in a row and one more did not bring the validation
        score up, or the loss down, by `tol`.
    stop_on_loss : bool
        Whether it ends by the loss, where there is no validation.
    validate_first : bool
        Whether the parameters that it begins with are a candidate of the validation.
    l1, l2 : float or dict of str to float
        Penalties, see `_penalties`.
    max_norm : float
        Of all gradients together; larger ones are scaled down.
    n_threads : int
    label : str
        Name in the progress.
    verbose : bool
    """

    batch_size: int = 32
    max_epochs: int = 200
    shuffle: bool = True
    tol: float = 1e-4
    n_iter_no_change: int = 10
    stop_on_loss: bool = True
    validate_first: bool = False
    l1: ByLayer = 0.0
    l2: ByLayer = 0.0
    max_norm: float = math.inf
    n_threads: int = 1
    label: str = "training"
    verbose: bool = False


class TrainingLoop:
    """A training of the parameters of a plan, which change in place.

    Parameters
    ----------
    plan : TrainingPlan
    data : TrainingData
    objective : Objective
    rows : ndarray of int
        Rows of the data to train on.
    solver : Solver
        Goes on from what it remembers.
    schedule : callable
        One of `_schedules`.
    options : LoopOptions
    validation : Validation, optional
        Without it, the last parameters are the result; with it, the best ones.
    state : TrainingState, optional
        Where an earlier training was. Default: the beginning, with seed 0.
    average : AveragedParameters, optional
        With it, the averaged parameters are validated and are the result.
    checkpoint : Checkpoint, optional
        Where the training is kept, and taken up again.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        data: TrainingData,
        objective: Objective,
        rows: np.ndarray,
        solver: Solver,
        schedule: Constant | Adaptive,
        options: LoopOptions,
        *,
        validation: Validation | None = None,
        state: TrainingState | None = None,
        average: AveragedParameters | None = None,
        checkpoint: Checkpoint | None = None,
    ):
        if len(rows) == 0:
            raise ValueError("there are no images to train on")
        self.plan = plan
        self.data = data
        self.objective = objective
        self.rows = rows
        self.solver = solver
        self.schedule = schedule
        self.options = options
        self.validation = validation
        self.state = TrainingState() if state is None else state
        self.average = average
        self.checkpoint = checkpoint
        self.trained: Arrays = trained_parameters(plan)
        self._mean_weight = objective.mean_weight(rows)
        self._last_epoch = self.state.epoch + options.max_epochs

    def run(self) -> Arrays:
        """Train, and return the parameters that are the result.

        Ctrl-C ends the training early, with a warning, and so does a divergence after the first
        epoch.

        Returns
        -------
        dict of str to ndarray
            All parameters of the plan. Those that were not trained are its own arrays.

        Raises
        ------
        Diverged
            If the training diverges before any parameters were worth keeping.

        Warns
        -----
        ConvergenceWarning
            If it diverged, and the best parameters before that are the result.
        """
        state, diverged = self.state, False
        state.stopped = ""
        try:
            with single_threaded_blas():
                if self.checkpoint is not None:
                    self.checkpoint.restore(self)
                self.plan.refresh()
                self._begin()
                while not state.stopped:
                    self._run_epoch()
                    self._save(always=bool(state.stopped))
        except KeyboardInterrupt:
            state.stopped = "interrupted"
            warnings.warn(
                f"Training interrupted by the user after {state.n_steps} steps (epoch "
                f"{state.epoch + 1}): the estimator has the parameters of then.",
                stacklevel=2,
            )
        except Diverged as error:
            if not state.best:
                raise
            diverged, state.stopped = True, "diverged"
            kept = f"epoch {state.best_epoch}" if state.best_epoch else "before the first step"
            warnings.warn(
                f"{error} The best parameters so far, of {kept}, are kept.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self._result(diverged)

    def _begin(self) -> None:
        state, options = self.state, self.options
        if self.validation is None or not options.validate_first:
            return
        if state.n_steps == 0 and not state.validation_scores:
            self._keep_if_best(self._validate(), epoch=0)

    def _run_epoch(self) -> None:
        state, options = self.state, self.options
        order = self.rows
        if options.shuffle:
            order = state.generator("shuffle", state.epoch).permutation(self.rows)
        n_done = min(state.step * options.batch_size, len(order))
        progress = EpochProgress(
            options.label,
            state.epoch + 1,
            self._last_epoch,
            len(order),
            done=n_done,
            enabled=options.verbose,
        )
        for rows, inputs in self._batches(order):
            self._run_step(rows, inputs)
            n_done += len(rows)
            progress.step(len(rows), state.epoch_loss / n_done)
            self._save()
        loss = state.epoch_loss / len(order)
        progress.end(loss, self._end_epoch(loss))

    def _batches(self, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of an epoch that are not done yet."""
        state, size = self.state, self.options.batch_size
        epoch, first = state.epoch, state.step
        parts = [order[i : i + size] for i in range(0, len(order), size)][first:]

        def take(i: int, check: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
            rng = state.generator("batch", epoch, first + i)
            return parts[i], self.data.take(parts[i], epoch, rng)

        if getattr(self.data, "is_slow", False):
            yield from work_ahead(take, len(parts), n_threads=1, n_ahead=2)
        else:
            for i in range(len(parts)):
                yield take(i, lambda: None)

    def _run_step(self, rows: np.ndarray, inputs: np.ndarray) -> None:
        plan, state, options = self.plan, self.state, self.options
        draws = state.generator("dropout", state.epoch, state.step)
        with np.errstate(all="ignore"):  # what is not finite is found below
            loss, gradients = plan.gradients(
                inputs,
                self.objective.of_batch(rows, self._mean_weight),
                seed=int(draws.integers(2**31)),
                n_threads=options.n_threads,
            )
            loss += penalise(plan.parameters, gradients, l1=options.l1, l2=options.l2)
            problem = check_loss(loss, state.step_losses[0] if state.step_losses else loss)
            if not problem:
                try:
                    clip_by_norm(gradients, options.max_norm)
                except FloatingPointError:
                    problem = "the gradients are not finite"
            if problem:
                self._raise_diverged(problem, inputs, gradients)
            rate = self.schedule(state.n_steps - state.first_step)
            self.solver.update(plan.parameters, gradients, rate)
        plan.refresh()
        if self.average is not None:
            self.average.update(self.trained)
        state.epoch_loss += loss * len(rows)
        state.step += 1
        state.n_steps += 1
        state.step_losses.append(loss)
        state.learning_rates.append(rate)

    def _raise_diverged(
        self, problem: str, inputs: np.ndarray, gradients: Arrays, *, after: int = 1
    ) -> None:
        state = self.state
        where = find_layer(self.plan, inputs, gradients)
        raise Diverged(
            f"the training diverged at step {state.n_steps + after} (epoch {state.epoch + 1} of "
            f"{self._last_epoch}): {problem}; {where}. {ADVICE}"
        )

    def _end_epoch(self, loss: float) -> float | None:
        """Take note of an epoch, and decide whether to go on; return the validation score."""
        state, options = self.state, self.options
        for name, values in self.trained.items():
            if not np.isfinite(values).all():
                self._raise_diverged(f"{name!r} is not finite after it", np.zeros(1), {}, after=0)
        state.epoch += 1
        state.step, state.epoch_loss = 0, 0.0
        state.losses.append(loss)
        score = None if self.validation is None else self._validate()
        if score is None:
            worse = loss > state.best_loss - options.tol
            if loss < state.best_loss:
                self._keep(state.epoch)
        else:
            worse = score < state.best_score + options.tol
            self._keep_if_best(score, state.epoch)
        state.best_loss = min(state.best_loss, loss)
        state.n_no_change = state.n_no_change + 1 if worse else 0
        self._decide(loss if score is None else -score)
        return score

    def _decide(self, loss: float) -> None:
        state, options = self.state, self.options
        goes_by = "validation score" if self.validation is not None else "loss"
        if self.schedule.end_epoch(loss):
            state.stopped = "the learning rate became too small"
        elif isinstance(self.schedule, Adaptive):
            pass  # which counts itself
        elif state.n_no_change > options.n_iter_no_change and (
            options.stop_on_loss or self.validation is not None
        ):
            state.stopped = f"the {goes_by} did not improve"
        if not state.stopped and state.epoch >= self._last_epoch:
            state.stopped = "max_iter"

    def _validate(self) -> float:
        """Score the parameters, averaged ones if there are, and take note of it."""
        assert self.validation is not None
        own = None
        if self.average is not None and self.average.values:
            own = _copies(self.trained)
            self._assign(self.average.values)
        try:
            outputs = outputs_of(self.plan, self.data, self.validation.rows, self.options.n_threads)
        finally:
            if own is not None:
                self._assign(own)
        score = float(self.validation.score(outputs))
        self.state.validation_scores.append(score)
        return score

    def _assign(self, values: Arrays) -> None:
        for name, array in self.trained.items():
            array[...] = values[name]
        self.plan.refresh()

    def _keep_if_best(self, score: float, epoch: int) -> None:
        if score > self.state.best_score:
            self.state.best_score = score
            self._keep(epoch)

    def _keep(self, epoch: int) -> None:
        self.state.best = _copies(self._current())
        self.state.best_epoch = epoch

    def _current(self) -> Arrays:
        """The parameters as they are used: averaged, if they are."""
        if self.average is not None and self.average.values:
            return self.average.values
        return self.trained

    def _result(self, diverged: bool) -> Arrays:
        use_best = (self.validation is not None or diverged) and bool(self.state.best)
        chosen = self.state.best if use_best else _copies(self._current())
        return {**self.plan.parameters, **chosen}

    def _save(self, always: bool = False) -> None:
        if self.checkpoint is not None and (always or self.checkpoint.is_due()):
            self.checkpoint.save(self)


def trained_parameters(plan: TrainingPlan) -> Arrays:
    """Return the parameters that change while a plan is trained, by steps or by measuring."""
    return {
        key: plan.parameters[key]
        for name in plan.trainable
        for key in plan.architecture.layer_parameter_shapes(name)
    }


def _copies(arrays: Arrays) -> Arrays:
    return {name: values.copy() for name, values in arrays.items()}
