"""From the parameters of an estimator to the parts of a training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ._loop import LoopOptions
from ._schedules import Adaptive, Constant, Cosine, Inverse, Step
from ._solvers import SGD, Adagrad, Adam, AdamW, Solver

SOLVERS = ("adamw", "adam", "sgd", "adagrad", "lbfgs")
SCHEDULES = ("cosine", "constant", "step", "invscaling", "adaptive")
#: Schedules that know how long the training is: no loss that stands still ends it early.
TIMED = ("cosine", "step")


def make_solver(estimator: Any) -> Solver:
    """Make the solver of an estimator's parameters."""
    e = estimator
    moments = {"beta_1": e.beta_1, "beta_2": e.beta_2, "epsilon": e.epsilon}
    makers: dict[str, Callable[[], Solver]] = {
        "adamw": lambda: AdamW(weight_decay=e.alpha, layer_rates=e.layer_rates, **moments),
        "adam": lambda: Adam(layer_rates=e.layer_rates, **moments),
        "sgd": lambda: SGD(
            momentum=e.momentum,
            nesterov=e.nesterovs_momentum and e.momentum > 0,
            layer_rates=e.layer_rates,
        ),
        "adagrad": lambda: Adagrad(layer_rates=e.layer_rates),
    }
    return makers[e.solver]()


def make_schedule(
    estimator: Any, *, n_images: int, batch_size: int, endless: bool = False
) -> Constant | Adaptive:
    """Make the schedule of an estimator's parameters.

    Parameters
    ----------
    estimator : estimator
    n_images, batch_size : int
        Of an epoch, and of a step.
    endless : bool, default=False
        Whether nobody knows how long the training is: schedules that depend on it are constant.
    """
    e, rate = estimator, estimator.learning_rate_init
    per_epoch = math.ceil(n_images / batch_size)
    if endless and e.learning_rate in TIMED:
        return Constant(rate)
    makers: dict[str, Callable[[], Constant | Adaptive]] = {
        "constant": lambda: Constant(rate),
        "cosine": lambda: Cosine(rate, e.max_iter * per_epoch, warm_up=e.warm_up),
        "step": lambda: Step(rate, e.step_epochs * per_epoch, e.step_factor),
        # scikit-learn counts images
        "invscaling": lambda: Inverse(rate, speed=batch_size, power=e.power_t),
        "adaptive": lambda: Adaptive(rate, tol=e.tol, n_iter_no_change=e.n_iter_no_change),
    }
    return makers[e.learning_rate]()


def make_options(
    estimator: Any, *, batch_size: int, n_threads: int, max_epochs: int
) -> LoopOptions:
    """Make the options of the loop."""
    e = estimator
    return LoopOptions(
        batch_size=batch_size,
        max_epochs=max_epochs,
        shuffle=e.shuffle,
        tol=e.tol,
        n_iter_no_change=e.n_iter_no_change,
        stop_on_loss=e.learning_rate not in TIMED,
        l1=e.l1,
        l2=0.0 if e.solver == "adamw" else e.alpha,
        max_norm=math.inf if e.max_norm is None else e.max_norm,
        n_threads=n_threads,
        label=type(e).__name__,
        verbose=bool(e.verbose),
    )
