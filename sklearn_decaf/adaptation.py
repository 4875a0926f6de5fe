"""Domain adaptation: classifiers for the images of one camera that learn from those of another.

All estimators follow one rule. `sample_domain` has one integer per row, ``>= 0`` for source rows
and ``< 0`` for target rows. A class label of -1, or a missing one (None, NaN, NA), means that a row
has none. Without `sample_domain`, `fit` takes the rows without a class label for target rows, and
`transform`, `predict` and `score` take all rows for target rows. The rule is skada's, so its
splitters and pipelines work with these estimators.

With metadata routing on (``sklearn.set_config(enable_metadata_routing=True)``) `sample_domain`
reaches every step of a pipeline or a search by itself. With routing off, pass it to a step of a
pipeline as ``pipeline.fit(X, y, <step>__sample_domain=sample_domain)``.
"""

from ._adaptation.augmentation import FeatureAugmentation, augmented_kernel
from ._adaptation.geodesic_flow_kernel import GeodesicFlowKernel, geodesic_flow_kernel
from ._adaptation.late_fusion import LateFusionClassifier
from ._adaptation.mmdt import MMDTClassifier
from ._adaptation.scaler import DomainScaler
from ._adaptation.subset import DomainSubsetClassifier
from ._adaptation.subspaces import subspace_disagreement

__all__ = [
    "DomainScaler",
    "DomainSubsetClassifier",
    "FeatureAugmentation",
    "GeodesicFlowKernel",
    "LateFusionClassifier",
    "MMDTClassifier",
    "augmented_kernel",
    "geodesic_flow_kernel",
    "subspace_disagreement",
]
