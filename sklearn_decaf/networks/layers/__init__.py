"""Kinds of layers: what a layer of a network is, as data, and what it computes.

A layer says which inputs it reads, which shapes and parameters follow, what it computes (plain
NumPy, :meth:`Layer.forward`) and how many operations that takes. It holds no arrays. The engine
computes the same fast.

Shapes leave out the batch: a map is ``(h, w, c)``, rows, columns and channels; a vector is
``(c,)``. ``oh``, ``ow`` and ``oc`` are those of an output, ``kh`` and ``kw`` the sides of a
kernel, ``n`` counts images.
"""

from .activations import (
    ELU,
    GELU,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from .arithmetic import Add, Multiply
from .base import Layer, Pads, Shape
from .channels import ChannelShuffle, ChannelSlice, Concat, Identity
from .convolution import Conv
from .dense import Dense
from .global_pool import GlobalAveragePool, GlobalMaxPool
from .normalisation import LRN, BatchNorm, LayerNorm, Scale
from .pool import AveragePool, MaxPool
from .softmax import Softmax

#: All kinds of layers: each has a reference, an engine step, and tests.
KINDS: tuple[type[Layer], ...] = (
    Add,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv,
    Dense,
    ELU,
    GELU,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    LRN,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    SiLU,
    Sigmoid,
    Softmax,
    Tanh,
)

__all__ = [
    "KINDS",
    "Layer",
    "Pads",
    "Shape",
    "Add",
    "AveragePool",
    "BatchNorm",
    "ChannelShuffle",
    "ChannelSlice",
    "Concat",
    "Conv",
    "Dense",
    "ELU",
    "GELU",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LRN",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool",
    "Multiply",
    "PReLU",
    "ReLU",
    "Scale",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
