"""From the parameters of a transformer to its network: layers, columns, recipe, dropout."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.utils import check_random_state

from ..networks.features import FeatureBlock, Pooling, column_names, feature_blocks
from .dropout import drop_at_random, scale_down
from .input_sizes import at_input_size, check_crop
from .pickling import PickledByReference
from .recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._utils.types import RandomState
    from ..networks.weights.weights import Weights

DROPOUT = 0.5  # probability of a zero, as in the paper


class NetworkOnImages(PickledByReference):
    """Base of estimators that run a network on photographs: which network, on which pixels.

    The parameters are those of :class:`~sklearn_decaf.DeCAFTransformer` of the same names.
    """

    resize: Literal["warp", "crop"] | None
    resize_to: int | None
    crop: int | tuple[int, int] | None
    exif_transpose: bool
    exact: bool
    draft: bool
    max_pixels: int | None

    def _network(self, *, may_download: bool = False) -> Weights:
        """The weights, in a network for images of the wanted size."""
        if self.resize is None and self.resize_to is not None:
            raise ValueError(
                f"resize_to={self.resize_to!r} with resize=None, which resizes nothing: leave one "
                "of them out."
            )
        resize_to = None if self.resize_to is None else int(self.resize_to)
        weights, crop = self._weights(may_download=may_download), check_crop(self.crop)
        if self.resize is None and crop is not None:  # then it need not fit into anything
            rows_and_columns = crop if isinstance(crop, tuple) else (crop,)
            resize_to = max(weights.architecture.preprocessing.resize, *rows_and_columns)
        return at_input_size(weights, crop, resize_to)

    def _remember_weights(self) -> None:
        """Find the weights, download them if need be, and note their checksum.

        Raises
        ------
        WeightsError
            If they do not reach one of the needed layers.
        """
        self._forget_fit()
        self._remember_folders()
        weights = self._weights(may_download=True)
        self._network().require(self._needed_layers())
        self.weights_sha256_ = self._checksum(weights)

    def _needed_layers(self) -> Iterable[str]:
        raise NotImplementedError

    def _recipe_for(
        self,
        weights: Weights,
        layers: tuple[int | str, ...],
        pooling: Pooling,
        *,
        ten_crop: bool = False,
        with_mirror: bool = False,
    ) -> Recipe:
        """All that decides the values of these layers, of weights as `_network` gives them."""
        return Recipe(
            weights,
            layers,
            pooling,
            resize=self.resize,
            # NumPy's booleans are booleans too, but not to JSON
            ten_crop=bool(ten_crop),
            exif_transpose=bool(self.exif_transpose),
            exact=bool(self.exact),
            draft=bool(self.draft),
            max_pixels=None if self.max_pixels is None else int(self.max_pixels),
            with_mirror=with_mirror,
        )


class NetworkFeatures(NetworkOnImages):
    """Base of estimators with the parameters of :class:`~sklearn_decaf.DeCAFTransformer`."""

    layer: int | str | tuple[int | str, ...]
    dropout: bool | Literal["auto"]
    pooling: str | None
    ten_crop: bool
    random_state: RandomState

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the output columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
            Such as ``decaf6_0000`` for a layer given by number, ``pool5_0000`` for one given by
            name; class scores and probabilities end in the class: ``prob_0000_tench``, if the
            network was trained for those of ImageNet.
        """
        names = column_names(self._network(), self._blocks())
        return np.asarray(names, dtype=object)

    @property
    def _n_features_out(self) -> int:
        try:
            return self._blocks()[-1].columns.stop
        except (ValueError, TypeError) as error:  # dir() and hasattr() ask, whatever the parameters
            raise AttributeError(str(error)) from error

    def _layers(self) -> tuple[int | str, ...]:
        layers = tuple(self.layer) if isinstance(self.layer, tuple | list) else (self.layer,)
        for layer in layers:
            if isinstance(layer, bool) or not isinstance(layer, Integral | str):
                raise ValueError(
                    f"layer={self.layer!r}: it must be a number, a name or a tuple of these; "
                    f"found {layer!r}."
                )
        if not layers:
            raise ValueError("layer=(): it must name at least one layer.")
        return layers

    def _needed_layers(self) -> list[str]:
        return [block.name for block in self._blocks()]

    def _blocks(self) -> tuple[FeatureBlock, ...]:
        return feature_blocks(self._network().architecture, self._layers(), self.pooling)[1]

    def _recipe(self, *, may_download: bool = False) -> Recipe:
        self._check_kernels()
        return self._recipe_for(
            self._network(may_download=may_download),
            self._layers(),
            self.pooling,
            ten_crop=self.ten_crop,
        )

    def _has_dropout(self, block: FeatureBlock) -> bool:
        if self.dropout == "auto":
            return block.name in self._weights().architecture.dropout_layers
        return bool(self.dropout)

    def _apply_dropout(self, features: np.ndarray, *, training: bool) -> None:
        """Drop or scale, in place, the columns of the blocks that have dropout."""
        # test rows draw nothing
        random_state = check_random_state(self.random_state if training else 0)
        for block in filter(self._has_dropout, self._blocks()):
            columns = features[:, block.columns]
            if training:
                drop_at_random(columns, DROPOUT, random_state)
            else:
                scale_down(columns, DROPOUT)
