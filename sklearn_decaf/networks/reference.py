"""The plain NumPy forward pass: what every layer computes, one readable function a layer.

Everything fast is compared with this module, in float64. Where no compiled kernel is installed it
is also what runs, in float32. Arrays are ``(n, h, w, c)`` maps or ``(n, c)`` vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import singledispatch

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import layers
from .architecture import INPUT, Architecture, Preprocessing


def preprocess(images: np.ndarray, preprocessing: Preprocessing, dtype=np.float32) -> np.ndarray:
    """Turn RGB images of the network's input size into the network's input.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, 3)
        RGB, 0 to 255.
    preprocessing : Preprocessing
    dtype : dtype, default=float32

    Returns
    -------
    ndarray of shape (n, h, w, 3) and the given dtype
    """
    if preprocessing.flip_vertical:
        images = images[:, ::-1]
    if preprocessing.channel_order == "bgr":
        images = images[..., ::-1]
    mean = preprocessing.crop_mean().astype(dtype)  # (3,) or (h, w, 3)
    std = np.asarray(preprocessing.std, dtype=dtype)
    return (images.astype(dtype) - mean) / std


def pad(x: np.ndarray, pads: layers.Pads, value: float = 0.0) -> np.ndarray:
    """Put a border of one value around maps: (n, h, w, c) -> (n, h + .., w + .., c)."""
    return np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolve maps (n, h, w, c) with a kernel (k, k, c, m), no padding, to (n, oh, ow, m)."""
    k, _, channels, filters = kernel.shape
    windows = sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    n, oh, ow = windows.shape[:3]
    patches = windows.transpose(0, 1, 2, 4, 5, 3)  # (n, oh, ow, k, k, c)
    rows = patches.reshape(n * oh * ow, k * k * channels)
    return (rows @ kernel.reshape(k * k * channels, filters)).reshape(n, oh, ow, filters)


def convolve_depthwise(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """Convolve each channel of (n, h, w, c) with its own filter of a (k, k, 1, c) kernel."""
    k = len(kernel)
    _, h, w, _ = x.shape
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    total = 0.0
    for i in range(k):
        for j in range(k):
            rows = slice(i, i + (oh - 1) * stride + 1, stride)
            columns = slice(j, j + (ow - 1) * stride + 1, stride)
            total = total + x[:, rows, columns] * kernel[i, j, 0]
    return total


def conv(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, layer: layers.Conv) -> np.ndarray:
    """Padded, strided, grouped convolution with a bias."""
    if layer.double_precision and x.dtype != np.float64:
        wide = (array.astype(np.float64) for array in (x, kernel, bias))
        return conv(*wide, layer).astype(x.dtype)
    channels = x.shape[-1]
    x = pad(x, layer.pads(x.shape[1:]))
    if layer.is_depthwise(channels):
        return convolve_depthwise(x, kernel, layer.stride) + bias
    groups = zip(np.split(x, layer.groups, axis=-1), np.split(kernel, layer.groups, axis=-1))
    maps = [convolve(part, filters, layer.stride) for part, filters in groups]
    return np.concatenate(maps, axis=-1) + bias


def max_pool(x: np.ndarray, layer: layers.MaxPool) -> np.ndarray:
    """Largest value of each window; a window that sticks out of the map counts what is inside."""
    _, h, w, _ = x.shape
    oh, ow, _ = layer.output_shape(x.shape[1:])
    below = max((oh - 1) * layer.stride + layer.size - h, 0)
    right = max((ow - 1) * layer.stride + layer.size - w, 0)
    x = pad(x, ((0, below), (0, right)), value=-np.inf)
    windows = sliding_window_view(x, (layer.size, layer.size), axis=(1, 2))
    step = layer.stride
    return windows[:, ::step, ::step].max(axis=(-2, -1))[:, :oh, :ow]


def local_response_normalisation(x: np.ndarray, layer: layers.LRN) -> np.ndarray:
    """Divide by a power of the mean square over the nearest channels."""
    before = (layer.size - 1) // 2
    border = ((0, 0),) * (x.ndim - 1) + ((before, layer.size - 1 - before),)
    squares = np.pad(x * x, border)  # zeros beyond the first and the last channel
    sums = sliding_window_view(squares, layer.size, axis=-1).sum(axis=-1)
    alpha, k = x.dtype.type(layer.alpha / layer.size), x.dtype.type(layer.k)
    return x / (k + alpha * sums) ** x.dtype.type(layer.beta)


def relu(x: np.ndarray, layer: layers.ReLU) -> np.ndarray:
    """Clip to [0, max_value]."""
    return np.clip(x, 0, x.dtype.type(layer.max_value))


def dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Matrix product with a (d, m) kernel; maps are flattened in (h, w, c) order."""
    return x.reshape(len(x), len(kernel)) @ kernel + bias


def softmax(x: np.ndarray) -> np.ndarray:
    """Exponentials scaled to sum 1; the largest score is taken off first, against overflow."""
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@singledispatch
def compute(layer: layers.Layer, parameters: list[np.ndarray], *inputs: np.ndarray) -> np.ndarray:
    """Output of one layer, given its parameters (kernel, bias) and its inputs."""
    raise TypeError(f"no reference for layers of type {type(layer).__name__}")


def _register(kind: type, function: Callable) -> None:
    compute.register(kind)(function)


_register(layers.Conv, lambda layer, parameters, x: conv(x, *parameters, layer))
_register(layers.MaxPool, lambda layer, _, x: max_pool(x, layer))
_register(layers.LRN, lambda layer, _, x: local_response_normalisation(x, layer))
_register(layers.ReLU, lambda layer, _, x: relu(x, layer))
_register(layers.Add, lambda layer, _, x, y: x + y)
_register(layers.Concat, lambda layer, _, *maps: np.concatenate(maps, axis=-1))
_register(layers.GlobalAveragePool, lambda layer, _, x: x.mean(axis=(1, 2)))
_register(layers.GlobalMaxPool, lambda layer, _, x: x.max(axis=(1, 2)))
_register(layers.Dense, lambda layer, parameters, x: dense(x, *parameters))
_register(layers.Softmax, lambda layer, _, x: softmax(x))


def forward(
    architecture: Architecture,
    parameters: Mapping[str, np.ndarray],
    images: np.ndarray,
    outputs: Iterable[str],
    dtype=np.float32,
) -> dict[str, np.ndarray]:
    """Run a network on RGB images and keep the wanted layers.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``; only those on the way to `outputs` are read.
    images : ndarray of shape (n, h, w, 3)
        RGB, 0 to 255, of the network's input size.
    outputs : iterable of str
        Layer names.
    dtype : dtype, default=float32
        Precision of all arithmetic; float64 gives the values that tests compare with.

    Returns
    -------
    dict of str to ndarray
        One entry an output, of shape (n, h, w, c) or (n, c).
    """
    outputs = list(outputs)
    steps = architecture.ancestors(outputs)
    last_use = {
        name: i for i, layer in enumerate(steps) for name in architecture.inputs(layer.name)
    }
    blobs = {INPUT: preprocess(images, architecture.preprocessing, dtype)}
    for i, layer in enumerate(steps):
        inputs = architecture.inputs(layer.name)
        keys = architecture.layer_parameter_shapes(layer.name)
        own = [parameters[key].astype(dtype, copy=False) for key in keys]
        blobs[layer.name] = compute(layer, own, *(blobs[name] for name in inputs))
        for name in set(inputs):
            if last_use[name] == i and name not in outputs:
                del blobs[name]
    return {name: blobs[name] for name in outputs}
