"""Convolutions: the algorithm of each, its weights packed, and the calls that compute it.

`algorithm_choice` decides, `packing` arranges the weights, `group_size` says for how many images
they are best read at a time, and each algorithm has a module of its own: `depthwise`,
`matrix_product`, `patches`, `winograd`.
"""

from __future__ import annotations

from .algorithm_choice import Algorithm, choose_algorithm
from .depthwise import Depthwise
from .group_size import images_for_weights
from .matrix_product import MatrixProduct
from .operands import ConvAlgorithm, ConvOperands
from .packing import (
    PackedConv,
    kernel_swaps_channels,
    pack_convolution,
    pack_convolutions,
    pack_kernel,
    rewrite_kernel,
)
from .patches import DoublePatches, Patches
from .winograd import WholeMapWinograd, Winograd

__all__ = [
    "Algorithm",
    "ConvAlgorithm",
    "ConvOperands",
    "PackedConv",
    "choose_algorithm",
    "compile_convolution",
    "images_for_weights",
    "kernel_swaps_channels",
    "pack_convolution",
    "pack_convolutions",
    "pack_kernel",
    "rewrite_kernel",
]

_ALGORITHMS: dict[str, type[ConvAlgorithm]] = {
    "depthwise": Depthwise,
    "double": DoublePatches,
    "matrix": MatrixProduct,
    "patches": Patches,
}


def compile_convolution(operands: ConvOperands) -> ConvAlgorithm:
    """Prepare a convolution by the algorithm that its weights are packed for."""
    kind = operands.packed.algorithm.kind
    if kind == "winograd":
        # weights that are read for several images are multiplied with the tiles of all of them
        together = operands.x.n > 1 and operands.limits.images_together
        whole = together or operands.images_for_weights > 1
        return (WholeMapWinograd if whole else Winograd)(operands)
    return _ALGORITHMS[kind](operands)
