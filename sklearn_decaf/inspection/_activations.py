"""Displays of the filters of a first layer, and of a layer's maps of a photograph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from .._utils.validation import is_integer
from ..images import read_image, resize_and_crop
from ..networks.architecture import INPUT
from ..networks.layers import Conv
from ._find import check_one_image, find_transformer
from ._plotting import get_axes, import_pyplot, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from typing_extensions import Self

    from .._utils.types import ImageLike


def _enlarge(pictures: np.ndarray, least: int) -> np.ndarray:
    """Repeat the pixels of pictures (n, h, w, 3) until they are at least so high."""
    factor = -(-least // pictures.shape[1])
    return pictures.repeat(factor, axis=1).repeat(factor, axis=2)


class FilterDisplay:
    """Filters of a network's first layer, as small pictures.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, height, width, 3)
        Weights of red, green and blue.
    layer : str, default=None
        Name of the layer, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that the last :meth:`plot` drew on.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    ActivationDisplay : The maps of any layer for a photograph.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.inspection import FilterDisplay
    >>> display = FilterDisplay.from_estimator(DeCAFTransformer(weights="squeezenet1_1"))
    >>> display.filters.shape
    (64, 3, 3, 3)
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, filters: np.ndarray, *, layer: str | None = None) -> None:
        self.filters = filters
        self.layer = layer

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | None = None, **plot_parameters: Any
    ) -> Self:
        """Take the filters from a transformer's weights and draw them.

        Parameters
        ----------
        estimator : DeCAFTransformer or estimator with one inside
            The transformer, or a pipeline, fitted search or the like that it is a part of.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : FilterDisplay
            Its filters are upright, with the channels red, green and blue, also where the network
            reads photographs in another way.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            If `estimator` has no DeCAFTransformer inside, or several.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)  # before the computation
        transformer = find_transformer(estimator, caller)
        weights = transformer._network()
        architecture = weights.architecture
        first = [
            layer
            for layer in architecture.layers
            if isinstance(layer, Conv) and architecture.inputs(layer.name) == (INPUT,)
        ]
        if len(first) != 1:
            raise ValueError(
                f"{architecture.name} has {len(first)} convolutions that read the photograph; one "
                "is expected, whose filters can be drawn"
            )
        (layer,) = first
        filters = weights.parameters[f"{layer.name}.kernel"].transpose(3, 0, 1, 2)  # (n, k, k, 3)
        if architecture.preprocessing.channel_order == "bgr":
            filters = filters[..., ::-1]
        if architecture.preprocessing.flip_vertical:
            filters = filters[:, ::-1]
        return cls(filters, layer=layer.name).plot(ax=ax, **plot_parameters)

    def plot(
        self, ax: Axes | None = None, *, n_columns: int | None = None, share_scale: bool = False
    ) -> Self:
        """Draw the filters side by side; grey is a weight of 0.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        n_columns : int, default=None
            Filters in a row; None makes about a square.
        share_scale : bool, default=False
            Draw all filters at one scale, which shows that some are weak; otherwise each is drawn
            at its own.

        Returns
        -------
        self : FilterDisplay
            The display, with `ax_` and `figure_`.
        """
        filters = np.asarray(self.filters)
        ax = get_axes(self, ax, figsize=(5, 5))
        axes = None if share_scale else (1, 2, 3)
        largest = np.abs(filters).max(axis=axes, keepdims=True)
        pictures = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)
        pictures = _enlarge(pictures, 32)
        ax.imshow(tile(pictures, n_columns, gap=4), interpolation="nearest")
        ax.set_axis_off()
        name = "" if self.layer is None else f" of {self.layer}"
        ax.set_title(f"{len(filters)} filters{name}")
        return self


def _choose_channels(maps: np.ndarray, channels) -> np.ndarray:
    """Choose the channels to draw: the given ones, or those with the highest peaks."""
    n = maps.shape[2]
    if is_integer(channels) and channels > 0:
        return np.argsort(-maps.max(axis=(0, 1)), kind="stable")[:channels]
    chosen = np.asarray(channels)
    good = chosen.ndim == 1 and len(chosen) > 0 and chosen.dtype.kind in "iu"
    if not good or chosen.min() < 0 or chosen.max() >= n:
        raise ValueError(
            f"channels={channels!r}: it must be how many to draw, or which: integers from 0 to "
            f"{n - 1}."
        )
    return chosen.astype(np.intp)


class ActivationDisplay:
    """Maps of a layer for a photograph, which show where each channel is active.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    maps : ndarray of shape (height, width, n_channels)
        Activations.
    layer : str, default=None
        Name of the layer, for the title.
    photograph : ndarray of shape (height, width, 3), default=None
        Photograph as the network got it, drawn as the first picture.

    Attributes
    ----------
    channels_ : ndarray of int
        Channels that the last :meth:`plot` drew, in its order.
    ax_ : matplotlib Axes
        Axes that the last :meth:`plot` drew on.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_sample_image
    >>> from sklearn_decaf import DeCAFTransformer
    >>> from sklearn_decaf.inspection import ActivationDisplay
    >>> display = ActivationDisplay.from_estimator(
    ...     DeCAFTransformer(), load_sample_image("china.jpg"), layer="block3"
    ... )
    >>> display.maps.shape
    (56, 56, 24)
    >>> plt.show()
    """

    ax_: Axes
    figure_: Figure

    def __init__(
        self, maps: np.ndarray, *, layer: str | None = None, photograph: np.ndarray | None = None
    ) -> None:
        self.maps = maps
        self.layer = layer
        self.photograph = photograph

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        image: ImageLike,
        *,
        layer: int | str | None = None,
        ax: Axes | None = None,
        **plot_parameters: Any,
    ) -> Self:
        """Compute a photograph's maps and draw them.

        Parameters
        ----------
        estimator : DeCAFTransformer or estimator with one inside
            The transformer, or a pipeline, fitted search or the like that it is a part of.
        image : image
            One image: a path, encoded bytes, a PIL image or an array.
        layer : int or str, default=None
            The layer; None is the transformer's own, the first of several.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        **plot_parameters : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ActivationDisplay
            The display, which is drawn already.

        Raises
        ------
        ImageError
            If the image cannot be read.
        ImportError
            If matplotlib is not installed.
        TypeError
            If `estimator` has no DeCAFTransformer inside.
        ValueError
            If the layer's output is a vector and not a map, or `image` is not one image.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)  # before the computation
        transformer = find_transformer(estimator, caller)
        if layer is None:
            layer = transformer.layer
            layer = layer[0] if isinstance(layer, tuple | list) else layer
        weights = transformer._network()
        architecture = weights.architecture
        name = architecture.resolve(layer)
        shape = architecture.shapes()[name]
        if len(shape) != 3:
            maps = [n for n, s in architecture.shapes().items() if len(s) == 3]
            raise ValueError(
                f"layer={layer!r}: it must be a layer with maps; {name} of {architecture.name} "
                f"gives a vector of {shape[0]} values. The last layer with maps is {maps[-1]!r}."
            )
        plain = clone(transformer).set_params(
            layer=name, pooling=None, dropout=False, ten_crop=False, image_shape=None
        )
        plain.set_output(transform="default")
        photograph = read_image(
            check_one_image(image),
            exif_transpose=transformer.exif_transpose,
            max_pixels=transformer.max_pixels,
        )
        maps = plain.transform([photograph])[0].reshape(shape)
        if architecture.preprocessing.flip_vertical:
            maps = maps[::-1]
        seen = resize_and_crop(
            photograph,
            size=architecture.preprocessing.resize,
            crop=architecture.preprocessing.crop,
            resize=transformer.resize,
            upside_down=architecture.preprocessing.flip_vertical,
        )
        return cls(maps, layer=name, photograph=seen).plot(ax=ax, **plot_parameters)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        channels: int | ArrayLike = 15,
        n_columns: int | None = None,
        cmap: str | Colormap = "magma",
        share_scale: bool = False,
    ) -> Self:
        """Draw maps side by side, after the photograph.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes new ones.
        channels : int or array-like of int, default=15
            Indices of the channels to draw. A number n draws the n channels with the highest
            peaks, the highest first.
        n_columns : int, default=None
            Pictures in a row; None makes about a square.
        cmap : str or Colormap, default="magma"
            Colours from the smallest to the largest value.
        share_scale : bool, default=False
            Draw all maps at one scale; otherwise each is drawn at its own.

        Returns
        -------
        self : ActivationDisplay
            The display, with `channels_`, `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If a channel is not there.
        """
        from PIL import Image

        maps = np.asarray(self.maps)
        self.channels_ = _choose_channels(maps, channels)
        ax = get_axes(self, ax, figsize=(6, 6))
        chosen = maps[..., self.channels_].transpose(2, 0, 1)  # (n, h, w)
        axes = None if share_scale else (1, 2)
        low, high = chosen.min(axis=axes, keepdims=True), chosen.max(axis=axes, keepdims=True)
        scaled = (chosen - low) / np.where(high > low, high - low, 1)
        from matplotlib import colormaps

        colored = colormaps.get_cmap(cmap)(scaled)[..., :3]  # (n, h, w, 3)
        colored = _enlarge(colored, 96)  # the photograph beside them has to be recognised
        if self.photograph is not None:
            size = (colored.shape[2], colored.shape[1])
            small = Image.fromarray(self.photograph).resize(size, Image.Resampling.BILINEAR)
            colored = np.concatenate([np.asarray(small)[None] / 255, colored])
        ax.imshow(tile(colored, n_columns, gap=3), interpolation="nearest")
        ax.set_axis_off()
        name = "" if self.layer is None else f" of {self.layer}"
        ax.set_title(f"{len(chosen)} of {maps.shape[2]} channels{name}")
        return self
