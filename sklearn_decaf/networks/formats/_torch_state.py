"""Torch's tensors in a pickle: what both of torch's file formats have in common.

A tensor is a view (offset, shape, strides) of a storage, and a storage is a persistent id: the
pickle holds its key, type and length, and the bytes lie elsewhere in the file. The tensors of a
network are in a state dict, an ``OrderedDict`` from names to tensors. That may be all that a file
holds, or one of many things in it: the checkpoint of a training program.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...exceptions import WeightsError
from ._arrays import PickledArray, array_names, bfloat16_to_float32, check_shape
from ._contents import Contents, FileLayer
from ._messages import describe
from ._objects import describe_foreign, find_leaves, is_module
from ._pickle import Buildable, Constructor

MAX_MODULES = 10_000
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
# Bytes a number of the types that are not read, to find what comes after them.
OTHER_STORAGES = {
    "torch.ComplexFloatStorage": 8,
    "torch.ComplexDoubleStorage": 16,
    "torch.QInt8Storage": 1,
    "torch.QUInt8Storage": 1,
    "torch.QInt32Storage": 4,
    "torch.UntypedStorage": 1,
    "torch.storage.UntypedStorage": 1,
}


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` numbers, called ``key`` in the file."""

    key: str
    kind: str
    count: int

    @property
    def is_read(self) -> bool:
        """True if its numbers are of a type that is read."""
        return self.kind in STORAGE_DTYPES.values()

    @property
    def itemsize(self) -> int:
        if not self.is_read:
            if self.kind not in OTHER_STORAGES:
                raise WeightsError(f"storage {describe(self.key)} is of type {describe(self.kind)}")
            return OTHER_STORAGES[self.kind]
        return 2 if self.kind == "bfloat16" else np.dtype(self.kind).itemsize


@dataclass(frozen=True)
class TensorView:
    """A tensor as the pickle describes it, still without numbers.

    ``problem`` says why it cannot be read; that matters if somebody wants it.
    """

    storage: Storage | None
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    problem: str = ""


class _Dict(dict, Buildable):
    """Stand-in for OrderedDict; the state torch gives it (versions of modules) is not needed."""

    def build(self, state: object) -> None:
        pass


@dataclass
class StateReader:
    """The names that a file may use, and the storages that it turns out to refer to."""

    size: int  # of the file
    storages: dict[str, Storage] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, object]:
        tensor = Constructor("_rebuild_tensor_v2", _tensor)
        return array_names(self.size) | {
            "collections.OrderedDict": Constructor("OrderedDict", _ordered_dict),
            "torch._utils._rebuild_tensor": tensor,
            "torch._utils._rebuild_tensor_v2": tensor,
            "torch._utils._rebuild_parameter": Constructor("_rebuild_parameter", _parameter),
            "torch._utils._rebuild_parameter_with_state": Constructor(
                "_rebuild_parameter_with_state", _parameter
            ),
            "torch._tensor._rebuild_from_type_v2": Constructor(
                "_rebuild_from_type_v2", _subclass_of_tensor
            ),
            **{
                f"torch._utils.{name}": Constructor(name, _unread(name))
                for name in (
                    "_rebuild_qtensor",
                    "_rebuild_sparse_tensor",
                    "_rebuild_sparse_csr_tensor",
                    "_rebuild_tensor_v3",
                    "_rebuild_device_tensor_from_numpy",
                    "_rebuild_device_tensor_from_cpu_tensor",
                    "_rebuild_meta_tensor_no_storage",
                    "_rebuild_nested_tensor",
                    "_rebuild_wrapper_subclass",
                )
            },
            **{f"torch.{name}": kind for name, kind in STORAGE_DTYPES.items()},
        }

    def persistent(self, identity: object) -> object:
        """The storage that ``("storage", type, key, location, count[, view])`` refers to."""
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # the class of a module, beside its source code
        if (
            not isinstance(identity, tuple)
            or not 5 <= len(identity) <= 6
            or identity[0] != "storage"
            or not isinstance(identity[2], str)
            or type(identity[4]) is not int
            or not 0 <= identity[4] < 2**40
        ):
            raise WeightsError("a reference to a storage that torch does not write")
        kind = identity[1].name if isinstance(identity[1], Constructor) else identity[1]
        if not isinstance(kind, str):
            raise WeightsError("a reference to a storage that torch does not write")
        if len(identity) == 6 and identity[5] is not None:
            raise WeightsError(f"storage {describe(identity[2])} is a view of another storage")
        storage = Storage(identity[2], kind, identity[4])
        if self.storages.setdefault(storage.key, storage) != storage:
            raise WeightsError(f"storage {describe(storage.key)} is declared in two ways")
        return storage


def _ordered_dict(arguments: tuple) -> _Dict:
    made = _Dict()
    # Python 3 fills it afterwards, Python 2 passes a list of pairs
    pairs = arguments[0] if arguments else []
    if len(arguments) > 1 or not isinstance(pairs, list):
        raise WeightsError("an OrderedDict that Python does not write")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise WeightsError("an OrderedDict of something else than pairs")
        key = pair[0].decode("latin-1") if isinstance(pair[0], bytes) else pair[0]
        if isinstance(key, str):
            made[key] = pair[1]
    return made


def _tensor(arguments: tuple) -> TensorView:
    # (storage, offset, shape, strides[, requires_grad, hooks[, metadata]])
    if not 4 <= len(arguments) <= 7 or not isinstance(arguments[0], Storage):
        return TensorView(None, problem="a tensor that torch does not write")
    storage, offset, shape, strides = arguments[:4]
    try:
        shape, strides = check_shape(shape), check_shape(strides)
        (offset,) = check_shape((offset,))
        _check_view(storage, offset, shape, strides)
    except WeightsError as error:
        return TensorView(None, problem=str(error))
    return TensorView(storage, offset, shape, strides)


def _check_view(storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
    """Make sure that a view stays inside its storage and shows no number twice."""
    if not storage.is_read:
        raise WeightsError(f"a tensor of type {describe(storage.kind)}, which is not read")
    if len(shape) != len(strides):
        raise WeightsError(f"a tensor of shape {shape} with strides {strides}")
    if not math.prod(shape):
        return
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


def _parameter(arguments: tuple) -> TensorView:
    # (tensor, requires_grad, hooks[, state])
    if not 3 <= len(arguments) <= 4 or not isinstance(arguments[0], TensorView):
        return TensorView(None, problem="a parameter that torch does not write")
    return arguments[0]


def _subclass_of_tensor(arguments: tuple) -> object:
    # (function, type, arguments of the function, state)
    if len(arguments) == 4 and isinstance(arguments[0], Constructor):
        inner = arguments[2]
        if isinstance(inner, tuple) and arguments[0].make in (_tensor, _parameter):
            return arguments[0].make(inner)
    return TensorView(None, problem="a tensor of a class of its own")


def _unread(name: str) -> Callable[[tuple], TensorView]:
    return lambda arguments: TensorView(
        None, problem=f"a tensor of a kind that is not read ({name}: quantised, sparse or the like)"
    )


# -- the state dicts in a file --

Views = dict[str, TensorView | np.ndarray]


def find_groups(value: object, reader: StateReader) -> dict[str, Views]:
    """The state dicts in an unpickled object, by the keys that lead to them.

    A state dict is a dict of tensors with dots in their names. Optimizers hold dicts of tensors
    too, one for each parameter, with names like ``exp_avg``. If there is no state dict, all tensors
    are taken for one, named by all the keys that lead to them.
    """
    leaves = find_leaves(value, _is_tensor)
    places = {keys[:-1] for keys, _ in leaves if keys and "." in keys[-1]}
    found: dict[str, dict[str, TensorView | PickledArray]] = {}
    for keys, leaf in leaves:
        if not places:
            found.setdefault("", {})[".".join(keys)] = leaf
        elif keys[:-1] in places:
            found.setdefault(".".join(keys[:-1]), {})[keys[-1]] = leaf
    groups, problem = {}, f"it is {describe_foreign(value)}"
    for group, tensors in found.items():
        try:
            groups[group] = {name: _readable(name, leaf) for name, leaf in tensors.items()}
        except WeightsError as error:
            problem = str(error)
    if not groups:
        raise WeightsError(f"the file holds no state dict of tensors: {problem}")
    _check_amount([view for views in groups.values() for view in views.values()], reader)
    return groups


def _is_tensor(value: object) -> bool:
    is_array = isinstance(value, PickledArray) and value.array is not None
    return is_array or isinstance(value, TensorView)


def _readable(name: str, leaf: TensorView | PickledArray) -> TensorView | np.ndarray:
    if isinstance(leaf, PickledArray):
        return leaf.numbers()
    if leaf.problem:
        raise WeightsError(f"{describe(name)} is {leaf.problem}")
    return leaf


def _check_amount(views: list, reader: StateReader) -> None:
    """Refuse a small storage that is shown in many ways and could become any amount of memory."""
    distinct = {view for view in views if isinstance(view, TensorView)}
    shown = sum(math.prod(view.shape) for view in distinct)
    if shown > sum(storage.count for storage in reader.storages.values()):
        raise WeightsError("the tensors share their storages")


def needed_storages(groups: dict[str, Views]) -> set[str]:
    """Keys of the storages that state dicts refer to."""
    views = (view for group in groups.values() for view in group.values())
    return {view.storage.key for view in views if isinstance(view, TensorView)}


def contents(value: object, groups: dict[str, Views], blocks: dict[str, memoryview]) -> Contents:
    """State dicts with their numbers, given the bytes of the storages."""
    tensors = {
        group: {name: _array(view, blocks) for name, view in views.items()}
        for group, views in groups.items()
    }
    return Contents(tensors, {}, tuple(_layers_of_modules(value)))


def _layers_of_modules(value: object) -> list[FileLayer]:
    """Constants of the layers in modules that were saved whole, where a state dict has none."""
    layers = []
    modules = [(".".join(keys), module) for keys, module in find_leaves(value, is_module)]
    while modules and len(layers) < MAX_MODULES:
        name, module = modules.pop()
        state = module.state
        if module.name == "torch.nn.modules.conv.Conv2d":
            layers.append(FileLayer(name, "conv", None, _conv_constants(state), f"{name}.weight"))
        elif isinstance(state["_buffers"], dict) and "running_var" in state["_buffers"]:
            epsilon = state.get("eps")
            stated = {"epsilon": epsilon if isinstance(epsilon, float) else None}
            layers.append(FileLayer(name, "batch_norm", None, stated, f"{name}.weight"))
        inner = state["_modules"] if isinstance(state["_modules"], dict) else {}
        modules += [
            (f"{name}.{key}" if name else key, part)
            for key, part in inner.items()
            if is_module(part)
        ]
    return layers


def _array(view: TensorView | np.ndarray, blocks: dict[str, memoryview]) -> np.ndarray:
    """A tensor's numbers as a read-only view of its storage's bytes."""
    if isinstance(view, np.ndarray):
        return view
    storage = view.storage
    dtype = np.dtype("<u2" if storage.kind == "bfloat16" else storage.kind)
    array: np.ndarray = np.ndarray(
        view.shape,
        dtype,
        buffer=blocks[storage.key],
        offset=view.offset * dtype.itemsize if math.prod(view.shape) else 0,
        strides=[n * dtype.itemsize for n in view.strides],
    )
    if storage.kind == "bfloat16":
        array = bfloat16_to_float32(array)
    array.flags.writeable = False
    return array


def _conv_constants(state: dict) -> dict[str, object]:
    constants: dict[str, object] = {name: _pair(state.get(name)) for name in ("stride", "dilation")}
    groups, padding = state.get("groups"), state.get("padding")
    constants["groups"] = groups if type(groups) is int else None
    pads = _pair(padding)
    if state.get("padding_mode", "zeros") != "zeros":
        constants["pads"] = "not with zeros"
    elif padding == "same" or pads not in (None, (0, 0)):  # a module before it may pad too
        constants["pads"] = "same" if pads is None else pads * 2
    return constants


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, tuple) and len(value) == 2 and all(type(n) is int for n in value):
        return value
    return None
