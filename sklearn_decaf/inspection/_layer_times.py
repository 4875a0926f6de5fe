"""Measurement of the times of a network's layers, for Figure 3 of the DeCAF paper."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.utils import check_random_state

from .. import _kernels
from .._utils.parallel import effective_n_threads, single_threaded_blas
from .._utils.validation import check_integer
from ..networks import load_weights
from ..networks.architecture import INPUT, Architecture
from ..networks.engine.plan import Plan
from ..networks.engine.training import TrainingPlan
from ..networks.flops import layer_flops
from ..networks.layers import LRN, Conv, Dense, Layer, Softmax
from ..networks.reference import compute, preprocess
from ..networks.weights.weights import Weights

if TYPE_CHECKING:
    from pandas import DataFrame

    from .._utils.types import FilePath, RandomState

# name of the type, and the layers it holds; what is none of these is said by its class
_TYPES = {Conv: "convolution", Dense: "fully connected", LRN: "normalisation", Softmax: "softmax"}


def layer_times(
    weights: FilePath | Weights = "efficientnet_lite0",
    layer: int | str = 7,
    *,
    architecture: str | Architecture | None = None,
    batch_size: int = 32,
    n_jobs: int | None = 1,
    n_repeats: int = 5,
    exact: bool = False,
    training: bool = False,
    random_state: RandomState = 0,
) -> LayerTimes:
    """Measure the time of each step of a network.

    The machine should have nothing else to do meanwhile.

    Parameters
    ----------
    weights : str, path or Weights, default="efficientnet_lite0"
        Name of registered weights, a file, or :class:`~sklearn_decaf.networks.Weights`, as in
        :class:`~sklearn_decaf.DeCAFTransformer`.
    layer : int or str, default=7
        The last layer to compute.
    architecture : str or Architecture, default=None
        Architecture of a weight file that fits several, or of your own.
    batch_size : int, default=32
        Images computed together.
    n_jobs : int, default=1
        Number of threads. With several, times are those of the whole batch on all of them.
    n_repeats : int, default=5
        Number of runs, after one that warms up; their median counts.
    exact : bool, default=False
        Compute convolutions by plain sums alone, as ``DeCAFTransformer(exact=True)`` does.
    training : bool, default=False
        Whether to measure a step of training all layers up to `layer`, forward and backward, on
        one thread. Each row is then a part of it, see `part` in :class:`LayerTimes`.
    random_state : int, RandomState instance or None, default=0
        Seed of the images, whose pixels are random.

    Returns
    -------
    times : LayerTimes
        Times and operations of each step.

    Raises
    ------
    ValueError
        If `batch_size` or `n_repeats` is not a positive integer, the network has no such layer, or
        `training` is asked for with several threads.
    RuntimeError
        If `training` is asked for and there are no compiled kernels.
    WeightsError
        If the weights cannot be found or read, or lack the layer.

    See Also
    --------
    LayerTimeDisplay : Draws the times.

    Notes
    -----
    The engine computes some layers together, such as a convolution and its ReLU. They have one
    time, and one row. Without compiled kernels the layers are timed one by one in plain NumPy;
    ``times.backend`` is "reference" then.

    Examples
    --------
    >>> from sklearn_decaf.inspection import layer_times
    >>> times = layer_times("squeezenet1_1", layer="pool1", batch_size=1, n_repeats=1)
    >>> sorted(times.columns)
    ['gflops', 'layers', 'mflop', 'seconds', 'step', 'type']
    """
    batch_size = check_integer("batch_size", batch_size)
    n_repeats = check_integer("n_repeats", n_repeats)
    loaded = load_weights(weights, architecture=architecture)
    network = loaded.architecture
    last = network.resolve(layer)
    loaded.require([last])
    shape = (batch_size, *network.input_shape)
    images = check_random_state(random_state).randint(256, size=shape).astype(np.uint8)
    if training:
        if effective_n_threads(n_jobs) > 1:
            raise ValueError(f"training=True is measured on one thread, but n_jobs={n_jobs!r}")
        runs, backend = _measure_training(loaded, last, images, n_repeats, exact)
    else:
        plan = Plan(network, loaded.parameters, [last], exact=exact)
        runs, backend = _measure(plan, network, loaded.parameters, last, images, n_jobs, n_repeats)

    flops = layer_flops(network)
    columns: dict[str, list] = {
        name: [] for name in ("step", "layers", "type", "seconds", "mflop", "gflops")
    }
    if training:
        columns["part"] = [part for _, _, _, part in runs[0]]
    for i, (step, names, *_) in enumerate(runs[0]):
        seconds = float(np.median([run[i][2] for run in runs])) / batch_size
        operations = sum(flops.get(name, 0) for name in names)
        if training and columns["part"][i] == "activation":
            operations = 0  # what a layer is defined by is computed in the other parts
        columns["step"].append(step)
        columns["layers"].append(" ".join(names))
        layers = [network[n] for n in names if n in flops]
        columns["type"].append("input" if step == INPUT else _type_of(layers, flops))
        columns["seconds"].append(seconds)
        columns["mflop"].append(operations / 1e6)
        columns["gflops"].append(operations / seconds / 1e9 if seconds > 0 else 0.0)
    return LayerTimes(
        {name: np.asarray(values) for name, values in columns.items()},
        network=network.name,
        batch_size=batch_size,
        n_threads=effective_n_threads(n_jobs),
        backend=backend,
    )


def _measure(plan, network, parameters, last, images, n_jobs, n_repeats):
    """Time the steps on a batch: for each run a list of (step, layer names, seconds)."""
    n_threads = effective_n_threads(n_jobs)
    if _kernels.KERNEL_SET is not None:
        measure, backend = lambda: plan.profile(images, n_threads), "engine"
    else:
        measure = lambda: _time_reference(network, parameters, last, images)  # noqa: E731
        backend = "reference"
    measure()  # warms up: workspaces are made, pages are touched
    return [measure() for _ in range(n_repeats)], backend


def _measure_training(loaded, last, images, n_repeats, exact):
    """Time the parts of a training step: for each run a list of (step, layers, seconds, part)."""
    # one gradient is as dear as any other
    loss = lambda output, _: (0.0, np.ones_like(output))  # noqa: E731
    plan = TrainingPlan(loaded.architecture, dict(loaded.parameters), last, exact=exact)

    def measure():
        return [
            (names[0] if names else INPUT, names, seconds, part)
            for names, part, seconds in plan.profile(images, loss)
        ]

    measure()  # warms up
    return [measure() for _ in range(n_repeats)], "engine"


def _time_reference(network, parameters, last, images):
    """Time the plain NumPy forward pass, one layer after the other."""
    layers = network.ancestors([last])
    last_use = {name: i for i, layer in enumerate(layers) for name in network.inputs(layer.name)}
    blobs, steps = {INPUT: preprocess(images, network.preprocessing)}, []
    with single_threaded_blas():
        for i, layer in enumerate(layers):
            keys = network.layer_parameter_shapes(layer.name)
            own = [parameters[key] for key in keys]
            names = network.inputs(layer.name)
            inputs = [blobs[name] for name in names]
            start = time.perf_counter()
            blobs[layer.name] = compute(layer, own, *inputs)
            steps.append((layer.name, (layer.name,), time.perf_counter() - start))
            for name in set(names):  # all maps of a batch would fill gigabytes
                if last_use[name] == i:
                    del blobs[name]
    return steps


def _type_of(layers: list[Layer], flops: dict[str, int]) -> str:
    """Type of that layer of a step which computes most."""
    if not layers:
        return "other"
    main = max(layers, key=lambda layer: flops[layer.name])
    name = type(main).__name__
    if isinstance(main, Conv) and main.groups > 1 and main.groups == main.filters:
        return "depthwise convolution"
    if name.endswith("Pool"):
        return "pooling"
    return _TYPES.get(type(main), name.lower())


class LayerTimes:
    """Times and operations of the steps of a network, for one image, from :func:`layer_times`.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_steps,)
        Table of the steps; see Attributes.
    network : str
        Name of the architecture.
    batch_size : int
        Images computed together.
    n_threads : int
        Number of threads.
    backend : {"engine", "reference"}
        Whether the compiled engine was timed, or plain NumPy layer by layer.

    Attributes
    ----------
    columns : dict of str to ndarray of shape (n_steps,)
        step : name of the step.
        layers : names of the layers it computes, separated by spaces.
        type : "convolution", "depthwise convolution", "fully connected", "pooling",
        "normalisation", "relu", "add", "concat", "softmax", "input" (pixels to what the first
        layer reads) or "other"; of several layers the one with most operations counts.
        seconds : seconds an image.
        mflop : millions of floating point operations an image, by definition of the layers.
        gflops : billions of them a second.
        part : of a training step only. "forward"; or backward, "activation" (the gradient through
        activations, and by biases), "weights" or "input" (the gradient by what the layers read).
    """

    def __init__(
        self,
        columns: dict[str, np.ndarray],
        *,
        network: str,
        batch_size: int,
        n_threads: int,
        backend: Literal["engine", "reference"],
    ) -> None:
        self.columns = columns
        self.network = network
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.backend = backend

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __repr__(self):
        total = self.columns["seconds"].sum()
        return (
            f"<LayerTimes of {self.network}: {len(self)} steps, {1000 * total:.3g} ms an image, "
            f"batch_size={self.batch_size}, n_threads={self.n_threads}, backend={self.backend!r}>"
        )

    def by_type(self) -> dict[str, np.ndarray]:
        """Sum up the steps of each type.

        Returns
        -------
        columns : dict of str to ndarray of shape (n_types,)
            Columns type, seconds, share (of all seconds, from 0 to 1), mflop and gflops; the type
            with the longest time is first.
        """
        types, codes = np.unique(self.columns["type"], return_inverse=True)
        seconds = np.bincount(codes, self.columns["seconds"])
        mflop = np.bincount(codes, self.columns["mflop"])
        order = np.argsort(-seconds, kind="stable")
        seconds, mflop = seconds[order], mflop[order]
        positive = np.where(seconds > 0, seconds, 1)
        return {
            "type": types[order],
            "seconds": seconds,
            "share": seconds / (seconds.sum() or 1),
            "mflop": mflop,
            "gflops": np.where(seconds > 0, mflop / positive / 1e3, 0.0),
        }

    def to_frame(self, *, by_type: bool = False) -> DataFrame:
        """Convert the table to a pandas data frame.

        Parameters
        ----------
        by_type : bool, default=False
            One row per type instead of one row per step.

        Returns
        -------
        frame : pandas.DataFrame
            The columns of `columns`, or of :meth:`by_type`.

        Raises
        ------
        ImportError
            If pandas is not installed; `columns` holds the same.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_frame needs pandas, which is not installed: run pip install pandas, or use "
                "the attribute `columns`."
            ) from error
        return pd.DataFrame(self.by_type() if by_type else self.columns)
