"""Pixels of an image, preprocessed into the input of the first convolution."""

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
    """Make the maps of the image, of one at a time.

    Returns
    -------
    phases : list
        They write an image, preprocessed, into the maps.
    image : ndarray of shape (h, w * 3), of the type `pixels`
        Where the image is expected.
    """
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
        padded = builder.arena.take_bordered(1, (h, w, c), ((top, below), (left, beside)))
        blocks = builder.arena.take((1, hb, wb, b * b * c))
        builder.maps[INPUT] = Maps(1, blocks.shape[1:], array=blocks)
        phases = [_space_to_depth(padded[0, : hb * b, : wb * b], blocks[0], b, builder.n_parts)]
    else:
        padded = builder.arena.take_bordered(1, (h, w, c), pads)
        builder.maps[INPUT] = Maps(1, (h, w, c), pads, array=padded)
        phases = []
    inside = padded.reshape(padded.shape[1], 1, -1)  # whole rows: (h, 1, w * c)
    inside = inside[top : top + h, :, left * c : (left + w) * c]
    image = np.zeros((h, w * c), pixels)
    return [_preprocess(image, inside, builder, conv), *phases], image


def _preprocess(image: np.ndarray, out: np.ndarray, builder: ProgramBuilder, conv: Conv) -> Phase:
    """Subtract the mean and divide by the deviation, rows of the image at a time."""
    h, width = image.shape
    mean, std = _mean_and_std(builder.architecture, conv, width // 3)
    flip = builder.architecture.preprocessing.flip_vertical
    phase = []
    for a, b in builder.split(0, h):
        rows = slice(h - b, h - a) if flip else slice(a, b)
        own = mean[a:b] if len(mean) > 1 else mean
        phase.append([_kernels.kernels.bind_preprocess(image[rows], own, std, flip, out[a:b])])
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
