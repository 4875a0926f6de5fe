"""Dropout as a layer of a network that is being trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .... import _kernels
from ...architecture import Architecture
from ...layers import Layer


@dataclass(frozen=True)
class Dropout(Layer):
    """Product of each value and a factor, 0 or ``1 / (1 - p)``, that is drawn for each image."""

    def compile_step(self, builder):
        multiply = _kernels.kernels.bind_multiply
        (source,) = builder.inputs(self)
        factors = builder.factors(self.name)  # (n, h, w, c)
        out = builder.new_maps(self.name)

        def compute(first, end):
            rows = source.rows(first, end), factors[:, first:end], out.rows(first, end)
            return [[[multiply(*views)] for views in zip(*rows)]]

        return builder.step(self, out, compute)


def insert_dropout(architecture: Architecture, names: Mapping[str, float]) -> Architecture:
    """Put a dropout layer after each of the named layers; what reads those reads it instead."""
    if not names:
        return architecture
    layers: list[Layer] = []
    for layer in architecture.layers:
        sources = architecture.inputs(layer.name)
        inputs = tuple(dropout_name(name) if name in names else name for name in sources)
        layers.append(replace(layer, inputs=inputs))
        if layer.name in names:
            layers.append(Dropout(dropout_name(layer.name), (layer.name,)))
    return replace(architecture, layers=tuple(layers))


def dropout_name(layer: str) -> str:
    """The name of the dropout layer after a layer."""
    return f"{layer}:dropout"


def draw_factors(
    shapes: Mapping[str, tuple[int, ...]], dropout: Mapping[str, float], part: slice, seed: int
) -> dict[str, np.ndarray]:
    """Draw 0 or ``1 / (1 - p)`` for each value of each layer with dropout.

    An image's factors depend on the seed and its place in the batch, not on `part`: each image has
    its own stretch of one stream of random bits, 32 a value.
    """
    n, factors = part.stop - part.start, {}
    for place, (name, p) in enumerate(sorted(dropout.items())):
        size = math.prod(shapes[name])
        n_words = -(-size // 2)  # of 64 bits, for one image
        bits = np.random.PCG64((seed, place))
        bits.advance(part.start * n_words)
        numbers = bits.random_raw(n * n_words).view(np.uint32).reshape(n, 2 * n_words)
        kept = numbers[:, :size] >= np.uint32(min(round(p * 2**32), 2**32 - 1))
        factors[name] = kept.reshape(n, *shapes[name]) * np.float32(1 / (1 - p))
    return factors
