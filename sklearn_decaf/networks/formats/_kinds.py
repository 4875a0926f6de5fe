"""Names for files that are no weight files, or none that is read here, with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ._messages import describe

_UNPACK = "unpack it, and give the path of the weight file inside"
_EXPORT = "save the network's arrays with numpy.savez, or export it to ONNX"

# What a file begins with, what it is then, and what to do.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Caffe's .caffemodel.h5, Keras's .h5, a v7.3 Matlab file)",
        "it is not read here, as such a file may draw on others; copy its arrays with h5py into an "
        ".npz file, as the documentation shows under 'Bring my own weights'",
    ),
    (b"version https://git-lfs", "a Git LFS pointer", "get the file itself with `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer", "get the file itself with `git annex get`"),
    (b"\x1f\x8b", "gzip data", _UNPACK),
    (b"BZh", "bzip2 data", _UNPACK),
    (b"\xfd7zXZ\0", "xz data", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "zstandard data", _UNPACK),
    (b"\x04\x22\x4d\x18", "lz4 data", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"MATLAB 5.0", "a Matlab file", "read it with scipy.io.loadmat, and " + _EXPORT),
    (b"\x12\x01\0\0\0\0\0\0", "an MXNet .params file", _EXPORT),
    (b"\x00\x05\x16\x07", "a file with macOS's notes about another", "its name begins with '._'"),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"%PDF", "a PDF document", ""),
    (b"#!", "a script", ""),
    (b"\x7fELF", "a program", ""),
    (b"MZ", "a program", ""),
    (b"SQLite format 3", "an SQLite database", ""),
)
_AGAIN = "it is what a server said instead of sending the file: fetch it again"
_WEB_PAGE = re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.I)
_XML = re.compile(rb"<(\?xml|\w+[\s>])")
_PROTOTXT = re.compile(rb"(\s|#[^\n]*\n)*(name\s*:\s*\"|layers?\s*\{|input\s*:\s*\"|net\s*:\s*\")")
_OLD_PICKLE = re.compile(
    rb"\([dl](p\d|q)|[\]}]q[\0\1]|c(copy_reg|__builtin__|collections|numpy[\w.]*|torch[\w.]*)\n"
)
_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".caffemodel", ".safetensors", ".onnx", ".npz", ".pkl")
_WINDOW = 2048


def name_kind(data: memoryview) -> str | None:
    """Say what a file is, and what to do about it; None if it is nothing known."""
    start = bytes(data[:_WINDOW])
    for magic, kind, cure in _STARTS:
        if start.startswith(magic):
            return f"{kind}: {cure}" if cure else f"{kind}, not a weight file"
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite model: {_EXPORT}"
    if start[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if not start.strip(b"\0"):
        return (
            "nothing but zeros, which is what a download leaves that was broken off: fetch it again"
        )
    if _WEB_PAGE.match(_without_comments(start)):
        return f"a web page: {_AGAIN}"
    if _OLD_PICKLE.match(start):
        return (
            "a pickle of protocol 0 or 1: load it where it comes from, and pickle it again with "
            "protocol 2"
        )
    if _is_saved_model(start):
        return f"a TensorFlow SavedModel: {_EXPORT}"
    if _is_graph_def(start):
        return f"a TensorFlow graph: {_EXPORT}"
    if _is_text(start):
        return _name_text(start)
    return None


def name_archive(names: Iterable[str]) -> str:
    """Say what a zip archive is that is no .npz file, and what to do about it."""
    names = list(names)
    inside = [name for name in names if name.endswith(_SUFFIXES) and "__MACOSX" not in name]
    if "model.weights.h5" in names:
        return f"a Keras model: {_EXPORT}"
    if inside:
        return f"a zip archive with {describe(inside[0])} in it: {_UNPACK}"
    other = next((name for name in names if not name.endswith(".npy")), "nothing")
    return f"a zip archive that holds {describe(other)}, which is no .npy member"


def _without_comments(start: bytes) -> bytes:
    """The beginning of a web page after a byte-order mark and comments."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    while text.startswith(b"<!--") and b"-->" in text:
        text = text.partition(b"-->")[2].lstrip()
    return text


def _name_text(start: bytes) -> str:
    if _XML.match(_without_comments(start)):
        return f"an XML document: {_AGAIN}"
    if _PROTOTXT.match(start):
        return (
            "the text of a network's layers (a prototxt file): the weights are in the .caffemodel "
            "file that belongs to it"
        )
    if start.lstrip()[:1] in (b"{", b"["):
        if b'"weight_map"' in start:
            return "an index of weight files: give the path of a file with the weights themselves"
        return "JSON text, not a weight file; if it was downloaded, it may be what a server said"
    return f"text that begins with {start[:40]!r}, not a weight file"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3 or not error.start:  # more than a letter that was cut off
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)


def _is_saved_model(start: bytes) -> bool:
    # saved_model_schema_version: 1, meta_graphs: {meta_info_def: {...
    return re.match(rb"\x08\x01\x12.{1,5}\x0a", start, re.S) is not None


def _is_graph_def(start: bytes) -> bool:
    # node: {name: "..." op: "Placeholder" ...
    return (
        re.match(rb"\x0a.{1,3}\x0a.[\w/.:-]+\x12.(Placeholder|Const|[A-Z]\w+)", start, re.S)
        is not None
    )
