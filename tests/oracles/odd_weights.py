"""Weight files as people have them, and files that are something else."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field

import numpy as np

from sklearn_decaf.networks import Architecture, get_architecture
from sklearn_decaf.networks.weights.variants import with_changes

from . import caffe_network, decaf_writer, onnx_models, weight_files
from .protobuf_writer import field
from .random_networks import he_parameters


def zipped(*names: str) -> bytes:
    """A zip archive of members with these names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return stream.getvalue()


def tarred() -> bytes:
    """A tar archive with a weight file in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("alexnet.pth"))
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array as NumPy saves it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(90)
PAGE = b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:7be5be79\nsize 244408911\n"
NODE = field(1, "input") + field(2, "Placeholder")
#: Files that are no weight files, or none that is read, and a pattern of what is said to them.
OTHER_FILES = {
    "HDF5": (HDF5, r"an HDF5 file \(Caffe's .caffemodel.h5, Keras's .h5.*h5py.*\.npz"),
    "a web page": (PAGE, "a web page: .*fetch it again"),
    "a page in small letters": (b"\n\n <html lang='en'>" + bytes(9), "a web page"),
    "a page with a mark": (b"\xef\xbb\xbf<!doctype html>", "a web page"),
    "a page after a comment": (b"<!-- saved -->\n<HTML>", "a web page"),
    "a refusal": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML doc"),
    "an answer": (b'{"message": "Not Found"}', "JSON text, .*what a server said"),
    "an index": (b'{"metadata": {}, "weight_map": {"a": "b"}}', "an index of weight files"),
    "Git LFS": (POINTER, "a Git LFS pointer: .*git lfs pull"),
    "git-annex": (b"/annex/objects/SHA256E-s1--7b.pth\n", "a git-annex pointer"),
    "gzip": (gzip.compress(b"weights"), "gzip data: unpack it"),
    "bzip2": (b"BZh91AY&SY", "bzip2 data"),
    "xz": (b"\xfd7zXZ\x00\x00\x04", "xz data"),
    "zstandard": (b"\x28\xb5\x2f\xfd\x04\x58", "zstandard data"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
    "RAR": (b"Rar!\x1a\x07\x00", "a RAR archive"),
    "tar": (tarred(), "a tar archive: unpack it"),
    "zip": (
        zipped("x/alexnet.pth", "x/readme.txt"),
        "zip archive with 'x/alexnet.pth' in it: unpa",
    ),
    "a folder of a Mac": (zipped("__MACOSX/._a.pth", "a.txt"), "zip archive that holds '__MACOSX"),
    "Keras": (zipped("config.json", "model.weights.h5"), "a Keras model"),
    "zeros": (bytes(5000), "nothing but zeros.*fetch it again"),
    "SavedModel": (b"\x08\x01\x12\x80\x20\x0a\x05", "a TensorFlow SavedModel"),
    "a graph": (field(1, NODE) * 2, "a TensorFlow graph"),
    "TensorFlow Lite": (b"\x20\x00\x00\x00TFL3" + bytes(9), "a TensorFlow Lite model"),
    "Matlab": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a Matlab file.*scipy.io.loadmat"),
    "MXNet": (b"\x12\x01" + bytes(6) + b"\x00\x00\x00\x00", "an MXNet .params file"),
    "a prototxt": (b'name: "CaffeNet"\ninput: "data"\n', "a prototxt file.*.caffemodel"),
    "a prototxt with a remark": (b'# mine\n\nlayer {\n  name: "x"', "a prototxt file"),
    "a solver": (b'net: "train_val.prototxt"\nbase_lr: 0.01', "a prototxt file"),
    "text": ("Gewichte für später\n".encode(), "text that begins with b'Gewichte"),
    "a script": (b"#!/bin/sh\nexit", "a script, not a weight file"),
    "an image": (b"\xff\xd8\xff\xe0" + bytes(20), "a JPEG image, not a weight file"),
    "a PNG image": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image"),
    "a PDF": (b"%PDF-1.4\n\xff", "a PDF document"),
    "a Mac's note": (b"\x00\x05\x16\x07\x00\x02", "notes about another: its name begins with '._'"),
    "protocol 0": (pickle.dumps({"a": 1}, 0), "a pickle of protocol 0 or 1: .*protocol 2"),
    "protocol 0 of a list": (pickle.dumps([np.ones(3)], 0), "a pickle of protocol 0 or 1"),
    "protocol 0 of an array": (pickle.dumps(np.ones(3), 0), "a pickle of protocol 0 or 1"),
    "protocol 1": (pickle.dumps({"a": 1}, 1), "a pickle of protocol 0 or 1"),
}


@dataclass
class OddWeights:
    """One or more files with weights that are not as they are published.

    Attributes
    ----------
    name : str
    files : callable
        The contents by names; the first is the file with the weights.
    words : str
        What has to be in the evidence, or in the message of the error.
    refused : bool
    options : mapping
        Of `load_weights`.
    """

    name: str
    files: Callable[[], Mapping[str, bytes]]
    words: str
    refused: bool = False
    options: Mapping[str, object] = dataclass_field(default_factory=dict)


SQUEEZENET = get_architecture("squeezenet1_1")
_FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12)))


def torchvision_squeezenet(classes: int = 1000) -> dict[str, np.ndarray]:
    """A state dict of random numbers."""
    net = with_changes(SQUEEZENET, {"conv10": {"filters": classes}})
    state = {}
    for name, array in he_parameters(net).items():
        layer, _, kind = name.rpartition(".")
        fire, _, part = layer.partition(".")
        theirs = {"conv1": "features.0", "conv10": "classifier.1"}.get(layer)
        theirs = theirs or f"features.{_FIRES[int(fire[4:])]}.{part}"
        if kind == "kernel":
            state[f"{theirs}.weight"] = np.ascontiguousarray(array.transpose(3, 2, 0, 1))
        else:
            state[f"{theirs}.bias"] = array
    return state


def _checkpoint(state: Mapping[str, np.ndarray], key: str = "state_dict") -> bytes:
    tensors, storages = weight_files.torch_state(state)
    beside = {"epoch": 3, "optimizer": {"state": {0: {"step": 1}}, "param_groups": []}}
    return weight_files.torch_zip(state={**beside, key: tensors}, storages=storages)


def _prefixed(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": array for name, array in state.items()}


CAFFE_NAMES = {
    name: name.replace(".squeeze", "/squeeze1x1").replace(".expand", "/expand")
    for name in SQUEEZENET.layer_names
    if name.startswith("fire")
} | {f"fire{i}": f"fire{i}/concat" for i in range(2, 10)}


def caffe_squeezenet(
    classes: int = 20, renamed: Mapping[str, str] | None = None, **options
) -> tuple[Architecture, dict[str, np.ndarray], bytes]:
    """The network, its parameters, and its caffemodel with names as Caffe's own."""
    net = with_changes(SQUEEZENET, {"conv10": {"filters": classes}})
    parameters = he_parameters(net)
    names = CAFFE_NAMES | dict(renamed or {})
    content = caffe_network.caffemodel(net, parameters, "SqueezeNet", renamed=names, **options)
    return net, parameters, content


def _decaf(changes: Mapping[str, dict]) -> bytes:
    net = get_architecture("decaf")
    first = {name: v for name, v in he_parameters(net).items() if name.startswith("conv1.")}
    return decaf_writer.dumps(decaf_writer.network(first, changes))


def _alexnet_conv1() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "conv1.kernel": rng.standard_normal((11, 11, 3, 64), np.float32),
        "conv1.bias": rng.standard_normal(64, np.float32),
    }


def _onnx(location: str = "model.onnx.data") -> dict[str, bytes]:
    content, raw = onnx_models.external_model(_alexnet_conv1(), location)
    return {"model.onnx": content, "model.onnx.data": raw}


def _onnx_of(*nodes: bytes) -> dict[str, bytes]:
    kernel = np.ascontiguousarray(_alexnet_conv1()["conv1.kernel"].transpose(3, 2, 0, 1))
    tensors = [onnx_models.tensor("w", kernel), onnx_models.tensor("b", np.ones(64, np.float32))]
    return {"model.onnx": onnx_models.model(list(nodes), tensors)}


def _caffenet_conv1() -> dict[str, list[np.ndarray]]:
    first = he_parameters(get_architecture("caffenet"))
    return {"conv1": [first["conv1.kernel"], first["conv1.bias"]]}


_CONV = {"strides": [4, 4], "pads": [2, 2, 2, 2]}

#: Weight files that are read, or refused by what is wrong with them.
ODD_WEIGHTS = [
    OddWeights(
        "a training checkpoint",
        lambda: {"x.pth.tar": _checkpoint(torchvision_squeezenet(10))},
        "they are under 'state_dict' in the file; its head has 10 classes",
    ),
    OddWeights(
        "a checkpoint under another key",
        lambda: {"x.pt": _checkpoint(torchvision_squeezenet(), "net")},
        "they are under 'net' in the file",
    ),
    OddWeights(
        "names of a wrapped network",
        lambda: {"x.pth": weight_files.torch_zip(_prefixed("module.", torchvision_squeezenet()))},
        "'module.' is taken off their names",
    ),
    OddWeights(
        "names of a network inside another",
        lambda: {
            "x.safetensors": weight_files.safetensors(
                _prefixed("model.backbone.", torchvision_squeezenet(2))
            )
        },
        "'model.backbone.' is taken off their names; its head has 2 classes",
    ),
    OddWeights(
        "without a head",
        lambda: {
            "x.pth": weight_files.torch_legacy(
                {n: a for n, a in torchvision_squeezenet().items() if n.startswith("features")}
            )
        },
        "50 of 52 arrays",
    ),
    OddWeights(
        "a caffemodel with a head of another name",
        lambda: {"x.caffemodel": caffe_squeezenet(renamed={"conv10": "conv10_flickr"})[2]},
        "its head has 20 classes and is 'conv10_flickr.weight'",
    ),
    OddWeights(
        "a caffemodel with other constants",
        lambda: {
            "x.caffemodel": caffe_squeezenet(options={"pool1": {"pooling": {2: 2}}})[2],
        },
        "as the file says, pool1 with size 2",
    ),
    OddWeights(
        "a caffemodel of another network",
        lambda: {"x.caffemodel": caffe_squeezenet(options={"pool1": {"pooling": {1: 1}}})[2]},
        "pool1: in its place the file has: average_pool",
    ),
    OddWeights(
        "the pickle of 2013, normalised otherwise",
        lambda: {"x.epoch90": _decaf({"rnorm1": {"scale": 8e-3}})},
        "as the file says, norm1 with alpha 0.04",
    ),
    OddWeights(
        "the pickle of 2013, another activation",
        lambda: {"x.epoch90": _decaf({"conv1_neuron": {"neuron": {"type": "tanh"}}})},
        "tanh neuron",
        refused=True,
    ),
    OddWeights("ONNX with numbers in another file", _onnx, "2 of 16 arrays"),
    OddWeights(
        "ONNX with numbers outside of its folder",
        lambda: _onnx("../model.onnx.data"),
        "only files in the folder of the model are opened",
        refused=True,
    ),
    OddWeights(
        "ONNX without its numbers",
        lambda: {"model.onnx": _onnx()["model.onnx"]},
        "'model.onnx.data', which has to lie beside the model",
        refused=True,
    ),
    OddWeights(
        "ONNX with a convolution without a bias",
        lambda: _onnx_of(onnx_models.node("Conv", "x", "w", **_CONV)),
        "2 of 16 arrays",
    ),
    OddWeights(
        "ONNX with weights that nodes hand on",
        lambda: _onnx_of(
            onnx_models.node("Identity", "w", out="v"),
            onnx_models.node("Conv", "x", "v", "b", **_CONV),
        ),
        "2 of 16 arrays",
    ),
    OddWeights(
        "ONNX, quantised",
        lambda: _onnx_of(onnx_models.node("QLinearConv", "x", "w", "b")),
        "a quantised model (it has nodes of kind QLinearConv)",
        refused=True,
    ),
    OddWeights(
        "a .npy file of a dict",
        lambda: {"bvlc_alexnet.npy": npy(np.array(_caffenet_conv1(), object))},
        "2 of 16 arrays",
        options={"architecture": "bvlc_alexnet"},
    ),
    OddWeights(
        "three numbers for a mean image",
        lambda: {
            "x.caffemodel": caffe_squeezenet(1000)[2],
            "mean.npy": npy(np.array([104.0, 117.0, 123.0])),
        },
        "all 52 arrays",
        options={"mean": "mean.npy"},
    ),
    *(
        OddWeights(name, lambda content=content: {"alexnet.pth": content}, "", refused=True)
        for name, (content, _) in OTHER_FILES.items()
    ),
]
