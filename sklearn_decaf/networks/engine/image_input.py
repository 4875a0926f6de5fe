"""Pixels of images, preprocessed into the input of the first convolution."""

from __future__ import annotations

import numpy as np

from ... import _kernels
from ..._kernels.calls import Phase, Task
from ..architecture import INPUT, Architecture
from ..layers import Conv
from .builder import ProgramBuilder
from .convolutions import kernel_swaps_channels
from .memory import Maps
from .workspace import split_evenly


def swaps_pixels(architecture: Architecture, first: Conv) -> bool:
    """Tell whether programs are to be given BGR: the first kernel cannot turn RGB to BGR."""
    bgr = architecture.preprocessing.channel_order == "bgr"
    return bgr and not kernel_swaps_channels(architecture, first)


def compile_image(builder: ProgramBuilder, pixels) -> tuple[list[Phase], np.ndarray]:
    """Make the maps of the images.

    Returns
    -------
    phases : list
        They write the images, preprocessed, into the maps.
    images : ndarray of shape (n, h, w * 3), of the type `pixels`
        Where the images are expected.
    """
    n = builder.n_images
    conv = builder.layers[0].conv  # the only layer that reads the image
    algorithm = builder.packed[conv.name].algorithm
    h, w, c = builder.shapes[INPUT]
    pads = conv.pads((h, w, c))
    (top, _), (left, _) = pads
    if algorithm.block > 1:
        b = algorithm.block
        oh, ow, _ = builder.shapes[conv.name]
        hb, wb = oh + algorithm.r - 1, ow + algorithm.r - 1  # blocks
        below, beside = max(hb * b - top - h, 0), max(wb * b - left - w, 0)
        padded = builder.arena.take_bordered(n, (h, w, c), ((top, below), (left, beside)))
        blocks = builder.arena.take((n, hb, wb, b * b * c))
        builder.maps[INPUT] = Maps(n, blocks.shape[1:], array=blocks)
        whole = padded[:, : hb * b, : wb * b]
        phases = [_space_to_depth(*both, b, builder.n_parts) for both in zip(whole, blocks)]
    else:
        padded = builder.arena.take_bordered(n, (h, w, c), pads)
        builder.maps[INPUT] = Maps(n, (h, w, c), pads, array=padded)
        phases = []
    inside = padded.reshape(n, padded.shape[1], 1, -1)  # whole rows: (n, h, 1, w * c)
    inside = inside[:, top : top + h, :, left * c : (left + w) * c]
    images = np.zeros((n, h, w * c), pixels)
    return [_preprocess(images, inside, builder, conv), *phases], images


def _preprocess(images: np.ndarray, out: np.ndarray, builder: ProgramBuilder, conv: Conv) -> Phase:
    """Subtract the mean and divide by the deviation, rows of an image at a time."""
    _, h, width = images.shape
    mean, std = _mean_and_std(builder.architecture, conv, width // 3)
    flip = builder.architecture.preprocessing.flip_vertical
    bind = _kernels.kernels.bind_preprocess
    phase = []
    for a, b in builder.split(0, h):
        rows = slice(h - b, h - a) if flip else slice(a, b)
        own = mean[a:b] if len(mean) > 1 else mean
        both = zip(images[:, rows], out[:, a:b])
        phase += [[bind(image, own, std, flip, part)] for image, part in both]
    return phase


def _mean_and_std(architecture: Architecture, first: Conv, width: int):
    """The mean (1 or h, w * 3) and the deviation (w * 3,), in the order of the pixels."""
    preprocessing = architecture.preprocessing
    swap, keep = slice(None, None, -1), slice(None)
    order = swap if kernel_swaps_channels(architecture, first) else keep
    mean = preprocessing.crop_mean().astype(np.float32)[..., order]  # (3,) or (h, w, 3)
    rows = np.tile(mean, width)[np.newaxis] if mean.ndim == 1 else mean.reshape(len(mean), -1)
    std = np.tile(np.asarray(preprocessing.std, np.float32)[order], width)
    return np.ascontiguousarray(rows), std


def _space_to_depth(pixels: np.ndarray, blocks: np.ndarray, b: int, n_parts: int) -> Phase:
    """Let blocks of pixels become channels: (hb * b, wb * b, c) -> (hb, wb, b * b * c)."""
    hb, wb, _ = blocks.shape
    parts = blocks.reshape(hb, wb, b, -1)
    whole = pixels.reshape(hb, b, wb, -1)
    copy = _kernels.kernels.bind_copy

    def task(first: int, end: int) -> Task:
        return [copy(whole[first:end, i], parts[first:end, :, i]) for i in range(b)]

    return [task(first, end) for first, end in split_evenly(0, hb, n_parts)]
