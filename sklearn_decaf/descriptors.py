"""Hand-engineered image descriptors, from the time before convolutional networks.

They were the baselines of the DeCAF paper (Donahue et al. 2014, section 3). Here they are
transformers that take the same images as :class:`~sklearn_decaf.DeCAFTransformer`, for comparisons
or, in a :class:`~sklearn.pipeline.FeatureUnion`, beside its features.
"""

from ._descriptors.gist import GISTTransformer
from ._descriptors.hog import HOGTransformer
from ._descriptors.llc import LLCTransformer

__all__ = ["GISTTransformer", "HOGTransformer", "LLCTransformer"]
