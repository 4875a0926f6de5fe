"""The networks of `_graphs.py` as torch modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

INPUT = "data"


class Network(nn.Module):
    """(n, 3, h, w) to (n, d). Activations work in place where nobody else reads."""

    def __init__(self, nodes: list[dict], weights: Mapping[str, np.ndarray]):
        super().__init__()
        self.output = nodes[-1]["name"]
        self._uses = Counter(name for node in nodes for name in node["inputs"])
        self._last_use = {name: i for i, node in enumerate(nodes) for name in node["inputs"]}
        self._weights = weights
        self.parts = nn.ModuleList()
        self.steps = [(node["name"], node["inputs"], self._step(node)) for node in nodes]

    def forward(self, x):
        values = {INPUT: x}
        del x
        for i, (name, inputs, step) in enumerate(self.steps):
            values[name] = step(*(values[key] for key in inputs))
            for key in inputs:
                if self._last_use[key] == i:
                    values.pop(key, None)
        return values[self.output]

    def _step(self, node: dict) -> Callable:
        name = node["name"]
        inplace = self._uses[node["inputs"][0]] == 1 and node["inputs"][0] != INPUT
        match node["op"]:
            case "Conv":
                return self._convolution(node)
            case "Dense":
                units, length = self._weights[f"{name}.kernel"].shape
                part = self._with_weights(name, nn.Linear(length, units))
                return lambda x: part(torch.flatten(x, 1))
            case "MaxPool":
                return self._pool(node, F.max_pool2d, -np.inf)
            case "AveragePool":
                counted = {"count_include_pad": node["count_padding"]}
                return self._pool(node, F.avg_pool2d, 0.0, **counted)
            case "LRN":
                numbers = [node[key] for key in ("size", "alpha", "beta", "k")]
                return lambda x: F.local_response_norm(x, *numbers)
            case "ReLU" if node["maximum"] is None:
                return lambda x: F.relu(x, inplace)
            case "ReLU":
                return lambda x: F.hardtanh(x, 0.0, node["maximum"], inplace)
            case "SiLU":
                return lambda x: F.silu(x, inplace)
            case "HardSwish":
                return lambda x: F.hardswish(x, inplace)
            case "HardSigmoid":
                return lambda x: F.hardsigmoid(x, inplace)
            case "GELU":
                form = "tanh" if node["approximate"] else "none"
                return lambda x: F.gelu(x, approximate=form)
            case "Sigmoid":
                return torch.sigmoid
            case "Tanh":
                return torch.tanh
            case "Add":
                return torch.add
            case "Multiply":
                return torch.mul
            case "Scale":
                scale, *shift = self._own(name)
                zeros, ones = torch.zeros_like(scale), torch.ones_like(scale)
                shift = shift[0] if shift else zeros
                return lambda x: F.batch_norm(x, zeros, ones, scale, shift, eps=0.0)
            case "LayerNorm":
                return self._layer_norm(node)
            case "Concat":
                return lambda *maps: torch.cat(maps, 1)
            case "ChannelSlice":
                return lambda x: x[:, node["start"] : node["stop"] : node["step"]]
            case "ChannelShuffle":
                return lambda x: F.channel_shuffle(x, node["groups"])
            case "GlobalAveragePool":
                return lambda x: x.mean((2, 3), keepdim=node["keep_sides"])
        raise TypeError(f"no torch function for {node['op']}")

    def _convolution(self, node: dict) -> Callable:
        name, (top, left, bottom, right) = node["name"], node["pads"]
        kernel = self._weights[f"{name}.kernel"]
        even = top == bottom and left == right
        part = nn.Conv2d(
            kernel.shape[1] * node["groups"],
            len(kernel),
            node["size"],
            node["stride"],
            (top, left) if even else 0,
            dilation=node["dilation"],
            groups=node["groups"],
        )
        self._with_weights(name, part)
        return part if even else lambda x: part(F.pad(x, (left, right, top, bottom)))

    def _pool(self, node: dict, function: Callable, border: float, **options) -> Callable:
        top, left, bottom, right = node["pads"]
        sizes = {"kernel_size": node["size"], "stride": node["stride"], "ceil_mode": node["ceil"]}
        if top == bottom and left == right:
            return lambda x: function(x, padding=(top, left), **sizes, **options)
        pads = left, right, top, bottom
        return lambda x: function(F.pad(x, pads, value=border), **sizes, **options)

    def _layer_norm(self, node: dict) -> Callable:
        scale, shift = self._own(node["name"])

        def normalise(x):
            return F.layer_norm(x, scale.shape, scale, shift, node["epsilon"])

        if not node["map"]:
            return normalise
        return lambda x: normalise(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _own(self, name: str) -> list:
        keys = [key for key in self._weights if key.rpartition(".")[0] == name]
        return [torch.from_numpy(self._weights[key]) for key in keys]

    def _with_weights(self, name: str, part):
        part.weight.data, part.bias.data = self._own(name)
        self.parts.append(part)
        return part


def torch_module(nodes: list[dict], weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Build a module, ready for inference."""
    return Network(nodes, weights).eval()
