"""The network of 2013 in float64 NumPy, straight from cuda-convnet's layer dicts."""

from __future__ import annotations

import numpy as np


def forward(layers: list[dict], image: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Blobs of one image by name; maps are (h, w, c).

    `image` is RGB, 227 x 227, 0 to 255; it is turned upside down and `mean` is subtracted.
    """
    x = image[::-1].astype(np.float64) - mean
    blobs = {}
    for layer in layers:
        match layer["type"]:
            case "conv":
                x = _conv(layer, x)
            case "neuron" if layer["neuron"]["type"] == "brelu":
                x = np.clip(x, 0, layer["neuron"]["params"]["a"])
            case "neuron" if layer["neuron"]["type"] == "dropout":
                pass
            case "neuron":
                x = np.where(x > 0, x, 0)
            case "pool":
                x = _pool(layer, x)
            case "cmrnorm":
                x = _normalise(layer, x)
            case "fc":
                flat = x.transpose(2, 0, 1).ravel() if x.ndim == 3 else x
                x = flat @ layer["weights"][0].astype(np.float64) + layer["biases"][0].ravel()
            case "softmax":
                x = np.exp(x - x.max())
                x = x / x.sum()
            case _:
                continue
        blobs[f"{layer['name']}_cudanet_out"] = x
    return blobs


def _conv(layer: dict, x: np.ndarray) -> np.ndarray:
    k, stride, groups = layer["filterSize"][0], layer["stride"][0], layer["groups"][0]
    border = -layer["padding"][0]
    x = np.pad(x, ((border, border), (border, border), (0, 0)))
    weights = layer["weights"][0].astype(np.float64).reshape(-1, k, k, layer["filters"])
    side = (len(x) - k) // stride + 1
    out = np.empty((side, side, layer["filters"]))
    channels, filters = len(weights), layer["filters"] // groups
    for g in range(groups):
        part = x[:, :, g * channels : (g + 1) * channels]
        kernel = weights[..., g * filters : (g + 1) * filters]
        for i in range(side):
            rows = part[i * stride : i * stride + k]  # (k, w, channels)
            for j in range(side):
                patch = rows[:, j * stride : j * stride + k]
                total = np.tensordot(patch, kernel, ([2, 0, 1], [0, 1, 2]))
                out[i, j, g * filters : (g + 1) * filters] = total
    return out + layer["biases"].ravel()


def _pool(layer: dict, x: np.ndarray) -> np.ndarray:
    size, stride, side = layer["sizeX"], layer["stride"], layer["outputsX"]
    out = np.empty((side, side, x.shape[2]))
    for i in range(side):
        for j in range(side):
            window = x[i * stride : i * stride + size, j * stride : j * stride + size]
            out[i, j] = window.max(axis=(0, 1))
    return out


def _normalise(layer: dict, x: np.ndarray) -> np.ndarray:
    half = layer["size"] // 2
    out = np.empty_like(x)
    for c in range(x.shape[2]):
        window = x[..., max(c - half, 0) : c + half + 1]
        out[..., c] = x[..., c] / (1 + layer["scale"] * (window**2).sum(-1)) ** layer["pow"]
    return out
