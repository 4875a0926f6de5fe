"""For how many images at a time the weights of a convolution are best read."""

from __future__ import annotations

import math

from ...layers import Conv, Shape
from ..limits import Limits
from .packing import PackedConv


def images_for_weights(
    conv: Conv, packed: PackedConv, in_shape: Shape, out_shape: Shape, limits: Limits
) -> int:
    """Return how many images a convolution's weights are best read for.

    Large weights come from memory, or from a slow cache, each time. That is worth it for as many
    images as have maps, or transformed tiles, of the weights' size; those have to come as well.
    """
    if packed.nbytes < limits.many_weights:
        return 1
    h, w, filters = out_shape
    if packed.algorithm.kind == "winograd":
        m, r = packed.algorithm.m, packed.algorithm.r
        tiles = math.ceil(h / m) * math.ceil(w / m) * (m + r - 1) ** 2
        channels = in_shape[-1] * packed.algorithm.block**2
        nbytes = 4 * tiles * (channels + filters)
    else:
        nbytes = 4 * (math.prod(in_shape) + math.prod(out_shape))
    return max(1, limits.weight_cost * packed.nbytes // nbytes)
