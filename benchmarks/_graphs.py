"""An `Architecture` as torch and ONNX know networks: maps are (n, c, h, w), kernels (o, i, h, w).

`graph` writes it as plain dictionaries and arrays, once; `onnx_model` and `torch_module` build the
same network from these. They need nothing of the package, so that processes in which peers are
measured do not load it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

INPUT = "data"
OPSET = 17


def graph(architecture, parameters: Mapping[str, np.ndarray], output: str):
    """Nodes on the way to one output, and their weights.

    Returns
    -------
    nodes : list of dict
        In order; each with ``op``, ``name``, ``inputs`` and what the operation needs.
    weights : dict of str to ndarray
        ``<name>.kernel``: (o, i, h, w) or (o, i); ``<name>.bias``: (o,).
    """
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    nodes, weights = [], {}
    for layer in architecture.ancestors([output]):
        inputs = list(architecture.inputs(layer.name))
        shape = shapes[inputs[0]]
        node = {"op": type(layer).__name__, "name": layer.name, "inputs": inputs}
        if node["op"] == "Conv":
            (top, bottom), (left, right) = layer.pads(shape)
            node.update(
                kernel=layer.kernel_size,
                stride=layer.stride,
                pads=[top, left, bottom, right],
                groups=layer.groups,
            )
            kernel = parameters[f"{layer.name}.kernel"].transpose(3, 2, 0, 1)
        elif node["op"] == "Dense":
            kernel = parameters[f"{layer.name}.kernel"]
            if len(shape) == 3:  # rows in the order (h, w, c) become (c, h, w)
                kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3)
            kernel = kernel.reshape(-1, layer.units).T
        elif node["op"] == "MaxPool":
            uneven = any((n - layer.size) % layer.stride for n in shape[:2])
            node.update(size=layer.size, stride=layer.stride, ceil=layer.ceil_mode and uneven)
        elif node["op"] == "LRN":
            node.update(size=layer.size, alpha=layer.alpha, beta=layer.beta, k=layer.k)
        elif node["op"] == "ReLU":
            node.update(maximum=None if np.isinf(layer.max_value) else layer.max_value)
        elif node["op"] not in ("Add", "Concat", "GlobalAveragePool"):
            raise TypeError(f"layers of type {node['op']} are not known to the peers")
        if node["op"] in ("Conv", "Dense"):
            weights[f"{layer.name}.kernel"] = np.ascontiguousarray(kernel, np.float32)
            weights[f"{layer.name}.bias"] = np.asarray(parameters[f"{layer.name}.bias"], np.float32)
        nodes.append(node)
    return nodes, weights


def onnx_model(nodes: list[dict], weights: Mapping[str, np.ndarray], crop: int) -> bytes:
    """An ONNX model: ``data`` (N, 3, crop, crop) to ``features`` (N, d)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    made = []

    def make(operator, inputs, output, **attributes):
        made.append(helper.make_node(operator, inputs, [output], output, **attributes))

    for node in nodes:
        name, inputs = node["name"], node["inputs"]
        parameters = [f"{name}.kernel", f"{name}.bias"]
        match node["op"]:
            case "Conv":
                sizes = {"kernel_shape": [node["kernel"]] * 2, "strides": [node["stride"]] * 2}
                group, pads = node["groups"], node["pads"]
                make("Conv", [*inputs, *parameters], name, group=group, pads=pads, **sizes)
            case "Dense":
                make("Flatten", inputs, f"{name}.rows")
                make("Gemm", [f"{name}.rows", *parameters], name, transB=1)
            case "MaxPool":
                sizes = {"kernel_shape": [node["size"]] * 2, "strides": [node["stride"]] * 2}
                make("MaxPool", inputs, name, ceil_mode=int(node["ceil"]), **sizes)
            case "LRN":
                keys = {"size": "size", "alpha": "alpha", "beta": "beta", "bias": "k"}
                make("LRN", inputs, name, **{key: node[own] for key, own in keys.items()})
            case "ReLU" if node["maximum"] is None:
                make("Relu", inputs, name)
            case "ReLU":
                bounds = {f"{name}.minimum": 0, f"{name}.maximum": node["maximum"]}
                for key, value in bounds.items():
                    constants.append(numpy_helper.from_array(np.float32(value), key))
                make("Clip", [*inputs, *bounds], name)
            case "Add":
                make("Add", inputs, name)
            case "Concat":
                make("Concat", inputs, name, axis=1)
            case "GlobalAveragePool":
                make("GlobalAveragePool", inputs, f"{name}.map")
                make("Flatten", [f"{name}.map"], name)
    made.append(helper.make_node("Identity", [nodes[-1]["name"]], ["features"]))
    number = TensorProto.FLOAT
    data = helper.make_tensor_value_info(INPUT, number, ["N", 3, crop, crop])
    features = helper.make_tensor_value_info("features", number, ["N", None])
    whole = helper.make_graph(made, "network", [data], [features], constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, opset_imports=opset, ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()


def torch_module(nodes: list[dict], weights: Mapping[str, np.ndarray]):
    """A `torch.nn.Module`: (n, 3, h, w) to (n, d). ReLUs work in place where nobody else reads."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    uses = Counter(name for node in nodes for name in node["inputs"])
    last_use = {name: i for i, node in enumerate(nodes) for name in node["inputs"]}

    def clip(maximum, inplace):
        if maximum is None:
            return lambda x: F.relu(x, inplace)
        return lambda x: F.hardtanh(x, 0.0, maximum, inplace)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList()
            self.steps = [(node["name"], node["inputs"], self._step(node)) for node in nodes]

        def _step(self, node):
            match node["op"]:
                case "Conv":
                    kernel = weights[f"{node['name']}.kernel"]
                    channels = kernel.shape[1] * node["groups"]
                    size, stride, groups = node["kernel"], node["stride"], node["groups"]
                    top, left, bottom, right = node["pads"]
                    even = top == bottom and left == right
                    part = nn.Conv2d(
                        channels, len(kernel), size, stride, (top, left) if even else 0,
                        groups=groups,
                    )  # fmt: skip
                    if not even:
                        border = (left, right, top, bottom)
                        return self._with_weights(node, part, lambda x: part(F.pad(x, border)))
                    return self._with_weights(node, part, part)
                case "Dense":
                    units, length = weights[f"{node['name']}.kernel"].shape
                    part = nn.Linear(length, units)
                    return self._with_weights(node, part, lambda x: part(torch.flatten(x, 1)))
                case "MaxPool":
                    return nn.MaxPool2d(node["size"], node["stride"], ceil_mode=node["ceil"])
                case "LRN":
                    numbers = [node[key] for key in ("size", "alpha", "beta", "k")]
                    return lambda x: F.local_response_norm(x, *numbers)
                case "ReLU":
                    return clip(node["maximum"], uses[node["inputs"][0]] == 1)
                case "Add":
                    return torch.add
                case "Concat":
                    return lambda *maps: torch.cat(maps, 1)
                case "GlobalAveragePool":
                    return lambda x: x.mean((2, 3))

        def _with_weights(self, node, part, function):
            part.weight.data = torch.from_numpy(weights[f"{node['name']}.kernel"])
            part.bias.data = torch.from_numpy(weights[f"{node['name']}.bias"])
            self.parts.append(part)
            return function

        def forward(self, x):
            values = {INPUT: x}
            del x
            for i, (name, inputs, step) in enumerate(self.steps):
                values[name] = step(*(values[key] for key in inputs))
                for key in inputs:
                    if last_use[key] == i:
                        values.pop(key, None)
            return values[nodes[-1]["name"]]

    return Network().eval()
