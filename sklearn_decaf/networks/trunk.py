"""The part of a network that works on maps, compiled to a list of calls on fixed buffers.

Convolutions become matrix products: 1x1 as they are, others over patches copied to rows (im2col);
depthwise ones run on a direct kernel. What follows a product (bias, residual, ReLU, the move into
a concatenation or into the zero border that the next convolution wants) is one pass over it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial, singledispatchmethod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .. import _kernels
from .architecture import INPUT, Architecture
from .fusion import ConvStep, fuse
from .layers import (
    LRN,
    Add,
    Concat,
    Conv,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool,
    ReLU,
    Shape,
)

# Rows of one matrix product: the patches of that many pixels are copied, then multiplied while
# they are still in the cache.
PRODUCT_ROWS = 1024

PackedParameters = dict[str, tuple[list[np.ndarray], np.ndarray]]


class Arena:
    """Memory for maps. What was given back is used again, while it is still in the cache."""

    def __init__(self):
        self._free: list[np.ndarray] = []
        self._slabs: dict[int, np.ndarray] = {}

    def take(self, shape: Shape, dtype=np.float32) -> np.ndarray:
        """An array of the given shape; its values are arbitrary."""
        size = math.prod(shape) * np.dtype(dtype).itemsize // 4
        fitting = [i for i, slab in enumerate(self._free) if slab.size >= size]
        if fitting:
            slab = self._free.pop(min(fitting, key=lambda i: self._free[i].size))
        else:
            slab = _aligned_empty(size)
        array = slab[:size].view(dtype).reshape(shape)
        self._slabs[id(array)] = slab
        return array

    def give_back(self, array: np.ndarray) -> None:
        """Let the memory of an array from :meth:`take` be used again."""
        self._free.append(self._slabs.pop(id(array)))


def _aligned_empty(size: int) -> np.ndarray:
    """Uninitialised float32 values that begin at a cache line (64 bytes)."""
    raw = np.empty(size + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + size]


def pack_parameters(
    architecture: Architecture, parameters: Mapping[str, np.ndarray], layers: Iterable[Layer]
) -> PackedParameters:
    """Arrange each convolution's parameters as they are multiplied.

    Returns, by layer, a list of kernels and the bias. There is one kernel a group, of shape
    (k * k * c, filters), or one of shape (k, k, c) for a depthwise convolution. Where a network
    reads BGR, the channels of its first kernel are swapped instead of those of every image,
    unless groups keep them apart.
    """
    shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
    packed = {}
    for layer in layers:
        if not isinstance(layer, Conv):
            continue
        (source,) = architecture.inputs(layer.name)
        kernel = np.asarray(parameters[f"{layer.name}.kernel"], np.float32)  # (k, k, c, m)
        bias = np.ascontiguousarray(parameters[f"{layer.name}.bias"], np.float32)  # (m,)
        if source == INPUT and _kernel_swaps_channels(architecture, layer):
            kernel = kernel[:, :, ::-1]
        if layer.is_depthwise(shapes[source][-1]):
            kernels = [np.ascontiguousarray(kernel[:, :, 0])]
        else:
            if layer.double_precision:
                kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
            kernels = [
                np.ascontiguousarray(part).reshape(-1, part.shape[-1])
                for part in np.split(kernel, layer.groups, axis=-1)
            ]
        packed[layer.name] = kernels, bias
    return packed


def _kernel_swaps_channels(architecture: Architecture, first: Conv) -> bool:
    """Whether the first kernel turns RGB to BGR; one in groups does not hold all channels."""
    return architecture.preprocessing.channel_order == "bgr" and first.groups == 1


class TrunkProgram:
    """A list of calls on buffers of its own, for one thread at a time.

    Parameters
    ----------
    architecture : Architecture
    packed : dict
        From :func:`pack_parameters`; only read, so that programs share it.
    layers : sequence of Layer
        What is to be computed, in order.
    outputs : collection of str
        Layers whose values :meth:`run` hands out.
    """

    def __init__(
        self,
        architecture: Architecture,
        packed: PackedParameters,
        layers: Sequence[Layer],
        outputs: Collection[str],
    ):
        self._architecture = architecture
        self._packed = packed
        self._shapes = {INPUT: architecture.input_shape, **architecture.shapes()}
        self._arena = Arena()
        self._calls: list[Callable[[], object]] = []
        self._memory: dict[str, np.ndarray] = {}  # by layer, as the arena gave it
        self._bordered: set[str] = set()  # layers stored inside the zero border of their reader
        steps = fuse(architecture, layers, outputs)
        self._reads_left = dict.fromkeys(outputs, 1)  # an output is never given back
        for step in steps:
            for name in self._reads(step):
                self._reads_left[name] = self._reads_left.get(name, 0) + 1
        self._load = self._compile_input(steps[0])
        for step in steps:
            self._compile(step)
            for name in self._reads(step):
                self._release(name)
        self._results = {name: self._value(name) for name in outputs}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the outputs for one RGB image (h, w, 3), uint8; valid until the next call."""
        self._load(image)
        for call in self._calls:
            call()
        return self._results

    # Values and their memory -----------------------------------------------------------------

    def _reads(self, step: Layer | ConvStep) -> tuple[str, ...]:
        if not isinstance(step, ConvStep):
            return self._architecture.inputs(step.name)
        inputs = self._architecture.inputs(step.conv.name)
        return inputs if step.residual is None else (*inputs, step.residual)

    def _release(self, name: str) -> None:
        self._reads_left[name] -= 1
        # a member of a concatenation that was written in place has no memory of its own
        if self._reads_left[name] == 0 and name in self._memory:
            self._arena.give_back(self._memory.pop(name))

    def _new(self, name: str, shape: Shape | None = None) -> np.ndarray:
        self._memory[name] = self._arena.take(self._shapes[name] if shape is None else shape)
        return self._memory[name]

    def _value(self, name: str) -> np.ndarray:
        return self._memory[name].reshape(self._shapes[name])

    def _call(self, function: Callable, *args, **kwargs) -> None:
        self._calls.append(partial(function, *args, **kwargs))

    def _new_bordered(self, conv: Conv) -> tuple[np.ndarray, np.ndarray]:
        """Memory for a convolution's input with its zero border, and the view of the input."""
        (source,) = self._architecture.inputs(conv.name)
        h, w, c = self._shapes[source]
        (top, bottom), (left, right) = conv.pads((h, w, c))
        buffer = self._arena.take((top + h + bottom, left + w + right, c))
        for border in (buffer[:top], buffer[top + h :], buffer[:, :left], buffer[:, left + w :]):
            if border.size:  # the memory was something else before, so it is zeroed every time
                self._call(border.fill, np.float32(0))
        return buffer, buffer[top : top + h, left : left + w]

    # Compiling one step ----------------------------------------------------------------------

    def _compile_input(self, first: Layer | ConvStep) -> Callable[[np.ndarray], None]:
        """Prepare the call that writes an image, preprocessed, into the first layer's input."""
        if not isinstance(first, ConvStep) or self._reads_left[INPUT] != 1:
            raise ValueError("the image has to be read by one convolution, the first layer")
        preprocessing = self._architecture.preprocessing
        h, w, c = self._shapes[INPUT]
        buffer, _ = self._new_bordered(first.conv)
        self._memory[INPUT] = buffer
        (top, _), (left, _) = first.conv.pads((h, w, c))
        self._bordered.add(INPUT)
        rows = buffer.reshape(len(buffer), -1)[top : top + h, left * c : (left + w) * c]
        bgr = preprocessing.channel_order == "bgr"
        in_kernel = _kernel_swaps_channels(self._architecture, first.conv)
        swap, keep = slice(None, None, -1), slice(None)
        to_rgb = swap if in_kernel else keep
        mean = preprocessing.crop_mean().astype(np.float32)[..., to_rgb]  # (3,) or (h, w, 3)
        mean = np.tile(mean, w) if mean.ndim == 1 else mean.reshape(h, w * c)
        std = np.tile(np.asarray(preprocessing.std, np.float32)[to_rgb], w)
        channels = swap if bgr and not in_kernel else keep
        flip = swap if preprocessing.flip_vertical else keep
        scaled = bool((std != 1).any())

        def load(image: np.ndarray) -> None:
            np.subtract(image[flip, :, channels].reshape(h, w * c), mean, out=rows)
            if scaled:
                np.divide(rows, std, out=rows)

        return load

    @singledispatchmethod
    def _compile(self, step) -> None:
        raise TypeError(f"the engine has no step for layers of type {type(step).__name__}")

    @_compile.register
    def _(self, layer: MaxPool) -> None:
        (source,) = self._architecture.inputs(layer.name)
        x = self._value(source)
        self._call(_kernels.max_pool, x, layer.size, layer.stride, self._new(layer.name))

    @_compile.register
    def _(self, layer: LRN) -> None:
        (source,) = self._architecture.inputs(layer.name)
        c = self._shapes[source][-1]
        x, out = (a.reshape(-1, c) for a in (self._value(source), self._new(layer.name)))
        alpha, beta, k = (np.float32(v) for v in (layer.alpha, layer.beta, layer.k))
        self._call(_kernels.lrn, x, layer.size, alpha, beta, k, out)

    @_compile.register
    def _(self, layer: ReLU) -> None:
        (source,) = self._architecture.inputs(layer.name)
        limits = np.float32(0), np.float32(layer.max_value)
        self._call(np.clip, self._value(source), *limits, out=self._new(layer.name))

    @_compile.register
    def _(self, layer: Add) -> None:
        a, b = (self._value(name) for name in self._architecture.inputs(layer.name))
        self._call(np.add, a, b, out=self._new(layer.name))

    @_compile.register
    def _(self, layer: GlobalAveragePool) -> None:
        (source,) = self._architecture.inputs(layer.name)
        x = self._value(source)
        self._call(np.mean, x, axis=(0, 1), out=self._new(layer.name))

    @_compile.register
    def _(self, layer: GlobalMaxPool) -> None:
        (source,) = self._architecture.inputs(layer.name)
        self._call(np.max, self._value(source), axis=(0, 1), out=self._new(layer.name))

    @_compile.register
    def _(self, layer: Concat) -> None:
        """Copy the inputs that were not written in place."""
        out = self._concat_memory(layer.name).reshape(self._shapes[layer.name])
        for name, offset in self._concat_offsets(layer.name):
            if name in self._memory:
                value = self._value(name)
                self._call(np.copyto, out[..., offset : offset + value.shape[-1]], value)

    def _concat_memory(self, name: str) -> np.ndarray:
        return self._memory[name] if name in self._memory else self._new(name)

    def _concat_offsets(self, name: str) -> list[tuple[str, int]]:
        offsets, offset = [], 0
        for source in self._architecture.inputs(name):
            offsets.append((source, offset))
            offset += self._shapes[source][-1]
        return offsets

    @_compile.register
    def _(self, step: ConvStep) -> None:
        conv = step.conv
        (source,) = self._architecture.inputs(conv.name)
        oh, ow, m = self._shapes[conv.name]
        x = self._memory[source] if source in self._bordered else self._value(source)
        scratch = []
        if source not in self._bordered and conv.pads(self._shapes[source]) != ((0, 0), (0, 0)):
            buffer, interior = self._new_bordered(conv)
            self._call(np.copyto, interior, x)
            x = buffer
            scratch.append(buffer)
        kernels, bias = self._packed[conv.name]
        low, high = step.limits
        if conv.is_depthwise(self._shapes[source][-1]):
            out = self._new(step.output)
            wide = conv.double_precision
            run = _kernels.depthwise_double if wide else _kernels.depthwise
            self._call(run, x, kernels[0], bias, conv.stride, low, high, out)
        else:
            shape, dtype = (oh * ow, m), kernels[0].dtype
            if dtype == np.float32 and step.concat is None and step.border_of is None:
                product = self._new(step.output, shape)  # finished in place
            else:
                product = self._arena.take(shape, dtype)
                scratch.append(product)
            self._multiply(x, conv, kernels, product, (oh, ow))
            finish = self._finish if dtype == np.float32 else self._finish_double
            finish(step, product, bias, (oh, ow, m))
        for array in scratch:
            self._arena.give_back(array)

    def _multiply(self, x, conv: Conv, kernels, product, size: tuple[int, int]) -> None:
        """Convolve x (hp, wp, c), border included, into product (oh * ow, m), without the bias."""
        oh, ow = size
        direct = conv.kernel_size == conv.stride == conv.groups == 1
        if direct and x.dtype == product.dtype:
            self._call(np.matmul, x.reshape(oh * ow, -1), kernels[0], out=product)
            return
        k, s, c = conv.kernel_size, conv.stride, x.shape[-1] // conv.groups
        columns = np.split(product, conv.groups, axis=-1)
        n_rows = min(oh, max(1, PRODUCT_ROWS // ow))  # rows of pixels a product
        patches = self._arena.take((n_rows * ow, k * k * c), product.dtype)
        for y in range(0, oh, n_rows):
            n = min(n_rows, oh - y)
            rows = patches[: n * ow]
            for group, kernel in enumerate(kernels):
                part = x[y * s :, :, group * c : (group + 1) * c]
                dy, dx, dc = part.strides
                windows = as_strided(part, (n, ow, k, k, c), (dy * s, dx * s, dy, dx, dc))
                self._call(np.copyto, rows.reshape(n, ow, k, k, c), windows)
                out = columns[group][y * ow : (y + n) * ow]
                self._call(np.matmul, rows, kernel, out=out)
        self._arena.give_back(patches)

    def _finish(self, step: ConvStep, product, bias, shape: Shape) -> None:
        """Bias, residual, ReLU, and the way to where the value is wanted, in one pass."""
        oh, ow, m = shape
        low, high = step.limits
        if step.concat is not None:
            out, offset = self._concat_place(step)
            out = out.reshape(oh * ow, -1)
            self._call(_kernels.bias_clip_into, product, bias, low, high, out, offset)
            return
        # whole rows of pixels make long inner loops
        rows, row_bias = product.reshape(oh, ow * m), np.tile(bias, ow)
        if step.border_of is not None:
            buffer, (top, left) = self._border_place(step, shape)
            out = buffer.reshape(len(buffer), -1)[top : top + oh]
            self._call(_kernels.bias_clip_into, rows, row_bias, low, high, out, left * m)
        elif step.residual is not None:
            residual = self._value(step.residual).reshape(oh, ow * m)
            self._call(_kernels.bias_add_clip, rows, row_bias, residual, low, high)
        else:
            self._call(_kernels.bias_clip, rows, row_bias, low, high)

    def _finish_double(self, step: ConvStep, product, bias, shape: Shape) -> None:
        """The same for a product in float64, which is rounded on its way."""
        oh, ow, m = shape
        if step.concat is not None:
            out, offset = self._concat_place(step)
            out = out[..., offset : offset + m]
        elif step.border_of is not None:
            buffer, (top, left) = self._border_place(step, shape)
            out = buffer[top : top + oh, left : left + ow]
        else:
            out = self._new(step.output).reshape(shape)
        product = product.reshape(shape)
        self._call(np.add, product, bias, out=product)
        if step.residual is not None:
            self._call(np.add, product, self._value(step.residual), out=product)
        self._call(np.clip, product, *step.limits, out=out, casting="same_kind")

    def _concat_place(self, step: ConvStep) -> tuple[np.ndarray, int]:
        """The concatenation a step writes into (h, w, c), and its first channel there."""
        offset = dict(self._concat_offsets(step.concat))[step.output]
        return self._concat_memory(step.concat).reshape(self._shapes[step.concat]), offset

    def _border_place(self, step: ConvStep, shape: Shape) -> tuple[np.ndarray, tuple[int, int]]:
        """The next convolution's input with its border, and where a step's value begins there."""
        reader = self._architecture[step.border_of]
        (top, _), (left, _) = reader.pads(shape)
        buffer, _ = self._new_bordered(reader)
        self._memory[step.output] = buffer
        self._bordered.add(step.output)
        return buffer, (top, left)
