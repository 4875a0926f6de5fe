"""Forms in which gradients by kernels are summed up, as the forward pass read the kernels.

A first convolution with a stride may have read blocks of pixels, whose rows and columns became
channels: so does its gradient.
"""

from __future__ import annotations

import numpy as np

from ..convolutions import Algorithm


def kernel_form(algorithm: Algorithm, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which gradients by a kernel are summed up."""
    if algorithm.block == 1:
        return shape
    _, _, c, filters = shape
    return algorithm.r, algorithm.r, algorithm.block**2 * c, filters


def as_kernel(
    algorithm: Algorithm, shape: tuple[int, ...], swapped: bool, found: np.ndarray
) -> np.ndarray:
    """Turn a gradient in the form of :func:`kernel_form` into one by the kernel.

    `swapped` tells that the kernel turns RGB to BGR.
    """
    b, r = algorithm.block, algorithm.r
    if b > 1:  # from blocks of pixels whose rows and columns became channels
        kh, kw, c, filters = shape
        parts = found.reshape(r, r, b, b, c, filters).transpose(0, 2, 1, 3, 4, 5)
        found = parts.reshape(r * b, r * b, c, filters)[:kh, :kw]
    return found[:, :, ::-1] if swapped else found
