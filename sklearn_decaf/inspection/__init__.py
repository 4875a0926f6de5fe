"""Look into features, networks and classifiers: pictures in the manner of scikit-learn's displays.

Each ``...Display`` is made by ``from_estimator`` (or a sibling of it), draws itself on given or
new axes with ``plot``, and keeps what it drew with in attributes, so that it can be drawn again
without computing it again. Drawing needs matplotlib, ``sklearn-decaf[plot]``; what is computed
does not.
"""

from ._activations import ActivationDisplay, FilterDisplay
from ._clusters import cluster_quality, group_labels
from ._embedding import EmbeddingDisplay
from ._layer_time_display import LayerTimeDisplay
from ._layer_times import LayerTimes, layer_times
from ._occlusion import OcclusionDisplay, occlusion_map

__all__ = [
    "ActivationDisplay",
    "EmbeddingDisplay",
    "FilterDisplay",
    "LayerTimeDisplay",
    "LayerTimes",
    "OcclusionDisplay",
    "cluster_quality",
    "group_labels",
    "layer_times",
    "occlusion_map",
]
