"""Runs a network fast: a plan is made once for the layers that are wanted, and run on batches.

The layers are cut into up to three stages:

- The **per-image stage**, on maps, runs one image at a time, so that an image's maps stay in the
  cache.
- Where the weights of a convolution are larger than its maps, the layers on maps from there on, the
  **grouped stage**, run on up to `Limits.group_size` images together, so that the weights are read
  once for all.
- The **batch stage**, from the first fully connected layer on, runs on the whole batch.

Several threads take images, groups of images, or parts of a fully connected layer. For fewer images
than threads, the steps for one image are divided instead. All kernels treat a row of a matrix alike
wherever it stands, so an image's features have the same bits in any batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ... import _kernels
from ..architecture import INPUT, Architecture
from ..layers import Conv, Layer
from .batch_stage import BatchStage, split_batch_layers
from .checks import check_layers, check_outputs
from .convolutions import pack_convolutions
from .image_input import swaps_pixels
from .limits import Limits
from .lowering import lower
from .numpy_fallback import NumpyFallback
from .stage import make_stages


class Plan:
    """A network prepared to compute certain layers.

    Parameters
    ----------
    architecture : Architecture
    parameters : dict of str to ndarray
        By full names, such as ``"conv1.kernel"``; those on the way to `outputs` must be there.
    outputs : iterable of str
        Names of the wanted layers.
    exact : bool, default=False
        Compute convolutions by plain sums only, not by Winograd's algorithm: slower, and rounded
        less.
    limits : Limits, default=Limits()
        How the work is cut.

    Attributes
    ----------
    stages : tuple of Stage
        Those on maps: the per-image stage and, where it pays, the grouped stage. None without
        compiled kernels.
    batch_stage : BatchStage or None

    Raises
    ------
    TypeError
        If a layer on the way to `outputs` is of a kind that the engine cannot run there.
    ValueError
        If there is no such output, or a layer has options or inputs that the engine cannot do with.

    Notes
    -----
    A plan holds packed weights, shared by all threads, and workspaces, made when they are first
    needed and used again. Several threads may call :meth:`run` at the same time. Without compiled
    kernels a plan runs on :mod:`~sklearn_decaf.networks.reference`.
    """

    def __init__(
        self,
        architecture: Architecture,
        parameters: Mapping[str, np.ndarray],
        outputs: Iterable[str],
        *,
        exact: bool = False,
        limits: Limits = Limits(),  # noqa: B008  it is frozen
    ):
        self.architecture = architecture
        self.outputs = tuple(outputs)
        check_outputs(architecture, self.outputs)
        lowered = lower(architecture, parameters, self.outputs)
        self._names, self._originals = lowered.names, lowered.originals
        architecture, parameters = lowered.architecture, lowered.parameters
        outputs = tuple(dict.fromkeys(lowered.names.values()))
        layers = architecture.ancestors(outputs)
        map_layers, batch_layers = split_batch_layers(architecture, layers)
        check_layers(architecture, map_layers, batch_layers)
        wanted = {name for layer in batch_layers for name in architecture.inputs(layer.name)}
        wanted.update(outputs)
        self.stages, self.batch_stage, self._fallback = (), None, None
        if _kernels.KERNEL_SET is None:
            _kernels.warn_if_missing()
            maps = tuple(layer.name for layer in map_layers if layer.name in wanted)
            self._fallback = NumpyFallback(architecture, parameters, batch_layers, maps, outputs)
            return
        self._shapes = architecture.shapes()
        packed = pack_convolutions(architecture, parameters, map_layers, exact=exact, limits=limits)
        packed.update(_plain_parameters(architecture, parameters, map_layers))
        self.stages = tuple(make_stages(architecture, packed, map_layers, wanted, limits))
        self.batch_stage = BatchStage(architecture, parameters, batch_layers, limits)
        self._swaps_pixels = swaps_pixels(architecture, map_layers[0])

    def run(self, images: np.ndarray, n_threads: int = 1) -> list[np.ndarray]:
        """Compute the outputs for a batch of images.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3), uint8 or float32
            RGB, of the network's input size, values from 0 to 255.
        n_threads : int, default=1
            Threads that share the work.

        Returns
        -------
        list of ndarray, float32
            One array an output, of shape (n, h, w, c) or (n, c).

        Raises
        ------
        ValueError
            If the images are not of the network's input size.
        """
        self._check_images(images)
        n, shapes = len(images), self.architecture.shapes()
        if not n:
            return [np.empty((0, *shapes[name]), np.float32) for name in self.outputs]
        blobs = self._run(images, n_threads)
        return [blobs[self._names[name]].reshape(n, *shapes[name]) for name in self.outputs]

    def _run(self, images: np.ndarray, n_threads: int) -> dict[str, np.ndarray]:
        """Compute the values of the lowered network's outputs, and perhaps of other layers."""
        if self._fallback is not None:
            return self._fallback.run(images, n_threads)
        n = len(images)
        maps = self._new_maps(images, n_threads)
        for stage in self.stages:
            stage.run(maps, n, n_threads)
        blobs = {name: values[:n] for name, values in maps.items()}
        self.batch_stage.run(blobs, n_threads)
        return blobs

    def profile(
        self, images: np.ndarray, n_threads: int = 1
    ) -> list[tuple[str, tuple[str, ...], float]]:
        """Time each step of the computation.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3)
            As for :meth:`run`.
        n_threads : int, default=1
            Threads among which each step is divided.

        Returns
        -------
        list of (str, tuple of str, float)
            Name of the step, the layers it computes (none: the preprocessing), and the seconds it
            took for all images. Nothing for no images.

        Raises
        ------
        RuntimeError
            If the package runs without compiled kernels: then there are no steps.
        """
        if self._fallback is not None:
            raise RuntimeError("without compiled kernels there are no steps to time")
        self._check_images(images)
        seconds: dict[tuple[str, ...], float] = {}
        n = len(images)
        if not n:
            return []
        maps = self._new_maps(images, n_threads)
        for stage in self.stages:
            stage.add_seconds(maps, n, n_threads, seconds)
        blobs = {name: values[:n] for name, values in maps.items()}
        self.batch_stage.add_seconds(blobs, n_threads, seconds)
        named = [(self._original_layers(layers), time) for layers, time in seconds.items()]
        return [(layers[0] if layers else INPUT, layers, time) for layers, time in named]

    def _original_layers(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        """The layers of the network as it was given that a step computes."""
        return tuple(name for layer in layers for name in self._originals.get(layer, (layer,)))

    def _check_images(self, images: np.ndarray) -> None:
        if images.shape[1:] != self.architecture.input_shape:
            raise ValueError(
                f"images of shape {images.shape}; {self.architecture.name} takes images of shape "
                f"{self.architecture.input_shape}"
            )

    def _new_maps(self, images: np.ndarray, n_threads: int) -> dict[str, np.ndarray]:
        """The pixels, and memory for what the stages hand over.

        For all images, and for those that fill the last group up, which are zeros.
        """
        n, shapes = len(images), self._shapes
        groups = [group for stage in self.stages for group in stage.groups(n, n_threads)]
        rows = max([n, *(group.end for group in groups)])
        names = [name for stage in self.stages for name in stage.outputs]
        maps = {name: np.empty((rows, *shapes[name]), np.float32) for name in names}
        for values in maps.values():
            values[n:] = 0
        pixels = images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
        if self._swaps_pixels:
            pixels = pixels[..., ::-1]
        return {INPUT: np.ascontiguousarray(pixels), **maps}


def _plain_parameters(
    architecture: Architecture, parameters: Mapping[str, np.ndarray], layers: Iterable[Layer]
) -> dict[str, list[np.ndarray]]:
    """The parameters of layers on maps that are no convolutions, as kernels read them."""
    keys = {
        layer.name: list(architecture.layer_parameter_shapes(layer.name))
        for layer in layers
        if not isinstance(layer, Conv)
    }
    return {
        name: [np.ascontiguousarray(parameters[key], np.float32) for key in own]
        for name, own in keys.items()
        if own
    }
