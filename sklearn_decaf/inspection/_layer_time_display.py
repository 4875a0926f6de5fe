"""Display of the times of layers, as in Figure 3 of the DeCAF paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._utils.validation import check_option
from ._find import find_transformer
from ._layer_times import layer_times
from ._plotting import get_axes, import_pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from sklearn.base import BaseEstimator
    from typing_extensions import Self

    from ._layer_times import LayerTimes

# in the order of their colours
_TYPES = (
    *("convolution", "fully connected", "depthwise convolution", "pooling", "normalisation"),
    *("relu", "add", "other", "softmax", "concat"),
)


class LayerTimeDisplay:
    """Bars of the times that layers, or types of layers, take.

    It is recommended to use :meth:`from_estimator`. The two kinds of pictures are Figures 3 (a)
    and (b) of the DeCAF paper [1]_.

    Parameters
    ----------
    times : LayerTimes
        Result of :func:`layer_times`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that the last :meth:`plot` drew on.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, section 3.3.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_decaf.inspection import LayerTimeDisplay, layer_times
    >>> times = layer_times("squeezenet1_1", layer="pool1", batch_size=1, n_repeats=1)
    >>> display = LayerTimeDisplay(times).plot(kind="type")
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, times: LayerTimes) -> None:
        self.times = times

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        batch_size: int | None = None,
        n_repeats: int = 5,
        ax: Axes | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Measure the times of a transformer's network and draw them.

        The machine should have nothing else to do meanwhile.

        Parameters
        ----------
        estimator : DeCAFTransformer or estimator with one inside
            The transformer, or a pipeline, fitted search or the like that it is a part of. Its
            layer (the deepest of several), weights, `exact` and `n_jobs` are used.
        batch_size : int, default=None
            Images computed together; None is the transformer's own.
        n_repeats : int, default=5
            Number of runs; their median counts.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LayerTimeDisplay
            The display, which is drawn already.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If `estimator` has no DeCAFTransformer inside, or several; or a number is not positive.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)  # before the long computation
        transformer = find_transformer(estimator, caller)
        layer, weights = transformer.layer, transformer._network()
        network = weights.architecture
        if isinstance(layer, tuple | list):
            order = list(network.layer_names)
            layer = max(layer, key=lambda one: order.index(network.resolve(one)))
        times = layer_times(
            weights,
            layer,
            batch_size=transformer.batch_size if batch_size is None else batch_size,
            n_jobs=transformer.n_jobs,
            n_repeats=n_repeats,
            exact=transformer.exact,
        )
        return cls(times).plot(ax=ax, **plot_parameters)

    def plot(
        self, ax: Axes | None = None, *, kind: Literal["layer", "type"] = "layer", n_labels: int = 8
    ) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        kind : {"layer", "type"}, default="layer"
            "layer" draws a bar for each step, in the order of the network; "type" draws a bar for
            each type of layer, with its share of the time and its rate.
        n_labels : int, default=8
            Number of the longest steps that get their names.

        Returns
        -------
        self : LayerTimeDisplay
            The display, with `ax_` and `figure_`.
        """
        check_option("kind", kind, ("layer", "type"))
        ax = get_axes(self, ax, figsize=(8, 4) if kind == "layer" else (6, 3.5))
        colors = self._type_colors()
        (self._plot_layers if kind == "layer" else self._plot_types)(ax, colors, n_labels)
        times = self.times
        total = 1000 * times.columns["seconds"].sum()
        threads = f"{times.n_threads} thread{'s' if times.n_threads > 1 else ''}"
        how = "" if times.backend == "engine" else ", plain NumPy"
        shown = f"{total:.0f}" if total >= 10 else f"{total:.2g}"
        ax.set_title(
            f"{times.network}: {shown} ms an image\nbatches of {times.batch_size}, {threads}{how}",
            fontsize="medium",
        )
        ax.spines[["top", "right"]].set_visible(False)
        return self

    def _type_colors(self):
        """Choose colours of the types, the same for all networks; the longest type is first."""
        from matplotlib import colormaps

        palette = colormaps["tab10"]
        types = self.times.by_type()["type"].tolist()
        rest = _TYPES.index("other")  # "input" among them
        return {kind: palette(_TYPES.index(kind) if kind in _TYPES else rest) for kind in types}

    def _plot_layers(self, ax, colors, n_labels):
        columns = self.times.columns
        milliseconds = 1000 * columns["seconds"]
        x = np.arange(len(milliseconds))
        for kind, color in colors.items():
            own = columns["type"] == kind
            ax.bar(x[own], milliseconds[own], width=0.85, color=color, label=kind)
        longest = np.argsort(-milliseconds)[:n_labels]
        for i in longest:
            ax.annotate(
                columns["step"][i],
                (i, milliseconds[i]),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                rotation=90,
                fontsize="x-small",
            )
        ax.set(xlabel="layers, in order", ylabel="ms an image", xticks=[])
        # room for the names, which stand on the bars
        characters = max((len(columns["step"][i]) for i in longest), default=0)
        ax.set_ylim(0, (milliseconds.max() or 1) * (1.05 + 0.035 * characters))
        ax.legend(frameon=False, fontsize="small")

    def _plot_types(self, ax, colors, n_labels):
        table = self.times.by_type()
        y = np.arange(len(table["type"]))
        milliseconds = 1000 * table["seconds"]
        ax.barh(y, milliseconds, color=[colors[kind] for kind in table["type"].tolist()])
        for i, (share, rate) in enumerate(zip(table["share"], table["gflops"])):
            rated = f", {rate:.0f} GFLOP/s" if rate >= 1 else ""
            ax.annotate(
                f"{100 * share:.0f} %{rated}" if share >= 0.005 else "< 1 %",
                (milliseconds[i], i),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
        ax.set_yticks(y, table["type"].tolist())
        ax.invert_yaxis()
        ax.margins(x=0.25)
        ax.set_xlim(left=0)
        ax.set_xlabel("ms an image")
