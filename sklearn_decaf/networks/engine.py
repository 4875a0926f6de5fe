"""Runs a network fast: a plan is compiled once for the layers that are wanted, and run on batches.

The network is cut in two. The **trunk**, all that works on maps, runs one image at a time, so
that an image's maps stay in the cache and its features do not depend on its neighbours; several
threads take one image each. The **head**, from the first fully connected layer on, runs on blocks
of rows of one fixed size, padded with zeros: BLAS picks its kernel by the size of the product, and
with a fixed size a row has the same bits in a batch of one and in a batch of a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from .. import _kernels
from .._parallel import run_in_threads, single_threaded_blas
from . import reference
from .architecture import Architecture
from .layers import Dense, Softmax
from .trunk import TrunkProgram, pack_parameters

# Rows of a block of the head: as many as a BLAS kernel holds side by side in its registers, so
# that it treats all alike. Large enough that reading the weights does not rule, small enough not
# to waste work on one image.
HEAD_ROWS = 16


class Plan:
    """A network prepared to compute certain layers.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``; those on the way to `outputs` must be there.
    outputs : iterable of str
        Names of the wanted layers.

    Notes
    -----
    A plan holds packed weights, shared by all threads, and a workspace a thread, made when it is
    first needed and used again. Several threads may call :meth:`run` at the same time. Without
    compiled kernels the trunk runs on :mod:`~sklearn_decaf.networks.reference`.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        outputs: Iterable[str],
    ):
        self.architecture = architecture
        self.outputs = tuple(outputs)
        self._steps = architecture.ancestors(self.outputs)
        self._parameters = parameters
        self._head = _head_layers(architecture, self._steps)
        in_head = {layer.name for layer in self._head}
        read_by_head = {name for layer in self._head for name in architecture.inputs(layer.name)}
        # what the trunk hands over: wanted maps and the inputs of the head
        self._trunk_outputs = tuple(
            layer.name
            for layer in self._steps
            if layer.name not in in_head
            and (layer.name in self.outputs or layer.name in read_by_head)
        )
        self._trunk = tuple(layer for layer in self._steps if layer.name not in in_head)
        self._compiled = _kernels.KERNEL_SET is not None
        if self._compiled:
            self._packed = pack_parameters(architecture, parameters, self._trunk)
        else:
            _kernels.warn_if_missing()
        self._idle: list[TrunkProgram] = []

    def run(self, images: np.ndarray, n_threads: int = 1) -> list[np.ndarray]:
        """Compute the outputs for a batch of images.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3), uint8
            RGB, of the network's input size.
        n_threads : int, default=1
            Threads, each with an image (or a block of the head) of its own.

        Returns
        -------
        list of ndarray, float32
            One array an output, of shape (n, h, w, c) or (n, c).

        Raises
        ------
        ValueError
            If the images are not of the network's input size.
        """
        n = len(images)
        shapes = self.architecture.shapes()
        maps = {name: np.empty((n, *shapes[name]), np.float32) for name in self._trunk_outputs}
        with single_threaded_blas():
            run_in_threads(lambda i: self._run_trunk(images, i, maps), n, n_threads)
            blobs = {**maps, **self._run_head(maps, n, n_threads)}
        return [blobs[name] for name in self.outputs]

    def _run_trunk(self, images: np.ndarray, i: int, maps: dict[str, np.ndarray]) -> None:
        if images.shape[1:] != self.architecture.input_shape:
            raise ValueError(
                f"images of shape {images.shape}; {self.architecture.name} takes images of shape "
                f"{self.architecture.input_shape}"
            )
        if not self._compiled:
            blobs = reference.forward(
                self.architecture, self._parameters, images[i : i + 1], self._trunk_outputs
            )
            for name, blob in blobs.items():
                maps[name][i] = blob[0]
            return
        try:
            program = self._idle.pop()  # atomic, as append is
        except IndexError:
            program = TrunkProgram(
                self.architecture, self._packed, self._trunk, self._trunk_outputs
            )
        try:
            for name, blob in program.run(images[i]).items():
                maps[name][i] = blob
        finally:
            self._idle.append(program)

    def _run_head(self, maps: dict[str, np.ndarray], n: int, n_threads: int):
        shapes = self.architecture.shapes()
        wanted = [layer.name for layer in self._head if layer.name in self.outputs]
        results = {name: np.empty((n, *shapes[name]), np.float32) for name in wanted}

        def work(block: int) -> None:
            rows = slice(block * HEAD_ROWS, min((block + 1) * HEAD_ROWS, n))
            count = rows.stop - rows.start
            blobs = {name: _pad_rows(blob[rows]) for name, blob in maps.items()}
            for layer in self._head:
                inputs = (blobs[name] for name in self.architecture.inputs(layer.name))
                keys = self.architecture.layer_parameter_shapes(layer.name)
                own = [self._parameters[key] for key in keys]
                compute = _dense if isinstance(layer, Dense) else partial(reference.compute, layer)
                blobs[layer.name] = compute(own, *inputs)
            for name in wanted:
                results[name][rows] = blobs[name][:count]

        if self._head:
            run_in_threads(work, -(-n // HEAD_ROWS), n_threads)
        return results


def _head_layers(architecture: Architecture, steps) -> tuple:
    """The layers from the first fully connected one (or the softmax) on."""
    names: set[str] = set()
    for layer in steps:
        if isinstance(layer, Dense | Softmax) or names.intersection(
            architecture.inputs(layer.name)
        ):
            names.add(layer.name)
    return tuple(layer for layer in steps if layer.name in names)


def _dense(parameters: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """A fully connected layer whose rows have the same bits wherever in the block they stand.

    The product is computed transposed. BLAS kernels cut only one side of a product into vectors,
    here that of the images; along the other some add up in an order that depends on the place.
    """
    kernel, bias = parameters
    product = kernel.T @ x.reshape(len(x), -1).T  # (units, rows)
    return np.add(product.T, bias, order="C")


def _pad_rows(x: np.ndarray) -> np.ndarray:
    """Fill up with zero rows to HEAD_ROWS."""
    if len(x) == HEAD_ROWS:
        return x
    padded = np.zeros((HEAD_ROWS, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x
    return padded
