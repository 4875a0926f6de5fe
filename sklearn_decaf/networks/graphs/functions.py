"""Functions of one variable that graphs spell out in several nodes, told by their values.

Exporters write ``x * sigmoid(x)``, ``x * clip(x + 3, 0, 6) / 6``, the error function's GELU and
others in many ways. An :class:`Expression` keeps what nodes compute from one array with numbers
alone; :func:`identify` computes it for some values, and finds the layer that gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from ..layers import (
    ELU,
    GELU,
    HardSigmoid,
    HardSwish,
    Identity,
    Layer,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Scale,
    Sigmoid,
    SiLU,
    Tanh,
)

MAX_SIZE = 40  # operations in an expression


@dataclass(eq=False)
class Expression:
    """What one operation makes of others, of numbers, and of one array.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`; empty for the array itself.
    arguments : tuple of Expression or float
    """

    operation: str = ""
    arguments: tuple[Expression | float, ...] = ()
    size: int = field(init=False)

    def __post_init__(self):
        self.size = 1 + sum(a.size for a in self.arguments if isinstance(a, Expression))

    def compute(self, values: dict[Expression, np.ndarray]) -> np.ndarray | None:
        """Compute it where the values of an expression are given; None if they do not suffice."""
        if self not in values:
            if not self.operation:
                return None
            found = []
            for argument in self.arguments:
                if isinstance(argument, Expression):
                    argument = argument.compute(values)
                    if argument is None:
                        return None
                found.append(argument)
            values[self] = OPERATIONS[self.operation](*found)
        return values[self]

    def parts(self) -> Iterator[Expression]:
        """The expressions in it, each once, the innermost first, and itself last."""
        seen: dict[Expression, None] = {}
        stack: list[tuple[Expression, bool]] = [(self, False)]
        while stack:
            one, done = stack.pop()
            if done:
                seen[one] = None
            elif one not in seen:
                stack.append((one, True))
                stack += [(a, False) for a in one.arguments if isinstance(a, Expression)]
        return iter(seen)

    def numbers(self) -> list[float]:
        """All numbers in it."""
        return [a for part in self.parts() for a in part.arguments if not isinstance(a, Expression)]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "max": np.maximum,
    "min": np.minimum,
    "sqrt": np.sqrt,
    "reciprocal": np.reciprocal,
    "exp": np.exp,
    "abs": np.abs,
    "erf": special.erf,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "leaky": lambda x, slope: np.where(x > 0, x, slope * x),
    # over the channels
    "mean": lambda x: np.mean(x, axis=-1, keepdims=True),
}

# -12 to 12 in uneven steps, and far out, where bounds show
_NEAR = np.concatenate([np.linspace(-12, 12, 97), np.linspace(-0.9, 0.9, 31) ** 3])
_FAR = np.array([20.0, 50.0, 1e3, 1e6])
_VALUES = np.concatenate([_NEAR, _FAR, -_FAR])
_TOLERANCE = 1e-5  # constants are float32, rounded more than once

Identified = tuple[type[Layer], dict[str, Any]]


def identify(expression: Expression, variable: Expression) -> Identified | None:
    """Find the kind of layer that computes an expression from one that is part of it.

    A `Scale` is given with ``scale`` and ``shift``, one number each.
    """
    with np.errstate(all="ignore"):
        if any(part.operation == "mean" for part in expression.parts()):
            return _layer_norm(expression, variable)
        found = expression.compute({variable: _VALUES})
        if found is None or not np.isfinite(found[: len(_NEAR)]).all():
            return None
        ends = dict(zip(_VALUES.tolist(), found.tolist()))
        for kind, options, values in _candidates(found, ends):
            if _is_close(found, values):
                return kind, options
    return None


def _is_close(found: np.ndarray, wanted: np.ndarray) -> bool:
    size = math.sqrt(np.square(wanted[: len(_NEAR)]).mean())
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(found - wanted) <= _TOLERANCE * (np.abs(wanted) + 0.1 * size)))


def _candidates(found: np.ndarray, ends: dict[float, float]):
    """Layers that it may be, the most common first: kind, its numbers, and its values."""

    def layer(kind: type[Layer], **options):
        return kind, options, kind("", **options).forward([_VALUES])

    zero, top = ends[0.0], ends[1e6]
    yield Identity, {}, _VALUES
    yield layer(ReLU, max_value=math.inf if top > 9e5 else _plain(top))
    slope = ends[1.0] - zero
    yield Scale, {"scale": slope, "shift": zero}, _VALUES * slope + zero
    yield layer(Sigmoid)
    yield layer(SiLU)
    yield layer(HardSwish)
    near = float(_NEAR[np.abs(_NEAR - 0.25).argmin()])
    yield layer(HardSigmoid, slope=_plain((ends[near] - zero) / near), offset=_plain(zero))
    yield layer(Tanh)
    yield layer(GELU)
    yield layer(GELU, approximate=True)
    yield layer(LeakyReLU, slope=_plain(-ends[-1.0]))
    yield layer(ELU, alpha=_plain(-ends[-50.0]))


def _plain(value: float) -> float:
    """A number as it was before it was rounded to float32, as far as one can tell."""
    for divisor in (1, 6):
        digits = round(value * divisor, 5)
        if math.isclose(digits / divisor, value, rel_tol=3e-7):
            return digits / divisor
    return value


def _layer_norm(expression: Expression, variable: Expression) -> Identified | None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 16)) * np.logspace(-4, 1, 12)[:, None] + 0.1
    found = expression.compute({variable: x})
    if found is None or found.shape != x.shape:
        return None
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    for epsilon in [*expression.numbers(), 0.0]:
        if 0 <= epsilon < 0.1:
            wanted = centred / np.sqrt(variance + epsilon)
            if np.all(np.abs(found - wanted) <= 1e-4 * np.abs(wanted) + 1e-6):
                return LayerNorm, {"epsilon": epsilon}
    return None
