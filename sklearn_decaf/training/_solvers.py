"""How gradients change parameters, step by step.

A solver changes arrays in place and keeps what it remembers in `state`, by parameter, so that it
can be pickled in the middle of a training and go on. Rules and conventions are those of
``torch.optim``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

import numpy as np
from sklearn.utils import check_scalar

from .. import _kernels
from ._by_layer import ByLayer, by_parameter


class Solver:
    """Base class: what all solvers do with a gradient before they differ.

    Parameters
    ----------
    layer_rates : float or dict of str to float, default=1.0
        Factors of the learning rate, by names of layers or of parameters; 1 for all others.

    Attributes
    ----------
    state : dict of str to dict
        What is remembered of each parameter.
    """

    def __init__(self, *, layer_rates: ByLayer = 1.0):
        self.layer_rates = layer_rates
        self.state: dict[str, dict] = {}

    def update(
        self,
        parameters: Mapping[str, np.ndarray],
        gradients: Mapping[str, np.ndarray],
        learning_rate: float,
    ) -> None:
        """Change parameters in place.

        Parameters
        ----------
        parameters : dict of str to ndarray
            By full names, such as ``"conv1.kernel"``.
        gradients : dict of str to ndarray
            Of those that are trained; the others stay as they are.
        learning_rate : float

        Raises
        ------
        ValueError
            If the learning rate is negative or not finite, a gradient does not have the shape of
            its parameter, a parameter cannot be written to, or a layer of `layer_rates` is not
            there.
        """
        if not 0 <= learning_rate < math.inf:
            raise ValueError(
                f"learning_rate={learning_rate!r} must be a finite number, 0 or larger"
            )
        rates = by_parameter(self.layer_rates, parameters, "layer_rates", default=1.0)
        self._begin(parameters)
        for name, gradient in gradients.items():
            values = parameters[name]
            if values.shape != gradient.shape:
                raise ValueError(
                    f"the gradient of {name!r} has shape {gradient.shape}, and the parameter "
                    f"{values.shape}"
                )
            if not values.flags.writeable:
                raise ValueError(f"the parameter {name!r} is read-only: train a copy of it")
            rate = float(learning_rate) * rates[name]
            self._change(name, values, gradient, rate, self.state.setdefault(name, {}))

    def _begin(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Prepare a step, before it changes anything."""

    def _change(
        self, name: str, values: np.ndarray, gradient: np.ndarray, rate: float, state: dict
    ) -> None:
        raise NotImplementedError


class SGD(Solver):
    """Stochastic gradient descent, with momentum.

    The momentum is torch's: ``v = momentum * v + gradient; w -= rate * v``. A change of the
    learning rate counts at once for all of v. Caffe and scikit-learn keep the rate in v, which is
    the same as long as it does not change.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1); 0 is plain gradient descent.
    nesterov : bool, default=False
        Whether to look ahead: ``w -= rate * (gradient + momentum * v)``.
    layer_rates : float or dict of str to float, default=1.0
        See :class:`Solver`.
    """

    def __init__(
        self, *, momentum: float = 0.9, nesterov: bool = False, layer_rates: ByLayer = 1.0
    ):
        super().__init__(layer_rates=layer_rates)
        self.momentum = _share(momentum, "momentum")
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError("nesterov=True needs a momentum larger than 0")

    def _change(self, name, values, gradient, rate, state):
        if not self.momentum:
            values -= rate * gradient
            return
        if "velocity" not in state:
            state["velocity"] = np.zeros_like(values)
        velocity = state["velocity"]
        if flat := _vectors_for_kernels(values, velocity, gradient):
            values, velocity, gradient = flat
            bind = _kernels.kernels.bind_sgd_step
            bind(values, velocity, gradient, rate, self.momentum, self.nesterov)()
            return
        velocity *= self.momentum
        velocity += gradient
        if self.nesterov:
            values -= rate * (gradient + self.momentum * velocity)
        else:
            values -= rate * velocity


class Adam(Solver):
    """Steps of about the learning rate for each number by itself (Kingma and Ba 2015).

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        What remains of the mean of the gradients, and of their squares, at each step; in [0, 1).
    epsilon : float, default=1e-8
        Added to the root of the mean square, after its correction; scikit-learn adds it before.
    layer_rates : float or dict of str to float, default=1.0
        See :class:`Solver`.
    """

    def __init__(
        self,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        layer_rates: ByLayer = 1.0,
    ):
        super().__init__(layer_rates=layer_rates)
        self.beta_1 = _share(beta_1, "beta_1")
        self.beta_2 = _share(beta_2, "beta_2")
        self.epsilon = check_scalar(epsilon, "epsilon", Real, min_val=0)
        self._decays: dict[str, float] = {}  # what is taken away at each step, by parameters

    def _change(self, name, values, gradient, rate, state):
        if not state:
            state.update(step=0, mean=np.zeros_like(values), square=np.zeros_like(values))
        state["step"] += 1
        mean, square = state["mean"], state["square"]
        decay, betas = self._decays.get(name, 0.0), (self.beta_1, self.beta_2)
        if flat := _vectors_for_kernels(values, mean, square, gradient):
            bind = _kernels.kernels.bind_adam_step
            bind(*flat, state["step"], rate, betas, self.epsilon, decay)()
            return
        values *= 1 - rate * decay
        mean *= self.beta_1
        mean += (1 - self.beta_1) * gradient
        square *= self.beta_2
        square += (1 - self.beta_2) * (gradient * gradient)
        # both begin at 0, which is what is corrected
        rate /= 1 - self.beta_1 ** state["step"]
        root = np.sqrt(square)
        root /= math.sqrt(1 - self.beta_2 ** state["step"])
        root += self.epsilon
        values -= rate * (mean / root)


class AdamW(Adam):
    """Adam with a decay of the weights apart from it (Loshchilov and Hutter 2019).

    Parameters
    ----------
    weight_decay : float or dict of str to float, default=0.01
        Each step takes ``rate * weight_decay`` of the weights away. One number is for kernels:
        biases, scales and shifts decay only where they are named.
    beta_1, beta_2, epsilon, layer_rates
        See :class:`Adam`.
    """

    def __init__(
        self,
        *,
        weight_decay: ByLayer = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        layer_rates: ByLayer = 1.0,
    ):
        super().__init__(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, layer_rates=layer_rates)
        self.weight_decay = weight_decay

    def _begin(self, parameters):
        self._decays = by_parameter(
            self.weight_decay, parameters, "weight_decay", kernels_only=True
        )


class Adagrad(Solver):
    """Steps that shrink where gradients were large before (Duchi et al. 2011).

    Parameters
    ----------
    initial : float, default=0.0
        What the sum of squares begins with.
    epsilon : float, default=1e-10
        Added to the root of the sum.
    layer_rates : float or dict of str to float, default=1.0
        See :class:`Solver`.
    """

    def __init__(self, *, initial: float = 0.0, epsilon: float = 1e-10, layer_rates: ByLayer = 1.0):
        super().__init__(layer_rates=layer_rates)
        self.initial = check_scalar(initial, "initial", Real, min_val=0)
        self.epsilon = check_scalar(epsilon, "epsilon", Real, min_val=0)

    def _change(self, name, values, gradient, rate, state):
        if not state:
            state["squares"] = np.full_like(values, self.initial)
        squares = state["squares"]
        squares += gradient * gradient
        values -= rate * (gradient / (np.sqrt(squares) + self.epsilon))


def _share(value: float, name: str) -> float:
    """Check a number in [0, 1)."""
    return check_scalar(value, name, Real, min_val=0, max_val=1, include_boundaries="left")


def _vectors_for_kernels(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return the arrays as vectors for compiled kernels, which go over them once; [] if not."""
    fit = all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)
    return [array.reshape(-1) for array in arrays] if fit and _kernels.kernels else []
