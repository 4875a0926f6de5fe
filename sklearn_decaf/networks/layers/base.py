"""Base class of all kinds of layers: a name, inputs, and the questions that each kind answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from ..engine.builder import ProgramBuilder
    from ..engine.steps import Step

Arrays = Sequence[np.ndarray]
Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))
#: Gradients of a loss by the inputs of a layer, and by its parameters.
LayerGradients = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class Layer:
    """A layer as data: its name, the names of the layers it reads, and the numbers of its kind.

    A kind of layer is a subclass in a module of its own, which answers here all that is asked of
    it: shapes, parameters, values and gradients (the plain NumPy reference), operations, and how
    the engine computes it. Convolutions and fully connected layers have parts of the engine of
    their own.

    Parameters
    ----------
    name : str
        Name of the layer, and of its output.
    inputs : tuple of str, default=()
        Names of the layers that it reads; empty for "the layer before this one".
    """

    name: str
    inputs: tuple[str, ...] = ()

    #: Operators of ONNX that compute this kind of layer.
    onnx_operators: ClassVar[tuple[str, ...]] = ()
    #: Parameters that are measured on images, not learned from gradients.
    statistics: ClassVar[tuple[str, ...]] = ()

    def output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the output for inputs of these shapes."""
        (shape,) = shapes
        return shape

    def parameter_shapes(self, *shapes: Shape) -> dict[str, Shape]:
        """Return the shapes of the parameters by their short names, such as ``kernel``."""
        return {}

    def forward(self, inputs: Arrays, parameters: Arrays = ()) -> np.ndarray:
        """Compute the output in plain NumPy, in the precision of the inputs.

        Parameters
        ----------
        inputs : sequence of ndarray of shape (n, h, w, c) or (n, c)
        parameters : sequence of ndarray
            In the order of :meth:`parameter_shapes`.

        Returns
        -------
        ndarray of shape (n, oh, ow, oc) or (n, oc)
        """
        raise TypeError(f"no reference for layers of type {type(self).__name__}")

    def backward(
        self, inputs: Arrays, parameters: Arrays, output: np.ndarray, gradient: np.ndarray
    ) -> LayerGradients:
        """Compute the gradients of a loss by inputs and parameters in plain NumPy.

        Where a function has a kink, the gradient is the one that torch takes: that of ``max(x,
        0)`` is 0 at 0, and of equal values under a window the first counts as the largest.

        Parameters
        ----------
        inputs : sequence of ndarray of shape (n, h, w, c) or (n, c)
            As :meth:`forward` had them.
        parameters : sequence of ndarray
            In the order of :meth:`parameter_shapes`.
        output : ndarray of shape (n, oh, ow, oc) or (n, oc)
            What :meth:`forward` returned.
        gradient : ndarray of the shape of `output`
            The gradient of the loss by the output.

        Returns
        -------
        list of ndarray
            Gradients by the inputs, of their shapes.
        list of ndarray
            Gradients by the parameters, of their shapes: sums over the images.

        Raises
        ------
        TypeError
            If layers of this kind have no gradients here; it names the layer.
        """
        raise TypeError(
            f"layer {self.name!r}: no gradients for layers of type {type(self).__name__}"
        )

    def compile_step(self, builder: ProgramBuilder) -> Step:
        """Make the engine's step, which binds kernels to rows of maps.

        Parameters
        ----------
        builder : ProgramBuilder
            Gives the maps that are read and makes those that are written.
        """
        raise TypeError(f"layer {self.name!r}: no step for layers of type {type(self).__name__}")

    def check_step(self, *shapes: Shape) -> None:
        """Raise a ValueError that names the layer if its step cannot do with its numbers."""

    def multiply_adds(self, *shapes: Shape) -> int:
        """Count the products of a weight and a value for one image with inputs of these shapes."""
        return 0

    def other_operations(self, *shapes: Shape) -> int:
        """Count the operations for one image that are not multiply-adds.

        One for each addition of a bias, comparison, division, power or exponential. Moving values
        costs nothing.
        """
        raise TypeError(f"no count of operations for layers of type {type(self).__name__}")


def sum_to_channels(x: np.ndarray) -> np.ndarray:
    """Sum over images and pixels: (n, ..., c) -> (c,)."""
    return x.sum(axis=tuple(range(x.ndim - 1)))
