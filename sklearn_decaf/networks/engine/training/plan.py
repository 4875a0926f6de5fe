"""Runs a network forward and backward, a group of images at a time.

Images do not depend on each other, so a group goes forward and backward at once, and of its maps
nothing is kept but the gradients of the parameters. Memory does not grow with the batch. Threads
take groups; the gradients of the groups are added in their order, and the size of a group depends
on the network alone: the bits do not depend on the threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from .... import _kernels
from ...architecture import INPUT, Architecture
from ...layers import BatchNorm
from .compiled_passes import CompiledPasses, Loss
from .numpy_passes import NumpyPasses
from .trained_network import layers_between


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
        Images that go forward and backward together. Default: as many as keep maps of some 48 MB,
        a power of two, at most 16. Fully connected layers with large weights at the end of a
        network are computed for several groups at once, some 32 images.
    exact : bool, default=False
        Compute convolutions and their gradients by plain sums only.
    batch_norm : {"frozen", "group"}, default="frozen"
        The statistics of the batch normalisations that are trained: the running ones, which stay as
        they are, or those of the images of a group. With "group", :meth:`gradients` changes the
        running ones, in `parameters`, after each group.
    batch_norm_momentum : float, default=0.1
        How far the running statistics go towards those of a group.

    Raises
    ------
    ValueError
        If a name is not that of a layer, a trainable layer does not lie between `start` and
        `output`, or `output` depends on more than `start`.
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
        batch_norm: str = "frozen",
        batch_norm_momentum: float = 0.1,
    ):
        self.architecture = architecture
        self.parameters = parameters
        self.output = output
        self.start = start
        self.dropout = dict(dropout or {})
        self.exact = exact
        for parameter, names in (("output", [output]), ("start", [start]), ("dropout", dropout)):
            known = {INPUT, *architecture.layer_names}
            _check_names(parameter, names or (), known, f"of {architecture.name!r}")
        self.layers = layers_between(architecture, start, output)
        if trainable is None:
            trainable = [
                one.name for one in self.layers if architecture.layer_parameter_shapes(one.name)
            ]
        self.trainable = tuple(trainable)
        between = {layer.name for layer in self.layers}
        way = f"on the way from {start!r} to {output!r}"
        _check_names("trainable", self.trainable, between, way)
        if batch_norm not in ("frozen", "group"):
            raise ValueError(f"batch_norm={batch_norm!r} must be 'frozen' or 'group'")
        self.batch_norm = batch_norm
        norms = [
            layer.name
            for layer in self.layers
            if isinstance(layer, BatchNorm) and layer.name in self.trainable
        ]
        if _kernels.KERNEL_SET is None or not self.layers:
            if self.layers:
                _kernels.warn_if_missing()
            kind = NumpyPasses
        else:
            kind = CompiledPasses
        self._passes = kind(
            architecture,
            parameters,
            output,
            start=start,
            trainable=self.trainable,
            dropout=self.dropout,
            group_size=group_size,
            exact=exact,
            norms=norms if batch_norm == "group" else (),
            momentum=batch_norm_momentum,
        )
        self.group_size = self._passes.group_size

    def refresh(self) -> None:
        """Take over parameters that have changed, before the next pass."""
        self._passes.refresh()

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
        self._check(inputs)
        return self._passes.forward(inputs, n_threads)

    def gradients(
        self, inputs: np.ndarray, loss: Loss, *, seed: int = 0, n_threads: int = 1
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Compute a loss and its gradients by the trainable parameters.

        Parameters
        ----------
        inputs : ndarray
            As of :meth:`forward`.
        loss : callable
            Given the output of some images and the slice that says which they are, returns
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
        self._check(inputs)
        return self._passes.gradients(inputs, loss, seed, n_threads)

    def profile(
        self, inputs: np.ndarray, loss: Loss, *, seed: int = 0
    ) -> list[tuple[tuple[str, ...], str, float]]:
        """Compute the same as :meth:`gradients` with one thread, and time its parts.

        Parameters
        ----------
        inputs, loss, seed
            As of :meth:`gradients`.

        Returns
        -------
        list of (tuple of str, str, float)
            Layers that are computed together (none: the preprocessing), what is computed, and the
            seconds it took for all images. That is "forward"; or, backward, "activation" (the
            gradient through activations, with that by biases, and through layers without weights),
            "weights", or "input" (the gradient by the layers that are read).

        Raises
        ------
        RuntimeError
            If the package runs without compiled kernels.
        """
        if isinstance(self._passes, NumpyPasses):
            raise RuntimeError("without compiled kernels there are no parts to time")
        self._check(inputs)
        found = self._passes.profile(inputs, loss, seed)
        return [(layers, kind, seconds) for (layers, kind), seconds in found.items()]

    def _check(self, inputs: np.ndarray) -> None:
        shapes = {INPUT: self.architecture.input_shape, **self.architecture.shapes()}
        expected = shapes[self.start]
        if inputs.shape[1:] != expected:
            what = "images" if self.start == INPUT else f"outputs of {self.start!r}"
            raise ValueError(
                f"inputs of shape {inputs.shape}: {what} have shape (n, "
                f"{', '.join(map(str, expected))})"
            )


def _check_names(parameter: str, names: Iterable[str], known: Collection[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{parameter} names {name!r}, which is no layer {where}")
