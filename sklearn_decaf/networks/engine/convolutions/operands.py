"""Operands of a convolution, and what all algorithms have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from .... import _kernels
from ...._kernels.calls import Phase, Task
from ...._kernels.places import Place, Rows
from ...layers import Conv
from ..limits import Limits
from ..memory import Maps
from ..workspace import Workspace
from .group_size import images_for_weights
from .packing import PackedConv


@dataclass(frozen=True, eq=False)
class ConvOperands:
    """Operands of one convolution: the arrays that it reads and writes.

    Parameters
    ----------
    conv : Conv
    packed : PackedConv
    x : Maps
        The input inside the border that the convolution wants, to be allocated later.
    out : Maps
        To be allocated later.
    bounds : (float, float)
        Of the activation.
    residual : Maps or None
        What is added to the convolution; it lies as the output does.
    workspace : Workspace
    limits : Limits
    """

    conv: Conv
    packed: PackedConv
    x: Maps
    out: Maps
    bounds: tuple[float, float]
    residual: Maps | None
    workspace: Workspace
    limits: Limits

    @property
    def images_for_weights(self) -> int:
        """Number of images that the weights are best read for."""
        h, w, c = self.x.shape
        in_shape = h, w, c // self.packed.algorithm.block**2
        return images_for_weights(self.conv, self.packed, in_shape, self.out.shape, self.limits)

    def place(self, i: int, first: int, end: int) -> Place:
        """Place that the rows of image i are written to, and the residual that is added."""
        return Place(
            self.out.image(i, first, end),
            (0, self.out.left, self.out.channel),
            None if self.residual is None else self.residual.image(i, first, end),
        )


class ConvAlgorithm(ABC):
    """A convolution by one algorithm: how many rows at a time, and by which calls.

    Parameters
    ----------
    operands : ConvOperands
    """

    def __init__(self, operands: ConvOperands):
        self.operands = operands

    @abstractmethod
    def compute(self, first: int, end: int) -> list[Phase]:
        """Return the phases that compute rows of the output."""

    def align(self, n: int) -> int:
        """Return the smallest computable row count >= n."""
        return n

    def reach(self, n: int) -> int:
        """Return how many rows are written to when the first n are computed."""
        return n

    def product(self, rows: Rows, group: int, place: Place) -> Task:
        """Calls of a product with the weights of one group, written to its channels of `place`.

        Columns that are there for the sake of a wider tile are computed aside, and left there.
        """
        packed, bounds = self.operands.packed, self.operands.bounds
        kernels = _kernels.kernels
        panels, bias, filters = packed.kernels[group], packed.bias[group], packed.filters
        place = place.from_channel(group * filters)
        if len(bias) == filters:
            return kernels.bind_matmul(rows, panels, place, bias, bounds)
        aside = self.operands.workspace.take((*rows.shape, len(bias)))
        calls = kernels.bind_matmul(rows, panels, Place(aside), bias)
        n_rows, n_columns = rows.shape
        top, left, channel = place.at
        inside = np.s_[top : top + n_rows, left : left + n_columns, channel : channel + filters]
        values, target = aside[..., :filters], place.out[inside]
        if place.residual is None:
            return [*calls, kernels.bind_clip(values, *bounds, target)]
        residual = place.residual[inside]
        return [*calls, kernels.bind_add_and_clip(values, residual, *bounds, target)]
