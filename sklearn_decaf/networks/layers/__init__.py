"""Kinds of layers, a module each: what a layer of a network is, as data, and what it computes.

A layer says which inputs it reads, which shapes and parameters follow, what it computes (plain
NumPy, :meth:`Layer.forward`) and how many operations that takes. It holds no arrays. The engine
computes the same fast.

Shapes leave out the batch: a map is ``(h, w, c)``, rows, columns and channels; a vector is
``(c,)``. ``oh``, ``ow`` and ``oc`` are those of an output, ``k`` is the side of a kernel, ``n``
counts images.
"""

from .add import Add
from .base import Layer, Pads, Shape
from .concat import Concat
from .convolution import Conv
from .dense import Dense
from .global_pool import GlobalAveragePool, GlobalMaxPool
from .local_response_norm import LRN
from .max_pool import MaxPool
from .relu import ReLU
from .softmax import Softmax

#: All kinds of layers. What is listed here has a reference, an engine step, and tests.
KINDS: tuple[type[Layer], ...] = (
    Add,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    GlobalMaxPool,
    LRN,
    MaxPool,
    ReLU,
    Softmax,
)

__all__ = [
    "KINDS",
    "LRN",
    "Add",
    "Concat",
    "Conv",
    "Dense",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Layer",
    "MaxPool",
    "Pads",
    "ReLU",
    "Shape",
    "Softmax",
]
