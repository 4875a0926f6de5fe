"""Layers and whole architectures computed by torch, with its own functions, in float64.

Maps are kept as torch has them, (n, c, h, w), and turned at the borders of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sklearn_decaf.networks import layers as kinds
from sklearn_decaf.networks.architecture import INPUT, Architecture
from sklearn_decaf.networks.layers import Layer
from sklearn_decaf.networks.layers._windows import pair


def to_torch(x: np.ndarray) -> torch.Tensor:
    """Turn (n, h, w, c) or (n, c) into a leaf (n, c, h, w) or (n, c)."""
    x = np.moveaxis(x, -1, 1) if x.ndim == 4 else x
    return torch.tensor(np.ascontiguousarray(x), dtype=torch.float64, requires_grad=True)


def to_numpy(x: torch.Tensor) -> np.ndarray:
    """Turn (n, c, h, w) or (n, c) into (n, h, w, c) or (n, c)."""
    values = x.detach().numpy()
    return np.moveaxis(values, 1, -1) if values.ndim == 4 else values


def leaf(parameter: np.ndarray) -> torch.Tensor:
    """Make a parameter that autograd follows, in the layout of the package."""
    return torch.tensor(parameter, dtype=torch.float64, requires_grad=True)


def channelwise(vector: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return vector.reshape(1, -1, *(1,) * (x.ndim - 2))


def symmetric(pads) -> tuple[int, int]:
    (top, bottom), (left, right) = pads
    assert top == bottom and left == right, "torch has no such padding"
    return top, left


def conv(layer, x, kernel, bias):
    (top, bottom), (left, right) = layer.pads((*x.shape[2:], x.shape[1]))
    x = F.pad(x, (left, right, top, bottom))
    weight = kernel.permute(3, 2, 0, 1)  # (filters, c / groups, kh, kw)
    return F.conv2d(x, weight, bias, layer.stride, 0, layer.dilation, layer.groups)


def dense(layer, x, kernel, bias):
    rows = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
    return F.linear(rows.reshape(len(x), -1), kernel.T, bias)


def max_pool(layer, x):
    pads = symmetric(layer.pads((*x.shape[2:], x.shape[1])))
    return F.max_pool2d(x, layer.size, layer.stride, pads, ceil_mode=layer.ceil_mode)


def average_pool(layer, x):
    pads = symmetric(layer.pads((*x.shape[2:], x.shape[1])))
    return F.avg_pool2d(x, layer.size, layer.stride, pads, layer.ceil_mode, layer.count_padding)


def global_pool(pool):
    def compute(layer, x):
        y = pool(x, 1)
        return y if layer.keep_sides else y.flatten(1)

    return compute


def relu(layer, x):
    return F.relu(x) if layer.max_value == float("inf") else F.hardtanh(x, 0, layer.max_value)


def hard_sigmoid(layer, x):
    assert (layer.slope, layer.offset) == (1 / 6, 0.5)
    return F.relu6(x + 3) / 6  # the gradient of F.hardsigmoid takes a sixth in single precision


def batch_norm(layer, x, scale, shift, mean, variance):
    return F.batch_norm(x, mean.detach(), variance.detach(), scale, shift, False, 0, layer.epsilon)


def layer_norm(layer, x, scale, shift):
    x = x.movedim(1, -1)
    return F.layer_norm(x, x.shape[-1:], scale, shift, layer.epsilon).movedim(-1, 1)


def scale(layer, x, scale, *shift):
    x = x * channelwise(scale, x)
    return x + channelwise(shift[0], x) if shift else x


def multiply(layer, x, y):
    return x * (y if x.ndim == y.ndim else y[:, :, None, None])


def channel_shuffle(layer, x):
    return (
        F.channel_shuffle(x, layer.groups)
        if x.ndim == 4
        else F.channel_shuffle(x[:, :, None, None], layer.groups).flatten(1)
    )


COMPUTE = {
    kinds.Add: lambda layer, x, y: x + y,
    kinds.AveragePool: average_pool,
    kinds.BatchNorm: batch_norm,
    kinds.ChannelShuffle: channel_shuffle,
    kinds.ChannelSlice: lambda layer, x: x[:, layer.start : layer.stop : layer.step],
    kinds.Concat: lambda layer, *xs: torch.cat(xs, 1),
    kinds.Conv: conv,
    kinds.Dense: dense,
    kinds.ELU: lambda layer, x: F.elu(x, layer.alpha),
    kinds.GELU: lambda layer, x: F.gelu(x, approximate="tanh" if layer.approximate else "none"),
    kinds.GlobalAveragePool: global_pool(F.adaptive_avg_pool2d),
    kinds.GlobalMaxPool: global_pool(F.adaptive_max_pool2d),
    kinds.HardSigmoid: hard_sigmoid,
    kinds.HardSwish: lambda layer, x: F.hardswish(x),
    kinds.Identity: lambda layer, x: F.dropout(x, training=False),
    kinds.LRN: lambda layer, x: F.local_response_norm(
        x, layer.size, layer.alpha, layer.beta, layer.k
    ),
    kinds.LayerNorm: layer_norm,
    kinds.LeakyReLU: lambda layer, x: F.leaky_relu(x, layer.slope),
    kinds.MaxPool: max_pool,
    kinds.Multiply: multiply,
    kinds.PReLU: lambda layer, x, slope: F.prelu(x, slope),
    kinds.ReLU: relu,
    kinds.Scale: scale,
    kinds.SiLU: lambda layer, x: F.silu(x),
    kinds.Sigmoid: lambda layer, x: torch.sigmoid(x),
    kinds.Softmax: lambda layer, x: F.softmax(x, 1),
    kinds.Tanh: lambda layer, x: torch.tanh(x),
}


def can_compute(layer: Layer) -> bool:
    """Tell whether torch has this layer: the border of its pools is half a window at most."""
    if not isinstance(layer, kinds.MaxPool | kinds.AveragePool):
        return True
    return all(2 * p <= k for p, k in zip(pair(layer.padding), pair(layer.size)))


def compute_layer(
    layer: Layer, inputs: Sequence[torch.Tensor], parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Compute one layer; a kind that torch does not have here is a KeyError."""
    return COMPUTE[type(layer)](layer, *inputs, *parameters)


def compute_network(
    architecture: Architecture, image: torch.Tensor, parameters: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Compute all layers from preprocessed images (n, 3, h, w); their gradients are retained."""
    values = {INPUT: image}
    for layer in architecture.layers:
        inputs = [values[name] for name in architecture.inputs(layer.name)]
        own = [parameters[key] for key in architecture.layer_parameter_shapes(layer.name)]
        values[layer.name] = compute_layer(layer, inputs, own)
        values[layer.name].retain_grad()
    return values
