"""Training steps of this package and of torch, as the workers of `training.py` run them.

Both are given the same network, the same initial weights and the same images, and do the same: the
gradients of the mean cross-entropy, and a step of SGD with momentum.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np

from sklearn_decaf.networks import Architecture, Preprocessing, get_architecture
from sklearn_decaf.networks.engine.lowering import lower
from sklearn_decaf.networks.layers import (
    LRN,
    Add,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    ReLU,
)

RATE, MOMENTUM = 1e-4, 0.9


def small_network() -> Architecture:
    """Six 3x3 convolutions on 32 x 32 pixels, and one fully connected layer."""
    layers = []
    for i, filters in enumerate((32, 64, 128), start=1):
        for part in "ab":
            layers += [
                Conv(f"conv{i}{part}", filters=filters, kernel_size=3, padding=1),
                ReLU(f"relu{i}{part}"),
            ]
        layers.append(MaxPool(f"pool{i}", size=2, stride=2))
    layers.append(Dense("fc", units=10))
    preprocessing = Preprocessing(crop=32, channel_order="rgb", mean=(127.5,) * 3, std=(64.0,) * 3)
    return Architecture("small", tuple(layers), preprocessing, {})


def network(name: str) -> tuple[Architecture, str, str]:
    """A network, and the names of the layers that it begins and ends with.

    Batch normalisations are parts of convolutions, borders the same on all sides, which torch does
    without a step of its own.
    """
    name, _, start = name.partition(" from ")
    architecture = small_network() if name == "small" else get_architecture(name)
    output = [layer.name for layer in architecture.layers if isinstance(layer, Dense)][-1]
    architecture = lower(architecture, {}, [output]).architecture
    layers = []
    for layer in architecture.layers:
        if isinstance(layer, Conv):
            padding = layer.kernel_size // 2 if layer.padding == "same" else layer.padding
            layer = replace(layer, padding=padding, double_precision=False)
        layers.append(layer)
    return replace(architecture, layers=tuple(layers)), start or "data", output


def initial_parameters(architecture: Architecture, start: str) -> dict[str, np.ndarray]:
    """He's, the same for everybody; the last layer's are a tenth of that."""
    rng = np.random.default_rng(0)
    parameters = {}
    for name, shape in architecture.parameter_shapes().items():
        values = np.zeros(shape, np.float32)
        if name.endswith(".kernel"):
            values = rng.standard_normal(shape, np.float32)
            values *= np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        parameters[name] = values
    last = [name for name in parameters if name.endswith(".kernel")][-1]
    parameters[last] *= np.float32(0.1)
    return parameters


def batch_of(architecture: Architecture, start: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, or what the layer `start` gives, and labels."""
    rng = np.random.default_rng(1)
    shapes = {"data": architecture.input_shape, **architecture.shapes()}
    if start == "data":
        inputs = rng.integers(0, 256, (n, *shapes[start]), np.uint8)
    else:
        inputs = rng.standard_normal((n, *shapes[start]), np.float32)
    return inputs, rng.integers(0, 10, n)


class Engine:
    def __init__(self, threads: int):
        self.threads = threads
        self.memory_before = 0.0

    def variants(self, task):
        return [{}]

    def prepare(self, task, variant):
        """Return a function that does one step and returns its loss, as an array."""
        gc.collect()
        self.memory_before = _memory_now()
        return self.step(*network(task["network"]), task["batch"])


class Ours(Engine):
    def step(self, architecture, start, output, n):
        from sklearn_decaf.networks.engine.training import TrainingPlan
        from sklearn_decaf.training._solvers import SGD

        plan = None
        parameters = initial_parameters(architecture, start)
        inputs, labels = batch_of(architecture, start, n)
        plan = TrainingPlan(architecture, parameters, output, start=start)
        trained = {key: parameters[key] for key in parameters if _layer(key) in plan.trainable}
        for key in set(parameters) - set(trained):
            del parameters[key]
        solver = SGD(momentum=MOMENTUM)

        def loss(scores, part):
            own = labels[part]
            scores = scores - scores.max(axis=1, keepdims=True)
            shares = np.exp(scores)
            totals = shares.sum(axis=1, keepdims=True)
            rows = np.arange(len(own))
            value = float((np.log(totals[:, 0]) - scores[rows, own]).sum() / n)
            shares /= totals
            shares[rows, own] -= 1
            return value, shares / np.float32(n)

        def step():
            value, found = plan.gradients(inputs, loss, n_threads=self.threads)
            solver.update(trained, found, RATE)
            plan.refresh()
            return np.array([value])

        return step


class TorchChannelsLast(Engine):
    channels_last = True

    def __init__(self, threads):
        super().__init__(threads)
        import torch  # its memory is no part of a network's

        torch.set_num_threads(threads)

    def step(self, architecture, start, output, n):
        import torch
        from torch.nn import functional

        parameters = initial_parameters(architecture, start)
        inputs, labels = batch_of(architecture, start, n)
        if start == "data":
            means = np.asarray(architecture.preprocessing.mean, np.float32)
            std = np.asarray(architecture.preprocessing.std, np.float32)
            if architecture.preprocessing.flip_vertical:
                inputs = inputs[:, ::-1]
            if architecture.preprocessing.channel_order == "bgr":
                inputs = inputs[..., ::-1]
            inputs = (inputs - means) / std
        module = torch_module(architecture, parameters, start, output)
        del parameters
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        module = module.to(memory_format=layout)
        x = torch.from_numpy(inputs.transpose(0, 3, 1, 2).astype(np.float32))
        x = x.contiguous(memory_format=layout)
        y = torch.from_numpy(labels)
        solver = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)

        def step():
            solver.zero_grad()
            value = functional.cross_entropy(module(x), y)
            value.backward()
            solver.step()
            return np.array([value.item()])

        return step


class Torch(TorchChannelsLast):
    channels_last = False


def torch_module(architecture, parameters, start, output):
    """The same network in torch."""
    import torch
    from torch import nn
    from torch.nn import functional

    from sklearn_decaf.networks.engine.training.trained_network import layers_between

    layers = layers_between(architecture, start, output)
    shapes = {"data": architecture.input_shape, **architecture.shapes()}

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleDict()
            for layer in layers:
                if isinstance(layer, Conv | Dense):
                    self.parts[layer.name.replace(".", "_")] = self.make(layer)

        def make(self, layer):
            kernel, bias = (parameters[f"{layer.name}.{part}"] for part in ("kernel", "bias"))
            (source,) = architecture.inputs(layer.name)
            c = shapes[source][-1]
            if isinstance(layer, Conv):
                part = nn.Conv2d(
                    c,
                    layer.filters,
                    layer.kernel_size,
                    layer.stride,
                    layer.padding,
                    groups=layer.groups,
                )
                weight = kernel.transpose(3, 2, 0, 1)
            else:
                part = nn.Linear(*kernel.shape)
                if len(shapes[source]) == 3:  # torch flattens channels first
                    h, w, c = shapes[source]
                    kernel = kernel.reshape(h, w, c, -1).transpose(2, 0, 1, 3)
                    kernel = kernel.reshape(h * w * c, -1)
                weight = kernel.T
            part.weight.data = torch.tensor(np.ascontiguousarray(weight))
            part.bias.data = torch.tensor(bias)
            return part

        def forward(self, x):
            values = {start: x}
            last_use = {name: one for one in layers for name in architecture.inputs(one.name)}
            for layer in layers:
                names = architecture.inputs(layer.name)
                values[layer.name] = self.compute(layer, *(values[name] for name in names))
                for name in set(names):
                    if last_use[name] is layer:
                        del values[name]
            return values[output]

        def compute(self, layer, x, *others):
            if isinstance(layer, Conv):
                return self.parts[layer.name.replace(".", "_")](x)
            if isinstance(layer, Dense):
                return self.parts[layer.name.replace(".", "_")](x.flatten(1))
            if isinstance(layer, ReLU):
                bounded = np.isfinite(layer.max_value)
                if bounded:
                    return functional.hardtanh(x, 0, layer.max_value, inplace=True)
                return functional.relu(x, inplace=True)
            if isinstance(layer, Add):
                return x + others[0]
            if isinstance(layer, MaxPool):
                options = {"padding": layer.padding, "ceil_mode": layer.ceil_mode}
                return functional.max_pool2d(x, layer.size, layer.stride, **options)
            if isinstance(layer, GlobalAveragePool):
                return x.mean((2, 3))
            if isinstance(layer, LRN):
                return functional.local_response_norm(
                    x, layer.size, layer.alpha, layer.beta, layer.k
                )
            raise TypeError(f"no torch for {layer}")

    return Network()


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _memory_now() -> float:
    """Memory of this process in MB; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return 0.0
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6
