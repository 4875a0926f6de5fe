"""Torch state dicts: what both of torch's file formats have in common.

A state dict is a pickle of an ``OrderedDict`` from names to tensors. A tensor is a view (offset,
shape, strides) of a storage, and a storage is a persistent id: the pickle holds its key, type
and length, and the bytes lie elsewhere in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ...exceptions import WeightsError
from ._arrays import bfloat16_to_float32, check_shape
from ._messages import describe
from ._pickle import Buildable, Constructor

# BFloat16 is kept as its 16 bits until `bfloat16_to_float32`
STORAGE_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` numbers, called ``key`` in the file."""

    key: str
    kind: str
    count: int

    @property
    def itemsize(self) -> int:
        return 2 if self.kind == "bfloat16" else np.dtype(self.kind).itemsize


@dataclass(frozen=True)
class TensorView:
    """A tensor as the pickle describes it, still without numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dict(dict, Buildable):
    """Stand-in for OrderedDict; the state torch gives it (versions of modules) is not needed."""

    def build(self, state: object) -> None:
        if not isinstance(state, dict):
            raise WeightsError("an OrderedDict with a state that torch does not write")


@dataclass
class StateReader:
    """The names a state dict may use, and the storages it turns out to refer to."""

    storages: dict[str, Storage] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, object]:
        return {
            "collections.OrderedDict": Constructor("OrderedDict", _ordered_dict),
            "torch._utils._rebuild_tensor_v2": Constructor("_rebuild_tensor_v2", _tensor),
            "torch._utils._rebuild_parameter": Constructor("_rebuild_parameter", _parameter),
        } | {f"torch.{name}": kind for name, kind in STORAGE_DTYPES.items()}

    def persistent(self, identity: object) -> Storage:
        """The storage that ``("storage", type, key, location, count[, view])`` refers to."""
        if (
            not isinstance(identity, tuple)
            or not 5 <= len(identity) <= 6
            or identity[0] != "storage"
            or identity[1] not in STORAGE_DTYPES.values()
            or not isinstance(identity[2], str)
            or type(identity[4]) is not int
            or not 0 <= identity[4] < 2**40
        ):
            raise WeightsError("a reference to a storage that torch does not write")
        if len(identity) == 6 and identity[5] is not None:
            raise WeightsError(f"storage {describe(identity[2])} is a view of another storage")
        storage = Storage(identity[2], identity[1], identity[4])
        if self.storages.setdefault(storage.key, storage) != storage:
            raise WeightsError(f"storage {describe(storage.key)} is declared in two ways")
        return storage


def _ordered_dict(arguments: tuple) -> _Dict:
    if arguments:
        raise WeightsError("an OrderedDict that does not begin empty")
    return _Dict()


def _tensor(arguments: tuple) -> TensorView:
    # (storage, offset, shape, strides, requires_grad, hooks[, metadata])
    if not 6 <= len(arguments) <= 7 or not isinstance(arguments[0], Storage):
        raise WeightsError("a tensor that torch does not write")
    storage, offset, shape, strides = arguments[:4]
    shape, strides = check_shape(shape), check_shape(strides)
    (offset,) = check_shape((offset,))
    if len(shape) != len(strides):
        raise WeightsError(f"a tensor of shape {shape} with strides {strides}")
    if math.prod(shape):
        # outermost first: each stride has to step over all that lies inside it
        inside = 1
        for stride, n in sorted(zip(strides, shape)):
            if n > 1 and stride < inside:
                raise WeightsError(f"a tensor of shape {shape} overlaps itself, strides {strides}")
            if n > 1:
                inside = stride * (n - 1) + inside
        if offset + inside > storage.count:
            raise WeightsError(
                f"a tensor of shape {shape}, strides {strides} and offset {offset} goes past the "
                f"{storage.count} numbers of storage {describe(storage.key)}"
            )
    return TensorView(storage, offset, shape, strides)


def _parameter(arguments: tuple) -> TensorView:
    # (tensor, requires_grad, hooks)
    if len(arguments) != 3 or not isinstance(arguments[0], TensorView):
        raise WeightsError("a parameter that torch does not write")
    return arguments[0]


def named_views(value: object, reader: StateReader) -> dict[str, TensorView]:
    """The tensors of an unpickled state dict; anything else raises."""
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]  # a training checkpoint
    if not isinstance(value, dict) or not value:
        raise WeightsError(f"the file holds {describe(value)}, not a state dict of tensors")
    for name, item in value.items():
        if not isinstance(item, TensorView):
            raise WeightsError(f"{describe(name)} is {describe(item)}, not a tensor")
    # a small storage under many names could become any amount of memory later
    shown = sum(math.prod(view.shape) for view in value.values())
    if shown > sum(storage.count for storage in reader.storages.values()):
        raise WeightsError("the tensors share their storages")
    return value


def tensor_array(view: TensorView, raw: memoryview) -> np.ndarray:
    """A tensor's numbers as a read-only view of its storage's bytes."""
    storage = view.storage
    dtype = np.dtype("<u2" if storage.kind == "bfloat16" else storage.kind)
    array: np.ndarray = np.ndarray(
        view.shape,
        dtype,
        buffer=raw,
        offset=view.offset * dtype.itemsize if math.prod(view.shape) else 0,
        strides=[n * dtype.itemsize for n in view.strides],
    )
    if storage.kind == "bfloat16":
        array = bfloat16_to_float32(array)
    array.flags.writeable = False
    return array
