"""With what the parameters of a network begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils import check_random_state

from ..networks.architecture import Architecture
from ._by_layer import is_kernel, layer_of

#: A function of a shape, a generator and a precision, float32 or float64.
Filler = Callable[[tuple[int, ...], np.random.Generator, DTypeLike], np.ndarray]


@dataclass(frozen=True)
class Constant:
    """One value everywhere."""

    value: float = 0.0

    def __call__(self, shape, rng, dtype=np.float64):
        return np.full(shape, self.value, dtype)


@dataclass(frozen=True)
class Uniform:
    """Evenly distributed between two values."""

    low: float = -0.05
    high: float = 0.05

    def __call__(self, shape, rng, dtype=np.float64):
        values = rng.random(shape, dtype)
        values *= self.high - self.low
        values += self.low
        return values


@dataclass(frozen=True)
class Gaussian:
    """Normally distributed."""

    deviation: float = 0.01
    mean: float = 0.0

    def __call__(self, shape, rng, dtype=np.float64):
        values = rng.standard_normal(shape, dtype)
        values *= self.deviation
        values += self.mean
        return values


@dataclass(frozen=True)
class Xavier:
    """As much variance for what goes on as for what comes back (Glorot and Bengio 2010).

    The variance is ``2 / (fan_in + fan_out)``.
    """

    distribution: str = "uniform"

    def __call__(self, shape, rng, dtype=np.float64):
        return _with_variance(2 / sum(fans(shape)), self.distribution)(shape, rng, dtype)


@dataclass(frozen=True)
class He:
    """The variance that values keep on their way through ReLUs (He et al. 2015), ``2 / fan_in``."""

    distribution: str = "normal"

    def __call__(self, shape, rng, dtype=np.float64):
        return _with_variance(2 / fans(shape)[0], self.distribution)(shape, rng, dtype)


def _with_variance(variance: float, distribution: str) -> Filler:
    if distribution == "normal":
        return Gaussian(math.sqrt(variance))
    if distribution == "uniform":
        bound = math.sqrt(3 * variance)
        return Uniform(-bound, bound)
    raise ValueError(f"distribution={distribution!r} must be 'normal' or 'uniform'")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Count what a value of the output is summed from, and what reads a value of the input.

    They are counted as torch counts them: a value of the input is read by all filters, also by
    those of other groups.

    Parameters
    ----------
    shape : (int, int) or (int, int, int, int)
        Of the kernel of a fully connected layer, (d, units), or of a convolution, (kh, kw,
        channels / groups, filters).

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        If this is not the shape of a kernel.
    """
    if len(shape) < 2:
        raise ValueError(
            f"parameters of shape {shape} are no kernel: fill them with Constant, Uniform or "
            "Gaussian"
        )
    *window, channels, filters = shape
    return math.prod(window) * channels, math.prod(window) * filters


#: What parameters other than kernels begin with: normalisations change nothing.
DEFAULTS: Mapping[str, Filler] = {
    "bias": Constant(0.0),
    "scale": Constant(1.0),
    "shift": Constant(0.0),
    "mean": Constant(0.0),
    "variance": Constant(1.0),
    "slope": Constant(0.25),
}


def initial_parameters(
    architecture: Architecture,
    random_state: int | np.random.RandomState | None = None,
    *,
    kernel: Filler = He(),
    fillers: Mapping[str, Filler] | None = None,
    last_scale: float = 0.1,
    dtype: DTypeLike = np.float32,
) -> dict[str, np.ndarray]:
    """Draw the parameters that a network begins its training with.

    What a parameter gets depends on its name, its shape and `random_state` alone, and not on the
    layers beside it.

    Parameters
    ----------
    architecture : Architecture
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same parameters in each call.
    kernel : filler, default=He()
        For all kernels.
    fillers : dict of str to filler, optional
        For kernels by names of layers, or for parameters by their full names.
    last_scale : float, default=0.1
        Factor of the last kernel, unless `fillers` names it. With kernels of full size the first
        scores are so large that usual learning rates diverge.
    dtype : dtype, default=float32
        float32 or float64.

    Returns
    -------
    dict of str to ndarray
        By full names, such as ``"conv1.kernel"``.

    Raises
    ------
    ValueError
        If `fillers` names a layer that is not there, or one without a kernel.

    Examples
    --------
    >>> from sklearn_decaf.networks import get_architecture
    >>> from sklearn_decaf.training._fillers import initial_parameters
    >>> parameters = initial_parameters(get_architecture("squeezenet1_1"), random_state=0)
    >>> print(f"{parameters['conv1.kernel'].std():.2f}, {parameters['conv10.kernel'].std():.4f}")
    0.26, 0.0062
    """
    shapes = architecture.parameter_shapes()
    own = _by_full_name(fillers or {}, shapes)
    entropy = check_random_state(random_state).randint(2**31 - 1, size=4).tolist()
    last = next((name for name in reversed(shapes) if is_kernel(name)), None)
    parameters = {}
    for name, shape in shapes.items():
        seeds = np.random.SeedSequence(entropy, spawn_key=tuple(name.encode()))
        fill = own.get(name) or DEFAULTS.get(name.rpartition(".")[2], kernel)
        values = fill(shape, np.random.default_rng(seeds), dtype)
        if name == last and name not in own:
            values *= last_scale
        parameters[name] = values
    return parameters


def _by_full_name(
    fillers: Mapping[str, Filler], names: Mapping[str, tuple[int, ...]]
) -> dict[str, Filler]:
    found = {}
    for key, filler in fillers.items():
        name = key if key in names else f"{key}.kernel"
        if name not in names:
            layers = dict.fromkeys(layer_of(name) for name in names if is_kernel(name))
            raise ValueError(
                f"fillers names {key!r}, which is neither a layer with a kernel nor a parameter; "
                f"the layers are {', '.join(layers)}"
            )
        found[name] = filler
    return found
