"""Runs a network forward and backward, a group of images at a time.

Images do not depend on each other, so a group goes forward and backward at once, and of its maps
nothing is kept but the gradients of the parameters. Memory does not grow with the batch. Threads
take groups; the gradients of the groups are added in their order, and the size of a group depends
on the network alone: the bits do not depend on the threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from .... import _kernels
from ...._utils.parallel import run_in_threads, single_threaded_blas
from ...architecture import INPUT, Architecture
from ..image_input import swaps_pixels
from ..limits import Limits
from .dropout import draw_factors, dropout_name, insert_dropout
from .group_program import GroupProgram
from .numpy_passes import NumpyPasses
from .ordered_sum import OrderedSum
from .trained_network import TrainedNetwork, layers_between

# (scores of a group, which images of the batch they are of) -> sum of losses, gradient by scores
Loss = Callable[[np.ndarray, slice], tuple[float, np.ndarray]]

MAX_GROUP_SIZE = 16
GROUP_BYTES = 64 * 1024 * 1024  # of all maps of a group, about


class TrainingPlan:
    """A network prepared to be trained.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray of float32
        By full names, such as ``"conv1.kernel"``. They are read where they are: whoever changes
        them in place calls :meth:`refresh` afterwards.
    output : str
        The layer that the loss is computed from.
    start : str, default="data"
        What the network is given: pixels, or the output of this layer.
    trainable : collection of str, optional
        Layers whose gradients are wanted. Default: all between `start` and `output`.
    dropout : dict of str to float, default={}
        Layers whose output is dropped in training, with its probability; what is left is scaled
        up.
    group_size : int, optional
        Images that go forward and backward together. Default: as many as have maps of some 64 MB,
        a power of two, at most 16.
    exact : bool, default=False
        Compute convolutions and their gradients by plain sums only.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        output: str,
        *,
        start: str = INPUT,
        trainable: Collection[str] | None = None,
        dropout: Mapping[str, float] | None = None,
        group_size: int | None = None,
        exact: bool = False,
    ):
        self.architecture = architecture
        self.parameters = parameters
        self.output = output
        self.start = start
        self.dropout = dict(dropout or {})
        self.exact = exact
        self.layers = layers_between(architecture, start, output)
        if trainable is None:
            trainable = [
                one.name for one in self.layers if architecture.layer_parameter_shapes(one.name)
            ]
        self.trainable = tuple(trainable)
        self.group_size = group_size or self._choose_group_size()
        self._network = self._numpy = None
        if _kernels.KERNEL_SET is None or not self.layers:
            if self.layers:
                _kernels.warn_if_missing()
            self._numpy = NumpyPasses(architecture, parameters, start, output, self.trainable)
            return
        self._limits = replace(Limits(), images_together=False)
        self._network = TrainedNetwork(
            insert_dropout(architecture, {k: v for k, v in self.dropout.items() if k != output}),
            parameters,
            start,
            output,
            self.trainable,
            exact=exact,
            limits=self._limits,
        )
        self._swaps_pixels = start == INPUT and swaps_pixels(
            self._network.architecture, self._network.layers[0]
        )
        # programs that nobody is using, by the type of their input
        self._idle: dict[np.dtype, list[GroupProgram]] = {}
        self._sums: OrderedSum | None = None

    def refresh(self) -> None:
        """Take over parameters that have changed."""
        if self._network is not None:
            self._network.refresh()

    def forward(self, inputs: np.ndarray, *, n_threads: int = 1) -> np.ndarray:
        """Compute the output without dropout.

        Parameters
        ----------
        inputs : ndarray of shape (n, h, w, c) or (n, c)
            RGB images, 0 to 255, uint8 or float32; or the output of `start`, float32.
        n_threads : int, default=1

        Returns
        -------
        ndarray of shape (n, oh, ow, oc) or (n, oc), float32
        """
        shapes = {INPUT: self.architecture.input_shape, **self.architecture.shapes()}
        found = np.empty((len(inputs), *shapes[self.output]), np.float32)
        groups = self._groups(len(inputs))

        def run(i: int) -> None:
            part = groups[i]
            if self._numpy is not None:
                found[part] = self._numpy.forward(inputs[part], {})[self.output]
                return
            with self._borrow(inputs.dtype) as program:
                scores = program.forward(self._prepared(inputs[part]), {})
                found[part] = scores.reshape(len(scores), *shapes[self.output])

        with single_threaded_blas():
            run_in_threads(run, len(groups), n_threads)
        return found

    def gradients(
        self, inputs: np.ndarray, loss: Loss, *, seed: int = 0, n_threads: int = 1
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Compute a loss and its gradients by the trainable parameters.

        Parameters
        ----------
        inputs : ndarray
            As of :meth:`forward`.
        loss : callable
            Given the output of a group of images and the slice that says which they are, returns
            a float, and the gradient by the output. Several threads may call it.
        seed : int, default=0
            Draws the zeros of dropout, together with an image's place in the batch.
        n_threads : int, default=1

        Returns
        -------
        float
            The sum over the groups.
        dict of str to ndarray
            The same of the gradients, by the full names of the parameters. The arrays are valid
            until the next call.
        """
        groups = self._groups(len(inputs))
        if self._sums is None:
            self._sums = OrderedSum()
        sums = self._sums
        sums.restart()
        if not groups:
            sums.clear()

        def run(i: int) -> None:
            part = groups[i]
            factors = draw_factors(self.architecture.shapes(), self.dropout, part, seed)
            if self._numpy is not None:
                values = self._numpy.forward(inputs[part], factors)
                value, gradient = loss(values[self.output], part)
                found = self._numpy.backward(values, factors, gradient)
                sums.add(i, value, {"": found})
                return
            with self._borrow(inputs.dtype) as program:
                named = {dropout_name(name): own for name, own in factors.items()}
                value, gradient = loss(program.forward(self._prepared(inputs[part]), named), part)
                program.backward(gradient)
                sums.add(i, value, program.gradients)

        with single_threaded_blas():
            run_in_threads(sums.guard(run), len(groups), n_threads)
        if self._numpy is not None:
            return sums.value, sums.arrays.get("", {})
        return sums.value, self._network.original_gradients(sums.arrays)

    def _groups(self, n: int) -> list[slice]:
        return [
            slice(first, min(first + self.group_size, n)) for first in range(0, n, self.group_size)
        ]

    def _choose_group_size(self) -> int:
        shapes = self.architecture.shapes()
        nbytes = sum(4 * math.prod(shapes[layer.name]) for layer in self.layers)
        size = min(MAX_GROUP_SIZE, max(1, GROUP_BYTES // max(1, nbytes)))
        return 1 << (size.bit_length() - 1)

    def _prepared(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[..., ::-1] if self._swaps_pixels else inputs

    @contextmanager
    def _borrow(self, dtype: np.dtype) -> Iterator[GroupProgram]:
        """A program for the time of a ``with`` statement; then others may use it."""
        pixels = np.dtype(np.uint8 if dtype == np.uint8 else np.float32)
        idle = self._idle.setdefault(pixels, [])
        try:
            program = idle.pop()  # atomic, as append is
        except IndexError:
            program = GroupProgram(self._network, self.group_size, pixels, self._limits)
        try:
            yield program
        finally:
            idle.append(program)
