"""SIFT descriptors of upright patches on a dense grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

N_CELLS = 4  # cells of a patch in each direction
N_BINS = 8  # directions of the gradient, over 360 degrees
SIFT_WIDTH = N_CELLS * N_CELLS * N_BINS
_SMOOTHING = 0.8  # pixels: standard deviation of the derivative filters
_LARGEST = 0.2  # of a value after the first normalisation (Lowe 2004, section 6.1)
# Patches with less contrast than this stay shorter than 1, or noise would look like texture. An
# even slope of one grey level of 255 a pixel has about this norm.
_LEAST_NORM = 0.01


def dense_sift(grey, *, patch_sizes=(16, 25, 31), step=8) -> tuple[np.ndarray, np.ndarray]:
    """Compute SIFT descriptors of square patches on a regular grid.

    Each pixel's gradient is spread over the two nearest directions and the nearest cells by
    linear interpolation, and weighted by a Gaussian around the centre of the patch with a
    standard deviation of half its side (Lowe 2004). There is no rotation.

    Parameters
    ----------
    grey : ndarray of shape (h, w), float
        Intensities in [0, 1]; no smaller than the largest patch.
    patch_sizes : tuple of int
        Sides of the patches in pixels.
    step : int
        Distance of neighbouring patches in pixels.

    Returns
    -------
    descriptors : ndarray of shape (n, 128), float32
        Ordered by cell (row by row) and direction, which counts from x to y. Of norm 1, or less
        where there is hardly any contrast.
    centres : ndarray of shape (n, 2), float64
        (y, x) of the patches in pixels; 0 is the centre of the first pixel.
    """
    histograms = orientation_maps(np.asarray(grey, np.float32))  # (8, h, w)
    descriptors, centres = [], []
    for size in patch_sizes:
        (down, y), (across, x) = (_cell_weights(n, size, step) for n in grey.shape)
        # sum over the pixels of each cell: (8, rows * 4, columns * 4)
        cells = down @ histograms @ across.T
        cells = cells.reshape(N_BINS, len(y), N_CELLS, len(x), N_CELLS)
        descriptors.append(cells.transpose(1, 3, 2, 4, 0).reshape(-1, SIFT_WIDTH))
        centres.append(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2))
    return _normalise(np.concatenate(descriptors)), np.concatenate(centres)


def orientation_maps(grey: np.ndarray) -> np.ndarray:
    """Split the length of each pixel's gradient over the two nearest directions: (8, h, w)."""
    down = gaussian_filter1d(grey, _SMOOTHING, axis=0)
    across = gaussian_filter1d(grey, _SMOOTHING, axis=1)
    dx = gaussian_filter1d(down, _SMOOTHING, axis=1, order=1)
    dy = gaussian_filter1d(across, _SMOOTHING, axis=0, order=1)
    length = np.hypot(dx, dy)
    position = np.arctan2(dy, dx) * np.float32(N_BINS / (2 * np.pi))  # -4 to 4
    below = np.floor(position)
    share = position - below
    maps = np.zeros((N_BINS, *grey.shape), np.float32)
    below = below.astype(np.intp)[None] % N_BINS
    np.put_along_axis(maps, below, (length * (1 - share))[None], axis=0)
    np.put_along_axis(maps, (below + 1) % N_BINS, (length * share)[None], axis=0)
    return maps


@lru_cache(maxsize=64)
def _cell_weights(length: int, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the pixels along one axis in each cell of each patch.

    Returns the weights (n_patches * 4, length), float32, and the centres of the patches.
    """
    n_patches = (length - size) // step + 1
    room = length - size - (n_patches - 1) * step
    starts = room // 2 + step * np.arange(n_patches) - 0.5  # left edge of the first pixel
    centres = starts + size / 2
    cell = size / N_CELLS
    cell_centres = starts[:, None] + cell * (np.arange(N_CELLS) + 0.5)  # (n_patches, 4)
    pixels = np.arange(length)
    linear = 1 - np.abs(pixels - cell_centres[..., None]) / cell
    gaussian = np.exp(-0.5 * ((pixels - centres[:, None]) / (size / 2)) ** 2)
    weights = np.maximum(linear, 0) * gaussian[:, None] / cell  # (n_patches, 4, length)
    return weights.reshape(-1, length).astype(np.float32), centres


def _normalise(descriptors: np.ndarray) -> np.ndarray:
    """Scale to norm 1, limit single values, scale back."""
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    descriptors = descriptors / np.maximum(norms, _LEAST_NORM)
    wanted = np.minimum(norms / _LEAST_NORM, 1)
    np.minimum(descriptors, _LARGEST, out=descriptors)
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors * (wanted / np.maximum(norms, np.finfo(np.float32).tiny))
