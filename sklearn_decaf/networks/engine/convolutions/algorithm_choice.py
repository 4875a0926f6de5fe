"""Choice of the algorithm of a convolution: depthwise, products, Winograd's or plain sums.

Five, of which the first that fits is taken:

- ``depthwise``: each channel has a filter of its own; a direct kernel, nothing to gain elsewhere.
- ``double``: sums in float64, for the few layers whose rounding errors would grow (see
  `Conv.double_precision`).
- ``matrix``: a 1x1 convolution is a matrix product of the map as it lies.
- ``winograd``: F(m, r) computes m x m outputs of an r x r filter with (m + r - 1)^2
  multiplications instead of (m r)^2, for filters that move by one pixel. m depends on
  how the tiles fill the map. Not where the transformed weights, which are larger, would be read for
  a few tiles only. A first layer with a stride is turned into such a one: blocks of
  stride x stride pixels become channels (space to depth).
- ``patches``: the windows, of any sides, steps and dilation, are copied to rows, then multiplied
  (im2col).

Winograd's transforms round more than plain sums: at DeCAF6 2e-6 of the largest value instead of
1e-6. ``exact=True`` does without.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...._kernels._functions import WINOGRAD_SIZES
from ...layers import Conv, Shape
from ...layers._windows import pair
from ..limits import Limits
from ..packed_weights import storable


@storable
@dataclass(frozen=True)
class Algorithm:
    """Algorithm of one convolution."""

    kind: str
    m: int = 0  # winograd: outputs of a tile along each axis
    r: int = 0  # winograd: the size of the filter, after space to depth
    block: int = 1  # winograd: the side of the blocks that become channels
    double: bool = False  # depthwise: whether sums are float64


def choose_algorithm(
    conv: Conv,
    in_shape: Shape,
    out_shape: Shape,
    *,
    reads_image: bool = False,
    exact: bool,
    limits: Limits,
) -> Algorithm:
    """Decide how a convolution is computed; see the module's documentation.

    Parameters
    ----------
    conv : Conv
    in_shape, out_shape : tuple of int
        Of its input and its output.
    reads_image : bool, default=False
        Whether the input is the image: its pixels can be written in blocks, which become channels.
    exact : bool
        Whether to do without Winograd's algorithm.
    limits : Limits

    Returns
    -------
    Algorithm
    """
    rows, columns = pair(conv.stride)
    if conv.is_depthwise(in_shape[-1]) and rows == columns:
        return Algorithm("depthwise", double=conv.double_precision)
    if conv.double_precision:
        return Algorithm("double")
    if pair(conv.kernel_size) == (1, 1):
        return Algorithm("matrix")
    algorithm = None
    if conv.is_plain and not exact:
        algorithm = _winograd(conv, in_shape, out_shape, reads_image, limits)
    return algorithm or Algorithm("patches")


def _winograd(
    conv: Conv, in_shape: Shape, out_shape: Shape, reads_image: bool, limits: Limits
) -> Algorithm | None:
    """Winograd's algorithm for a convolution, if it fits and saves products."""
    (block, _), (size, _) = pair(conv.stride), pair(conv.kernel_size)
    r = -(-size // block)
    m = _tile_size(r, out_shape, limits)
    if m == 0:
        return None
    channels = in_shape[-1] * block * block // conv.groups
    n_tiles = math.prod(math.ceil(side / m) for side in out_shape[:2])
    nbytes = 4 * (m + r - 1) ** 2 * channels * conv.filters
    fits = (
        nbytes <= limits.winograd_weights * n_tiles
        and (block == 1 or (reads_image and conv.groups == 1))
        and channels >= limits.winograd_min_channels
        and conv.filters // conv.groups % 8 == 0  # as the packed matrices want it
    )
    saves = (size * m) ** 2 > ((m + r - 1) * block) ** 2  # products of a tile
    return Algorithm("winograd", m, r, block) if fits and saves else None


def _tile_size(r: int, out_shape: Shape, limits: Limits) -> int:
    """Choose the m of a compiled F(m, r); 0 if none fits.

    The m with the fewest multiplications, which depends on how the tiles fill the map; but a
    smaller one, which rounds less, where it takes few more.
    """
    h, w, _ = out_shape
    sizes = [m for m, taps in WINOGRAD_SIZES if taps == r and m <= min(h, w)]
    costs = {m: math.ceil(h / m) * math.ceil(w / m) * (m + r - 1) ** 2 for m in sizes}
    least = min(costs.values(), default=0)
    return min((m for m in sizes if costs[m] <= limits.smaller_tile_cost * least), default=0)
