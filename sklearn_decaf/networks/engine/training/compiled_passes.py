"""Passes on compiled kernels: groups of images on threads, large last layers on blocks of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np

from ...._utils.locks import Lock
from ...._utils.parallel import run_in_threads, single_threaded_blas
from ...architecture import INPUT, Architecture
from ..image_input import swaps_pixels
from ..limits import Limits
from .batch_norm import RunningStatistics, with_group_norms
from .dense_head import DenseHead, dense_head_layers
from .dropout import draw_factors, dropout_name, insert_dropout
from .group_program import GroupProgram, map_bytes
from .ordered_sum import OrderedSum
from .tape import Seconds
from .trained_network import TrainedNetwork

Arrays = dict[str, np.ndarray]
# (scores of a group, which images of the batch they are of) -> sum of losses, gradient by scores
Loss = Callable[[np.ndarray, slice], tuple[float, np.ndarray]]

MAX_GROUP_SIZE = 16
GROUP_BYTES = 48 * 1024 * 1024  # of the maps that a group keeps, about
FULL_GROUP_BYTES = 16 * 1024 * 1024  # the same of a group of more than half the most images
BLOCK_SIZE = 32  # images that a head with large weights is computed for


class CompiledPasses:
    """Forward and backward through a network, for batches of any size.

    Parameters
    ----------
    architecture, parameters, output, start, trainable, dropout, group_size, exact
        As of :class:`~.plan.TrainingPlan`.
    norms : collection of str
        Batch normalisations that take the statistics of groups.
    momentum : float
        Of their running statistics.

    Attributes
    ----------
    group_size : int
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        output: str,
        *,
        start: str,
        trainable: Collection[str],
        dropout: Mapping[str, float],
        group_size: int | None,
        exact: bool,
        norms: Collection[str],
        momentum: float,
    ):
        self._architecture = architecture
        self._output = output
        self._dropout = dict(dropout)
        self._limits = replace(Limits(), images_together=False)
        inside = {name: p for name, p in dropout.items() if name != output}
        self.network = network = TrainedNetwork(
            insert_dropout(with_group_norms(architecture, norms), inside),
            parameters,
            start,
            output,
            trainable,
            exact=exact,
            limits=self._limits,
        )
        head = dense_head_layers(network)
        self._head = DenseHead(network, head) if head else None
        self._layers = network.layers[: len(network.layers) - len(head)]
        self._end = self._head.source if self._head else network.output
        self.group_size = group_size or self._choose_group_size()
        self._block_size = self.group_size * max(1, BLOCK_SIZE // self.group_size)
        self._swaps_pixels = start == INPUT and swaps_pixels(
            network.architecture, network.layers[0]
        )
        # programs that nobody is using, by the type of their input and their images
        self._idle: dict[tuple[np.dtype, int], list[GroupProgram]] = {}
        self._sums = OrderedSum()
        self._seconds: Seconds | None = None  # of each part, while they are measured
        self._statistics = RunningStatistics(parameters, norms, momentum)
        self._packing, self._is_stale = Lock(), False

    def refresh(self) -> None:
        """Take over parameters that have changed, when they are next needed: threads share that."""
        self._is_stale = True

    def _pack(self, n_threads: int) -> None:
        with self._packing:
            if self._is_stale:
                self.network.refresh(n_threads)
                self._is_stale = False

    def forward(self, inputs: np.ndarray, n_threads: int) -> np.ndarray:
        """Compute the output without dropout."""
        self._pack(n_threads)
        shapes = self._architecture.shapes()
        n, shape = len(inputs), self.network.shapes[self._end]
        ends = np.empty((n, *shape), np.float32)
        groups = cut(slice(0, n), self.group_size)

        def run(i: int) -> None:
            part = groups[i]
            with self._borrow(inputs.dtype) as program:
                ends[part] = program.forward(self._prepared(inputs[part]), {})

        with single_threaded_blas():
            run_in_threads(run, len(groups), n_threads)
            if self._head is None:
                return ends.reshape(n, *shapes[self._output])
            found = np.empty((n, *shapes[self._output]), np.float32)
            for block in cut(slice(0, n), self._block_size):
                values = self._head.forward(ends[block], {}, n_threads)
                found[block] = values[self.network.output].reshape(found[block].shape)
        return found

    def gradients(
        self, inputs: np.ndarray, loss: Loss, seed: int, n_threads: int
    ) -> tuple[float, Arrays]:
        """Compute a loss and its gradients by the trainable parameters."""
        self._pack(n_threads)
        self._sums.restart()
        if not len(inputs):
            self._sums.clear()
        compute = self._by_groups if self._head is None else self._by_blocks
        with single_threaded_blas():
            compute(inputs, loss, seed, n_threads)
        self._is_stale |= bool(self._statistics.names)
        return self._sums.value, self.network.original_gradients(self._sums.arrays)

    def profile(self, inputs: np.ndarray, loss: Loss, seed: int) -> Seconds:
        """Do the same with one thread; return the seconds of each part, by layers and kind."""
        self._seconds = seconds = {}
        try:
            self.gradients(inputs, loss, seed, 1)
        finally:
            self._seconds = None
        originals = self.network.originals
        found: Seconds = {}
        for (layers, kind), time in seconds.items():
            names = tuple(name for layer in layers for name in originals.get(layer, (layer,)))
            found[names, kind] = found.get((names, kind), 0.0) + time
        return found

    # Groups, each by one thread -------------------------------------------------------------------

    def _by_groups(self, inputs: np.ndarray, loss: Loss, seed: int, n_threads: int) -> None:
        groups = cut(slice(0, len(inputs)), self.group_size)

        def run(i: int) -> None:
            part = groups[i]
            factors = self._factors(part, seed)
            with self._borrow(inputs.dtype, part) as program:
                scores = program.forward(
                    self._prepared(inputs[part]), factors, training=True, seconds=self._seconds
                )
                value, gradient = loss(self._shaped(scores), part)
                program.backward(gradient, self._seconds)
                self._add(i, value, program)

        run_in_threads(self._sums.guard(run), len(groups), n_threads)

    # Blocks of groups, whose last layers all threads compute together -----------------------------

    def _by_blocks(self, inputs: np.ndarray, loss: Loss, seed: int, n_threads: int) -> None:
        n_groups = 0
        for block in cut(slice(0, len(inputs)), self._block_size):
            groups = cut(block, self.group_size)
            with ExitStack() as stack:
                programs = [
                    stack.enter_context(self._borrow(inputs.dtype, part)) for part in groups
                ]
                self._block(block, groups, programs, n_groups, inputs, loss, seed, n_threads)
            n_groups += len(groups)

    def _block(self, block, groups, programs, first_turn, inputs, loss, seed, n_threads) -> None:
        """Forward by groups, through the head and back at once, and backward by groups."""
        ends = np.empty((block.stop - block.start, *self.network.shapes[self._end]), np.float32)
        places = [slice(g.start - block.start, g.stop - block.start) for g in groups]
        factors = self._factors(block, seed)

        def forward(i: int) -> None:
            own = {name: values[places[i]] for name, values in factors.items()}
            ends[places[i]] = programs[i].forward(
                self._prepared(inputs[groups[i]]), own, training=True, seconds=self._seconds
            )

        run_in_threads(forward, len(groups), n_threads)
        values = self._head.forward(ends, factors, n_threads, self._seconds)
        value, gradient = loss(self._shaped(values[self.network.output]).copy(), block)
        self._sums.value += value
        by_ends = self._head.backward(
            values,
            factors,
            np.asarray(gradient, np.float32).reshape(values[self.network.output].shape),
            self._sums.arrays,
            first=first_turn == 0,
            n_threads=n_threads,
            seconds=self._seconds,
        )
        if by_ends is None:  # nothing before the head is trained
            return

        def backward(i: int) -> None:
            programs[i].backward(by_ends[places[i]], self._seconds)
            self._add(first_turn + i, 0.0, programs[i])

        run_in_threads(self._sums.guard(backward), len(groups), n_threads)

    def _add(self, turn: int, value: float, program: GroupProgram) -> None:
        """Add what a group found, in its turn."""
        self._sums.add(
            turn, value, program.gradients, lambda: self._statistics.follow(program.measured())
        )

    # Both -----------------------------------------------------------------------------------------

    def _factors(self, part: slice, seed: int) -> Arrays:
        """The factors of dropout, by the layers that apply it."""
        drawn = draw_factors(self._architecture.shapes(), self._dropout, part, seed)
        return {dropout_name(name): factors for name, factors in drawn.items()}

    def _shaped(self, scores: np.ndarray) -> np.ndarray:
        return scores.reshape(len(scores), *self._architecture.shapes()[self._output])

    def _prepared(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[..., ::-1] if self._swaps_pixels else inputs

    def _choose_group_size(self) -> int:
        """A power of two, which depends on the network alone."""
        nbytes = map_bytes(self.network, self._layers, self._end)
        size = MAX_GROUP_SIZE
        if size * nbytes > FULL_GROUP_BYTES:
            size = min(size // 2, max(1, round(GROUP_BYTES / nbytes)))
        return 1 << (size.bit_length() - 1)

    @contextmanager
    def _borrow(self, dtype: np.dtype, part: slice | None = None) -> Iterator[GroupProgram]:
        """A program for the time of a ``with`` statement; then others may use it.

        It is one for whole groups, which the last one is filled up to; for exactly the images of
        `part` where statistics are those of a group.
        """
        pixels = np.dtype(np.uint8 if dtype == np.uint8 else np.float32)
        exactly = part is not None and self._statistics.names
        n = part.stop - part.start if exactly else self.group_size
        idle = self._idle.setdefault((pixels, n), [])
        try:
            program = idle.pop()  # atomic, as append is
        except IndexError:
            program = GroupProgram(self.network, self._layers, self._end, n, pixels, self._limits)
        try:
            yield program
        finally:
            idle.append(program)


def cut(part: slice, size: int) -> list[slice]:
    """Cut a range into parts of a size; the last may be smaller."""
    starts = range(part.start, part.stop, size)
    return [slice(first, min(first + size, part.stop)) for first in starts]
