"""Display of features in the plane, as in Figures 1, 2 and 5 of the DeCAF paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.utils import check_consistent_length

from .._utils.labels import plain_labels
from ..images import check_images, read_image
from ._clusters import cluster_quality, group_labels, sortable_labels
from ._find import transform_with
from ._plotting import get_axes, import_pyplot
from ._projection import check_features, embed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from sklearn.utils import Bunch
    from typing_extensions import Self

    from .._utils.types import Hierarchy, Images, RandomState

_UNLABELLED = (0.75, 0.75, 0.75, 1.0)  # light grey


class EmbeddingDisplay:
    """Samples in the plane, as points or thumbnails; similar features lie close together.

    It is recommended to use :meth:`from_estimator` or :meth:`from_features`. Figures 1, 2 and 5 of
    the DeCAF paper [1]_ are such pictures.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, 2)
        Coordinates.
    labels : array-like of shape (n_samples,), default=None
        Labels, which are shown by colours; samples without one are grey.
    images : images, default=None
        Pictures for thumbnails, whatever :class:`~sklearn_decaf.DeCAFTransformer` takes.
    quality : Bunch, default=None
        Result of :func:`cluster_quality` for the features.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that the last :meth:`plot` drew on.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Donahue et al., "DeCAF: A Deep Convolutional Activation Feature for Generic Visual
       Recognition", ICML 2014, sections 3.2 and 4.2.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.datasets import load_sample_photos
    >>> from sklearn_decaf.inspection import EmbeddingDisplay
    >>> photos = load_sample_photos(subset="train")
    >>> names = photos.target_names[photos.target]
    >>> display = EmbeddingDisplay.from_estimator(
    ...     DeCAFTransformer(), photos.images, names, random_state=0
    ... )
    >>> display.embedding.shape
    (168, 2)
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        embedding: np.ndarray,
        *,
        labels: ArrayLike | None = None,
        images: Images | None = None,
        quality: Bunch | None = None,
    ) -> None:
        self.embedding = embedding
        self.labels = labels
        self.images = images
        self.quality = quality

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Images,
        y: ArrayLike | None = None,
        *,
        hierarchy: Hierarchy | None = None,
        level: int = 0,
        embedder: BaseEstimator | None = None,
        random_state: RandomState = None,
        thumbnails: bool = False,
        ax: Axes | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Compute features with a transformer, embed them and draw.

        Parameters
        ----------
        estimator : transformer or Pipeline
            A :class:`~sklearn_decaf.DeCAFTransformer`, another fitted transformer, or a fitted
            pipeline, whose last step is left out if it is a classifier. Of a fitted search, the
            best estimator is taken.
        X : images
            Images, in any form that `estimator` takes.
        y : array-like of shape (n_samples,), default=None
            Labels. Samples without one (None, NaN or NA) are drawn in grey.
        hierarchy : mapping, default=None
            Groups of the labels, for the colours and the quality. See :func:`group_labels`.
        level : int, default=0
            Index of the ancestor in `hierarchy`: 0 is the widest, -1 the narrowest.
        embedder : transformer, default=None
            Its ``fit_transform`` must return two columns. None: the first 50 principal components
            (if there are more features), then t-SNE. t-SNE takes seconds for a thousand samples
            and minutes for ten thousand.
        random_state : int, RandomState instance or None, default=None
            Seed of the default embedder. Pass an int for the same picture at every call.
        thumbnails : bool, default=False
            Draw the images of `X` instead of points.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            The display, which is drawn already; see :meth:`from_features`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `estimator` has no method ``transform`` and is no pipeline that begins with a
            transformer.
        ValueError
            If images cannot be read, or for the reasons of :meth:`from_features`.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)  # before the long computation
        return cls.from_features(
            transform_with(estimator, X, caller),
            y,
            hierarchy=hierarchy,
            level=level,
            embedder=embedder,
            random_state=random_state,
            images=X if thumbnails else None,
            ax=ax,
            **plot_parameters,
        )

    @classmethod
    def from_features(
        cls,
        features: ArrayLike,
        y: ArrayLike | None = None,
        *,
        hierarchy: Hierarchy | None = None,
        level: int = 0,
        embedder: BaseEstimator | None = None,
        random_state: RandomState = None,
        images: Images | None = None,
        ax: Axes | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Embed features and draw.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            Rows of any transformer.
        y : array-like of shape (n_samples,), default=None
            Labels. Samples without one (None, NaN or NA) are drawn in grey.
        hierarchy : mapping, default=None
            Groups of the labels, for the colours and the quality. See :func:`group_labels`.
        level : int, default=0
            Index of the ancestor in `hierarchy`: 0 is the widest, -1 the narrowest.
        embedder : transformer, default=None
            Its ``fit_transform`` must return two columns. None: the first 50 principal components
            (if there are more features), then t-SNE. t-SNE takes seconds for a thousand samples
            and minutes for ten thousand.
        random_state : int, RandomState instance or None, default=None
            Seed of the default embedder. Pass an int for the same picture at every call.
        images : images, default=None
            Pictures to draw instead of points.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            Its `quality` is that of the features, not of the embedding. It is None without labels,
            if all labels are the same, or if no two are.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `hierarchy` is no mapping, or labels cannot be sorted.
        ValueError
            If there are fewer than three samples, features are NaN or infinite, or `y` does not
            fit the features or the hierarchy.
        """
        import_pyplot(f"{cls.__name__}.from_features")  # before the long computation
        features = check_features(features)
        labels = None if y is None else sortable_labels(y)[0]
        if hierarchy is not None and not hasattr(hierarchy, "keys"):
            raise TypeError(
                f"hierarchy={hierarchy!r:.100}: it must be a mapping of each label to its group."
            )
        if labels is not None:
            check_consistent_length(features, labels)
            if hierarchy is not None:
                labels = group_labels(labels, hierarchy, level=level)
        elif hierarchy is not None:
            raise ValueError("hierarchy groups the labels in y, and y is None: pass y too.")
        quality = None
        if labels is not None:
            quality = _quality(features, labels)
        embedding = embed(features, embedder, random_state)
        display = cls(embedding, labels=labels, images=images, quality=quality)
        return display.plot(ax=ax, **plot_parameters)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str | Colormap | None = None,
        colors: Mapping[Any, Any] | None = None,
        marker_size: float = 12,
        thumbnail_size: int = 40,
        max_thumbnails: int | None = None,
        legend: bool | Literal["auto"] = "auto",
        show_quality: bool = True,
    ) -> Self:
        """Draw the samples.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        cmap : str or Colormap, default=None
            Colour map of the labels. None: "tab10", "tab20" or "turbo", depending on the number of
            labels.
        colors : mapping of label to colour, default=None
            Colours of some labels, instead of those of `cmap`.
        marker_size : float, default=12
            Area of a point, in points squared.
        thumbnail_size : int, default=40
            Longer side of a thumbnail, in points of 1/72 inch.
        max_thumbnails : int, default=None
            Largest number of thumbnails, evenly spread over the samples; the other samples are
            points.
        legend : bool or "auto", default="auto"
            Draw a legend of the labels; "auto" does so for up to 24 labels.
        show_quality : bool, default=True
            Write silhouette and k-NN accuracy of the features below the picture.

        Returns
        -------
        self : EmbeddingDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If the embedding does not have two columns, or the numbers of samples, labels and
            images differ.
        """
        ax = get_axes(self, ax, figsize=(7, 5.5))
        embedding = np.asarray(self.embedding)
        if embedding.ndim != 2 or embedding.shape[1] != 2:
            raise ValueError(
                "embedding must have two coordinates per sample, shape (n_samples, 2); got shape "
                f"{embedding.shape}."
            )
        point_colors, names = self._colors(cmap, colors, len(embedding))
        with_picture = self._draw_thumbnails(
            ax, embedding, point_colors, thumbnail_size, max_thumbnails
        )
        # in random order, or the last label would cover the others
        order = _random_order(len(embedding))
        order = order[~with_picture[order]]
        ax.scatter(*embedding[order].T, s=marker_size, c=point_colors[order], lw=0)
        ax.set(xticks=[], yticks=[])
        # thumbnails do not count for the limits
        ax.update_datalim(embedding)
        ax.margins(0.06)
        ax.autoscale_view()
        if names and (legend is True or (legend == "auto" and len(names) <= 24)):
            self._draw_legend(ax, names)
        if show_quality and self.quality is not None:
            ax.set_xlabel(
                f"silhouette {self.quality.silhouette:.2f}, "
                f"k-NN accuracy {100 * self.quality.knn_accuracy:.0f} %"
            )
        return self

    def _colors(self, cmap, colors, n):
        """Choose a colour for each sample, and one for each label."""
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if self.labels is None:
            return np.tile(plt.cm.tab10(0), (n, 1)), {}
        labels, labelled = sortable_labels(self.labels)
        check_consistent_length(np.empty(n), labels)
        classes, codes = np.unique(plain_labels(labels[labelled]), return_inverse=True)
        if cmap is None:
            cmap = "tab10" if len(classes) <= 10 else "tab20" if len(classes) <= 20 else "turbo"
        cmap = plt.get_cmap(cmap)
        listed = cmap.N <= 20
        positions = np.arange(len(classes))
        palette = cmap(positions % cmap.N if listed else positions / max(len(classes) - 1, 1))
        for i, label in enumerate(classes.tolist()):
            if colors is not None and label in colors:
                from matplotlib.colors import to_rgba

                palette[i] = to_rgba(colors[label])
        point_colors = np.tile(_UNLABELLED, (n, 1))
        point_colors[labelled] = palette[codes]
        return point_colors, dict(zip(classes.tolist(), palette))

    def _draw_thumbnails(self, ax, embedding, colors, size, max_thumbnails) -> np.ndarray:
        """Draw pictures at points; return which points have one."""
        drawn = np.zeros(len(embedding), bool)
        if self.images is None:
            return drawn
        from matplotlib.offsetbox import AnnotationBbox, OffsetImage

        images = check_images(self.images)
        if len(images) != len(embedding):
            raise ValueError(
                f"images must have one image per sample: got {len(images)} for {len(embedding)} "
                "samples."
            )
        n = len(images) if max_thumbnails is None else min(max_thumbnails, len(images))
        chosen = np.linspace(0, len(images) - 1, n).round().astype(int)
        for i in chosen[_random_order(n)]:
            image = read_image(images[int(i)])
            image.thumbnail((2 * size, 2 * size))  # twice as fine as 72 dots an inch
            picture = OffsetImage(np.asarray(image), zoom=size / max(image.size))
            frame = {"edgecolor": colors[i], "linewidth": 1.5, "boxstyle": "square,pad=0"}
            ax.add_artist(AnnotationBbox(picture, embedding[i], pad=0.0, bboxprops=frame, zorder=3))
            drawn[i] = True
        return drawn

    def _draw_legend(self, ax, names):
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], marker="o", ls="", color=color, label=str(name))
            for name, color in names.items()
        ]
        # beside the axes only where a layout makes room for it, or it would be cut off
        if ax.figure.get_layout_engine() is None:
            place = {"loc": "best", "framealpha": 0.8}
        else:
            place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False}
        ax.legend(handles=handles, handletextpad=0.2, fontsize="small", **place)


def _quality(features: np.ndarray, labels: np.ndarray):
    """Measure the quality of the features; None if no two labels are alike or no two differ."""
    labelled = sortable_labels(labels)[1]
    n = int(labelled.sum())
    if not 1 < len(np.unique(plain_labels(labels[labelled]))) < n:
        return None
    return cluster_quality(features, labels, n_neighbors=min(5, n - 1))


def _random_order(n: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(n)
