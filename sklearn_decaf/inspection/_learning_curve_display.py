"""Display of how a training went: losses, validation scores and learning rates over its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._find import inner_estimator
from ._plotting import get_axes, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from sklearn.base import BaseEstimator
    from typing_extensions import Self

LOSS, SCORE, RATE = "tab:blue", "tab:orange", "tab:gray"


class LearningCurveDisplay:
    """Losses, validation scores and learning rates of a training, over its epochs.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    losses : sequence of float
        One an epoch.
    validation_scores : sequence of float, default=None
        One an epoch, or one more: the first is then that of the parameters that the training began
        with.
    step_losses, learning_rates : sequence of float, default=None
        One a step; the steps are spread evenly over the epochs.
    best_epoch : int, default=None
        The epoch whose parameters were kept.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the losses that the last :meth:`plot` drew on.
    score_ax_, rate_ax_ : matplotlib Axes or None
        Axes on top of it, with scales of their own at the right.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores over the number of training samples.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_decaf.inspection import LearningCurveDisplay
    >>> display = LearningCurveDisplay([2.1, 0.9, 0.5], [0.4, 0.7, 0.75]).plot()
    >>> plt.show()
    """

    ax_: Axes
    score_ax_: Axes | None
    rate_ax_: Axes | None
    figure_: Figure

    def __init__(
        self,
        losses: Sequence[float],
        validation_scores: Sequence[float] | None = None,
        *,
        step_losses: Sequence[float] | None = None,
        learning_rates: Sequence[float] | None = None,
        best_epoch: int | None = None,
    ) -> None:
        self.losses = losses
        self.validation_scores = validation_scores
        self.step_losses = step_losses
        self.learning_rates = learning_rates
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | None = None, **plot_parameters: Any
    ) -> Self:
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`~sklearn_decaf.training.ConvNetClassifier`,
            :class:`~sklearn_decaf.training.ConvNetRegressor`,
            :class:`~sklearn_decaf.training.FineTunedClassifier`, an estimator of scikit-learn with
            `loss_curve_`, such as :class:`~sklearn.neural_network.MLPClassifier`, or a pipeline or
            fitted search that ends with one.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LearningCurveDisplay
            The display, which is drawn already.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator has no losses of epochs.
        NotFittedError
            If it is not fitted.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        trained = inner_estimator(estimator, last=True)
        check_is_fitted(trained)
        if not hasattr(trained, "loss_curve_"):
            raise TypeError(
                f"{cls.__name__}.from_estimator takes an estimator that keeps the loss of each "
                f"epoch in loss_curve_, such as ConvNetClassifier; got {estimator!r:.200}."
            )
        display = cls(
            trained.loss_curve_,
            getattr(trained, "validation_scores_", None),
            step_losses=getattr(trained, "step_losses_", None),
            learning_rates=getattr(trained, "learning_rates_", None),
            best_epoch=getattr(trained, "best_epoch_", None),
        )
        return display.plot(ax=ax, **plot_parameters)

    def plot(self, ax: Axes | None = None, *, log_loss: bool = False) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        log_loss : bool, default=False
            Whether losses are drawn on a logarithmic scale.

        Returns
        -------
        self : LearningCurveDisplay
            The display, with its axes and `figure_`.
        """
        ax = get_axes(self, ax, figsize=(6.5, 4))
        n = len(self.losses)
        lines = []
        if self.step_losses is not None and len(self.step_losses):
            at = _spread(len(self.step_losses), n)
            ax.plot(at, self.step_losses, color=LOSS, alpha=0.25, linewidth=0.8)
        lines += ax.plot(np.arange(1, n + 1), self.losses, color=LOSS, marker=".", label="loss")
        ax.set(xlabel="epoch", ylabel="loss")
        if log_loss:
            ax.set_yscale("log")
        else:
            ax.set_ylim(bottom=min(0, *self.losses) if n else 0)
        self.score_ax_ = self.rate_ax_ = None
        if self.validation_scores is not None and len(self.validation_scores):
            self.score_ax_ = own = ax.twinx()
            m = len(self.validation_scores)
            epochs = np.arange(n + 1 - m, n + 1)  # from 0 on, if there is one more
            lines += own.plot(
                epochs, self.validation_scores, color=SCORE, marker=".", label="validation score"
            )
            if self.best_epoch is not None and self.best_epoch in epochs:
                best = self.validation_scores[int(self.best_epoch - epochs[0])]
                own.plot(self.best_epoch, best, "o", color=SCORE, markersize=9, fillstyle="none")
            own.set_ylabel("validation score")
        if self.learning_rates is not None and len(self.learning_rates):
            self.rate_ax_ = own = ax.twinx()
            if self.score_ax_ is not None:
                own.spines["right"].set_position(("axes", 1.16))
            at = _spread(len(self.learning_rates), n)
            lines += own.plot(at, self.learning_rates, color=RATE, ls=":", label="learning rate")
            own.set_ylabel("learning rate")
            own.set_ylim(bottom=0)
        ax.legend(handles=lines, frameon=False, fontsize="small")
        ax.xaxis.get_major_locator().set_params(integer=True)
        return self


def _spread(n_steps: int, n_epochs: int) -> np.ndarray:
    """Return where steps lie among epochs: the last step ends the last epoch."""
    return np.arange(1, n_steps + 1) * (n_epochs / n_steps)
