"""Hand-engineered image descriptors: what images were described with before networks.

The baselines of the DeCAF paper (Donahue et al. 2014, section 3) as transformers that take the
same images as :class:`~sklearn_decaf.DeCAFTransformer`, for comparisons or beside its features in
a :class:`~sklearn.pipeline.FeatureUnion`.
"""

from ._descriptors.gist import GISTTransformer
from ._descriptors.hog import HOGTransformer
from ._descriptors.llc import LLCTransformer

__all__ = ["GISTTransformer", "HOGTransformer", "LLCTransformer"]
