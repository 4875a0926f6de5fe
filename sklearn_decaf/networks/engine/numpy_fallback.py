"""Fallback where nothing is compiled: the reference, so that rows do not depend on the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from ..._utils.parallel import run_in_threads, single_threaded_blas
from .. import reference
from ..architecture import Architecture
from ..layers import Dense, Layer

# Rows of a block of the batch: with one fixed size, and as many rows as a BLAS kernel holds side
# by side in its registers, a row has the same bits in any batch.
BLOCK_ROWS = 16


class NumpyFallback:
    """Layers on maps one image at a time, those of the batch stage a block of rows at a time.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
    batch_layers : sequence of Layer
        The layers of the batch stage.
    handed_over : sequence of str
        Layers on maps that are wanted, or read by the batch stage.
    outputs : sequence of str
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        batch_layers: Sequence[Layer],
        handed_over: Sequence[str],
        outputs: Sequence[str],
    ):
        self.architecture = architecture
        self.parameters = parameters
        self.batch_layers = batch_layers
        self.handed_over = handed_over
        self.outputs = outputs

    def run(self, images: np.ndarray, n_threads: int) -> dict[str, np.ndarray]:
        """Compute the outputs for images of shape (n, h, w, 3)."""
        n, shapes = len(images), self.architecture.shapes()
        names = {*self.handed_over, *self.outputs}
        results = {name: np.empty((n, *shapes[name]), np.float32) for name in names}
        with single_threaded_blas():
            run_in_threads(partial(self._run_image, images, results), n, n_threads)
            if self.batch_layers:
                run_in_threads(partial(self._run_block, results), -(-n // BLOCK_ROWS), n_threads)
        return {name: results[name] for name in self.outputs}

    def _run_image(self, images: np.ndarray, results: dict[str, np.ndarray], i: int) -> None:
        blobs = reference.forward(
            self.architecture, self.parameters, images[i : i + 1], self.handed_over
        )
        for name, blob in blobs.items():
            results[name][i] = blob[0]

    def _run_block(self, results: dict[str, np.ndarray], block: int) -> None:
        rows = slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)
        blobs = {name: _pad_rows(results[name][rows]) for name in self.handed_over}
        for layer in self.batch_layers:
            inputs = [blobs[name] for name in self.architecture.inputs(layer.name)]
            keys = self.architecture.layer_parameter_shapes(layer.name)
            own = [self.parameters[key] for key in keys]
            if isinstance(layer, Dense):
                blobs[layer.name] = _dense(own, *inputs)
            else:
                blobs[layer.name] = reference.compute(layer, own, *inputs)
            if layer.name in results:
                target = results[layer.name][rows]
                target[:] = blobs[layer.name][: len(target)]


def _dense(parameters: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """A fully connected layer whose rows have the same bits wherever in the block they stand.

    The product is computed transposed. BLAS kernels cut only one side of a product into vectors,
    here that of the images; along the other some add up in an order that depends on the place.
    """
    kernel, bias = parameters
    product = kernel.T @ x.reshape(len(x), -1).T  # (units, rows)
    return np.add(product.T, bias, order="C")


def _pad_rows(x: np.ndarray) -> np.ndarray:
    """Fill up with zero rows to BLOCK_ROWS."""
    if len(x) == BLOCK_ROWS:
        return x
    padded = np.zeros((BLOCK_ROWS, *x.shape[1:]), x.dtype)
    padded[: len(x)] = x
    return padded
