"""Small valid weight files of every format, for fuzzing, with the reader of each."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable

import numpy as np

from sklearn_decaf.networks.formats import (
    caffemodel,
    decaf_pickle,
    mean_image,
    npz,
    numpy_pickle,
    onnx,
    safetensors,
    torch_legacy,
    torch_zip,
)
from sklearn_decaf.networks.formats._zip import Archive

from . import decaf_writer, protobuf_writer, weight_files

TENSORS = {
    "conv1.kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv1.bias": np.array([1.5, -2.0, 0.0, 4.0], np.float32),
}
_MEAN = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
LAYERS = {"conv1": list(TENSORS.values())}


def _saved(save) -> bytes:
    stream = io.BytesIO()
    save(stream, **TENSORS, architecture="alexnet")
    return stream.getvalue()


def _npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _zipped(members: dict[str, bytes]) -> memoryview:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return memoryview(stream.getvalue())


def _read_member(data: memoryview):
    """A member of an npz archive whose checksum is right, whatever is in it."""
    return npz.read(Archive(_zipped({"x.npy": bytes(data)})))


def _read_mean(data: memoryview):
    return {"mean": mean_image.read(data)}


def _meta() -> bytes:
    meta = {"label_names": ["one", "two"], "data_mean": _MEAN.reshape(-1, 1)}
    return b"\x80\x02" + decaf_writer.python2(meta) + b"."


def _onnx() -> bytes:
    """A graph of one convolution."""
    field = protobuf_writer.field
    node = b"".join(field(1, name) for name in ("x", *TENSORS)) + field(4, "Conv")
    node += field(5, field(1, "group") + field(3, 1))
    graph = field(1, node)
    for name, values in TENSORS.items():
        axes = b"".join(field(1, n) for n in values.shape)
        graph += field(5, axes + field(2, 1) + field(8, name) + field(9, values.tobytes()))
    return field(1, 8) + field(7, graph)


_STATE, _STORAGES = weight_files.torch_state(TENSORS)


def _read_state(data: memoryview):
    """A pickled state dict in an archive whose checksum is right, whatever is in it."""
    storages = {f"a/data/{key}": raw for key, raw in _STORAGES.items()}
    return torch_zip.read(Archive(_zipped({"a/data.pkl": bytes(data), **storages})))


_CAFFE = {"conv1": ("Convolution", LAYERS["conv1"])}
_DECAF = [
    decaf_writer.other("data", "data"),
    decaf_writer.conv("conv1", np.ones((2, 3, 3, 4), np.float32), TENSORS["conv1.bias"]),
]

SEEDS: dict[str, tuple[Callable[[memoryview], object], bytes]] = {
    "caffemodel": (caffemodel.read, protobuf_writer.caffemodel(_CAFFE)),
    "caffemodel v1": (caffemodel.read, protobuf_writer.caffemodel(_CAFFE, v1=True)),
    "decaf": (decaf_pickle.read, decaf_writer.dumps(_DECAF)),
    "mean binaryproto": (_read_mean, protobuf_writer.blob(_MEAN, legacy=True)),
    "mean meta": (_read_mean, _meta()),
    "mean npy": (_read_mean, _npy(_MEAN)),
    "npz": (lambda data: npz.read(Archive(data)), _saved(np.savez)),
    "npz compressed": (lambda data: npz.read(Archive(data)), _saved(np.savez_compressed)),
    "npz member": (_read_member, _npy(TENSORS["conv1.kernel"])),
    "onnx": (onnx.read, _onnx()),
    "pickle 2": (numpy_pickle.read, pickle.dumps(LAYERS, 2)),
    "pickle 3": (numpy_pickle.read, weight_files.numpy_pickle(LAYERS)),
    "pickle 4": (numpy_pickle.read, pickle.dumps(TENSORS, 4)),
    "pickle 5": (numpy_pickle.read, pickle.dumps(TENSORS, 5)),
    "safetensors": (
        safetensors.read,
        weight_files.safetensors(TENSORS, {"architecture": "alexnet"}),
    ),
    "torch": (lambda data: torch_zip.read(Archive(data)), weight_files.torch_zip(TENSORS)),
    "torch state": (_read_state, weight_files.dumps_2(_STATE)),
    "torch legacy": (torch_legacy.read, weight_files.torch_legacy(TENSORS)),
}
