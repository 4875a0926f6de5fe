"""Pictures and measures of features, networks and classifiers, like scikit-learn's displays.

A class method such as ``from_estimator`` computes what a ``...Display`` shows and draws it;
``plot`` draws it again, on given or new axes, without computing it again. Drawing needs
matplotlib, ``sklearn-decaf[plot]``; the functions that only compute do not.
"""

from ._activations import ActivationDisplay, FilterDisplay
from ._clusters import cluster_quality, group_labels
from ._embedding import EmbeddingDisplay
from ._layer_time_display import LayerTimeDisplay
from ._layer_times import LayerTimes, layer_times
from ._learning_curve_display import LearningCurveDisplay
from ._occlusion import OcclusionDisplay, occlusion_map

__all__ = [
    "ActivationDisplay",
    "EmbeddingDisplay",
    "FilterDisplay",
    "LayerTimeDisplay",
    "LayerTimes",
    "LearningCurveDisplay",
    "OcclusionDisplay",
    "cluster_quality",
    "group_labels",
    "layer_times",
    "occlusion_map",
]
