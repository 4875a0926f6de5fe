"""Small valid weight files of every format, for fuzzing, with the reader of each."""

from __future__ import annotations

import argparse
import io
import pickle
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from random import Random

import numpy as np

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import architecture_data, get_architecture
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
from sklearn_decaf.networks.graphs import read_structure
from sklearn_decaf.networks.weights.file_layers import compare_layers
from sklearn_decaf.networks.weights.known_files import NETWORK, _described

from . import decaf_writer, protobuf_writer, random_graphs, weight_files
from .own_network import PARAMETERS, POCKET
from .pickle_writer import Raw, opcodes

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
    """A graph with most kinds of nodes that are looked at."""
    field, varint = protobuf_writer.field, protobuf_writer.varint

    def node(kind, inputs, output, **attributes):
        parts = [field(1, name) for name in inputs.split()] + [field(2, output), field(4, kind)]
        for name, value in attributes.items():
            content = b"".join(field(8, one) for one in value) if isinstance(value, list) else b""
            number = {float: 2, int: 3, str: 4, bytes: 5}.get(type(value))
            parts.append(field(5, field(1, name) + (field(number, value) if number else content)))
        return field(1, b"".join(parts))

    def tensor(name, values, type_number=1, raw_field=9):
        axes = b"".join(field(1, n) for n in values.shape)
        return axes + field(2, type_number) + field(8, name) + field(raw_field, values.tobytes())

    kernel, row = np.ones((2, 3, 1, 1), np.float32), np.ones(2, np.float32)
    half = field(1, 2) + field(2, 10) + field(8, "half") + field(5, varint(15360) * 2)
    graph = node("Constant", "", "bias", value=tensor("", row))
    graph += node("Identity", "w", "weight")
    graph += node("Pad", "x pads", "padded", mode="constant")
    graph += node("Conv", "padded weight", "conv", group=1, strides=[1, 1], pads=[0, 0, 1, 1])
    graph += node("BatchNormalization", "conv bias half bias bias", "normal", epsilon=0.1)
    graph += node("Clip", "normal low high", "relu")
    graph += node("LRN", "relu", "lrn", size=5, alpha=0.1)
    graph += node("MaxPool", "lrn", "pool", kernel_shape=[1, 1], strides=[1, 1], ceil_mode=1)
    graph += node("Concat", "pool lrn", "concat", axis=1)
    graph += node("Add", "pool lrn", "sum")
    graph += node("ReduceMean", "sum axes", "mean")
    graph += node("Transpose", "square", "turned", perm=[1, 0])
    graph += node("MatMul", "mean turned", "product")
    graph += node("Add", "product bias", "scores")
    graph += node("Gemm", "scores square bias", "more", transB=1)
    graph += node("Softmax", "more", "prob", axis=-1)
    constants = [
        tensor("w", kernel),
        tensor("low", np.zeros((), np.float32)),
        tensor("high", np.full((), 6, np.float32)),
        tensor("pads", np.array([0, 0, 0, 0, 0, 0, 1, 1]), 7),
        tensor("axes", np.array([2, 3]), 7),
        tensor("square", np.eye(2, dtype=np.float32), raw_field=4),
        half,
    ]
    return field(1, 8) + field(7, graph + b"".join(field(5, one) for one in constants))


def _read_external(data: memoryview):
    """A model whose tensors are in a file beside it, which is as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "numbers").write_bytes(bytes(64))
        return onnx.read(data, Path(folder))


def _external_onnx() -> bytes:
    field = protobuf_writer.field
    entries = {"location": "numbers", "offset": "8", "length": "24"}
    where = b"".join(field(13, field(1, key) + field(2, text)) for key, text in entries.items())
    axes = b"".join(field(1, n) for n in (2, 3, 1, 1))
    weight = axes + field(2, 1) + field(8, "w") + where + field(14, 1)
    conv = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "Conv")
    return field(1, 8) + field(7, field(1, conv) + field(5, weight))


class _Anything:
    """An object of a training program."""

    def __init__(self):
        self.numbers = {0: np.arange(3), (1, 2): {3}}


def _checkpoint() -> dict:
    """What training programs keep beside the weights."""
    return {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, path=PurePosixPath("x")),
        "best": np.float64(0.5),
        "counts": Counter("ab"),
        "lists": defaultdict(list, {1: [2.5, None, True, 2**100]}),
        "when": datetime(2020, 1, 1),
        "names": np.array(["a", "b"]),
        "objects": np.array([{}, None], object),
        "own": _Anything(),
        "set": frozenset("ab"),
    }


def _with_checkpoint(state: object, protocol: int = 2) -> Raw:
    """The opcodes of a dict with weights and what stands beside them."""
    pairs = b"".join(
        opcodes(key) + pickle.dumps(value, protocol)[2:-1] for key, value in _checkpoint().items()
    )
    return Raw(b"}(" + pairs + opcodes("state_dict") + opcodes(state) + b"u")


_STATE, _STORAGES = weight_files.torch_state(TENSORS)


def _read_state(data: memoryview):
    """A pickled state dict in an archive whose checksum is right, whatever is in it."""
    storages = {f"a/data/{key}": raw for key, raw in _STORAGES.items()}
    return torch_zip.read(Archive(_zipped({"a/data.pkl": bytes(data), **storages})))


_TRAINING = _with_checkpoint(_STATE)
_BLOBS = [protobuf_writer.blob(values) for values in LAYERS["conv1"]]
_LAYERS = (
    ("data", "Data", [], ["data", "label"], [], {"transform": {1: 0.5, 3: 227, 5: [104.0]}}),
    ("conv1", "Convolution", ["data"], ["conv1"], _BLOBS, {"convolution": {1: 4, 4: 11, 6: 4}}),
    ("relu1", "ReLU", ["conv1"], ["conv1"], [], {"relu": {1: 0.0}}),
    ("pool1", "Pooling", ["conv1"], ["pool1"], [], {"pooling": {2: 3, 3: 2}}),
    ("norm1", "LRN", ["pool1"], ["norm1"], [], {"lrn": {1: 5, 2: 0.5, 3: 0.75, 5: 2.0}}),
    ("fc8", "InnerProduct", ["norm1"], ["fc8"], _BLOBS, {"inner_product": {1: 4, 2: 0, 6: 1}}),
    ("loss", "SoftmaxWithLoss", ["fc8", "label"], ["loss"], [], {}),
)
_CAFFE = {"conv1": ("Convolution", LAYERS["conv1"])}
_DECAF = [
    decaf_writer.other("data", "data"),
    decaf_writer.conv("conv1", np.ones((2, 3, 3, 4), np.float32), TENSORS["conv1.bias"]),
    decaf_writer.other("conv1_neuron", "neuron", neuron={"type": "brelu", "params": {"a": 9.0}}),
    decaf_writer.other("pool1", "pool", pool="max", sizeX=3, stride=2, start=0, outputsX=27),
    decaf_writer.other("rnorm1", "cmrnorm", size=5, scale=0.01, pow=0.75, inputs=[3]),
]

_RGB = np.ones((3, 3, 3, 4), np.float32)
_DECAF_OF_COLOURS = [
    decaf_writer.other("data", "data"),
    {**decaf_writer.conv("conv1", _RGB, TENSORS["conv1.bias"]), "imgSize": [9]},
    decaf_writer.other("conv1_neuron", "neuron", neuron={"type": "relu", "params": {}}),
    decaf_writer.other("pool1", "pool", pool="max", sizeX=2, stride=2, start=0, outputsX=1),
    decaf_writer.other("rnorm1", "cmrnorm", size=5, scale=0.01, pow=0.75, inputs=[3]),
    decaf_writer.dense("fc", np.ones((4, 4), np.float32), TENSORS["conv1.bias"]),
]


def _as_network(read: Callable) -> Callable:
    """A reader of which the layers become a network."""
    return lambda data: dict(read_structure(read(data), "network").parameters)


def _compared(read: Callable, name: str, kernels: Mapping[str, str]) -> Callable:
    """A reader whose layers are compared with those of a network."""

    def compare(data: memoryview):
        contents = read(data)
        compare_layers(get_architecture(name), contents.layers, kernels)
        return contents

    return compare


def _read_architecture(data: memoryview):
    net = architecture_data.from_text(bytes(data).decode("latin-1"))
    return {name: np.zeros(len(shape)) for name, shape in net.shapes().items()}


def _read_saved(data: memoryview):
    contents = safetensors.read(data)
    if NETWORK not in contents.metadata:
        raise WeightsError("no network")
    return _described(contents, None, True)[1]


_POCKET = architecture_data.to_text(POCKET)

SEEDS: dict[str, tuple[Callable[[memoryview], object], bytes]] = {
    "architecture": (_read_architecture, _POCKET.encode()),
    "caffemodel": (caffemodel.read, protobuf_writer.caffemodel(_CAFFE)),
    "caffemodel v1": (caffemodel.read, protobuf_writer.caffemodel(_CAFFE, v1=True)),
    "caffemodel layers": (
        _compared(caffemodel.read, "caffenet", {"conv1": "conv1.weight", "fc8": "fc8.weight"}),
        b"".join(protobuf_writer.layer(*one) for one in _LAYERS),
    ),
    "caffemodel layers v1": (
        _compared(caffemodel.read, "caffenet", {"conv1": "conv1.weight", "fc8": "fc8.weight"}),
        b"".join(protobuf_writer.layer(*one, v1=True) for one in _LAYERS),
    ),
    "caffemodel structure": (_as_network(caffemodel.read), random_graphs.good_caffe_layers()),
    "caffemodel structure v1": (
        _as_network(caffemodel.read),
        random_graphs.good_caffe_layers(v1=True),
    ),
    "decaf": (
        _compared(decaf_pickle.read, "decaf", {"conv1": "conv1.weights"}),
        decaf_writer.dumps(_DECAF),
    ),
    "decaf structure": (_as_network(decaf_pickle.read), decaf_writer.dumps(_DECAF_OF_COLOURS)),
    "mean binaryproto": (_read_mean, protobuf_writer.blob(_MEAN, legacy=True)),
    "mean meta": (_read_mean, _meta()),
    "mean npy": (_read_mean, _npy(_MEAN)),
    "mean npz": (_read_mean, _saved(lambda stream, **_: np.savez(stream, mean=_MEAN))),
    "mean text": (_read_mean, b"[104.0, 117.5 1.23e+02]\n"),
    "npy of a dict": (npz.read_npy, _npy(np.array({**LAYERS, **_checkpoint()}, object))),
    "npz": (lambda data: npz.read(Archive(data)), _saved(np.savez)),
    "npz compressed": (lambda data: npz.read(Archive(data)), _saved(np.savez_compressed)),
    "npz member": (_read_member, _npy(TENSORS["conv1.kernel"])),
    "onnx": (
        _compared(onnx.read, "caffenet", {"conv1": "node0.weight", "fc8": "node1.weight"}),
        _onnx(),
    ),
    "onnx structure": (_as_network(onnx.read), random_graphs.good_onnx_graph()),
    "onnx and another file": (_read_external, _external_onnx()),
    "pickle 2": (numpy_pickle.read, pickle.dumps(LAYERS, 2)),
    "pickle 3": (numpy_pickle.read, weight_files.numpy_pickle(LAYERS)),
    "pickle 4": (numpy_pickle.read, pickle.dumps({**TENSORS, **_checkpoint()}, 4)),
    "pickle 5": (numpy_pickle.read, pickle.dumps({**TENSORS, **_checkpoint()}, 5)),
    "safetensors": (
        safetensors.read,
        weight_files.safetensors(TENSORS, {"architecture": "alexnet"}),
    ),
    "saved network": (
        _read_saved,
        weight_files.safetensors(PARAMETERS, {"architecture": "pocket", NETWORK: _POCKET}),
    ),
    "torch": (lambda data: torch_zip.read(Archive(data)), weight_files.torch_zip(TENSORS)),
    "torch state": (_read_state, weight_files.dumps_2(_STATE)),
    "torch checkpoint": (_read_state, weight_files.dumps_2(_TRAINING)),
    "torch legacy": (torch_legacy.read, weight_files.torch_legacy(TENSORS)),
    "torch legacy checkpoint": (
        torch_legacy.read,
        weight_files.torch_legacy(state=_TRAINING, storages=_STORAGES),
    ),
}

# Files that are made at random, not by damaging a good one.
DRAWN: dict[str, tuple[Callable[[memoryview], object], Callable[[Random], bytes]]] = {
    "caffemodels at random": (_as_network(caffemodel.read), random_graphs.random_caffe_layers),
    "ONNX graphs at random": (_as_network(onnx.read), random_graphs.random_onnx_graph),
}
