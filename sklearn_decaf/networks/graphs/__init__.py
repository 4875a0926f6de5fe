"""Networks that nobody knows, from what a file says about its layers.

ONNX models, caffemodels and the DeCAF pickles of 2013 describe their layers; here these become an
:class:`~sklearn_decaf.networks.Architecture` with parameters. Each kind of file has a translator,
which fills a :class:`~sklearn_decaf.networks.graphs.network.Network`.
"""

from .structure import Structure, read_structure

__all__ = ["Structure", "read_structure"]
