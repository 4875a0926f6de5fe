"""Time, and memory at its peak, to load full-size weight files of every format, and to start.

    python benchmarks/load_weights.py
    python benchmarks/load_weights.py --repeats 5 FILE ...

Without files, random weights of the real shapes are written in every format first, in a temporary
folder. Each load runs in a process of its own, which reads the file from the page cache; the best
of several times is shown, in CPU seconds, which other programs disturb little, checksum included.
Memory is what the process needs more than before: at its peak, which counts the mapped file, and
afterwards what is its own and not mapped from the file, which processes share.

The second table is about a process that computes layer 6: CPU seconds from then on where the
package is imported until the network is ready, and with the import, and the memory of the process
at its peak once 32 images went through on one thread. First without packed weights on the disk,
then in the process that leaves them there, then in later ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _markdown import table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

LOAD = """
import sys, time
from sklearn_decaf.networks import load

def memory():
    with open("/proc/self/status") as stream:
        lines = dict(line.split(":", 1) for line in stream)
    return [int(lines[key].split()[0]) / 1000 for key in ("VmHWM", "VmRSS", "RssAnon")]

_, resident, own = memory()
start = time.process_time()
weights = load(sys.argv[1], sys.argv[2] or None)
seconds = time.process_time() - start
peak, _, own_after = memory()
print(weights.format, weights.architecture.name, seconds, peak - resident, own_after - own,
      weights.certainty, sep="\\t")
"""

START = """
import time
begun = time.process_time()
import sys
import numpy as np
from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.networks import load
from sklearn_decaf.networks.features import FeatureExtractor

imported = time.process_time()
weights = load(sys.argv[1], sys.argv[2] or None)
extractor = FeatureExtractor(weights, (6,), "auto")
ready = time.process_time()
extractor(np.zeros((32, *weights.architecture.input_shape), np.uint8), 1)
with open("/proc/self/status") as stream:
    lines = dict(line.split(":", 1) for line in stream)
print(ready - imported, ready - begun, int(lines["VmHWM"].split()[0]) / 1000, sep="\\t")
"""
SWITCH = "SKLEARN_DECAF_PACKED_WEIGHTS"


def write_files(folder: Path):
    """Random weights in every format; yields path and architecture, where that has to be told."""
    import numpy as np
    from oracles import caffe_network, decaf_writer, onnx_writer, weight_files
    from oracles.random_networks import he_parameters

    from sklearn_decaf.networks import fetch_weights, get_architecture
    from sklearn_decaf.networks.weights.layouts import LAYOUTS

    def write(name: str, content: bytes, architecture: str = ""):
        path = folder / name
        path.write_bytes(content)
        return path, architecture

    yield fetch_weights("efficientnet_lite0"), ""
    yield fetch_weights("squeezenet1_1"), ""
    net = get_architecture("caffenet")
    parameters = he_parameters(net)
    for v1 in (False, True):
        content = caffe_network.caffemodel(net, parameters, "CaffeNet", v1=v1)
        yield write("v1.caffemodel" if v1 else "v2.caffemodel", content)
    yield write("model.onnx", onnx_writer.model(net, parameters).SerializeToString(), "caffenet")
    stated = {"architecture": "caffenet"}
    yield write("model.safetensors", weight_files.safetensors(parameters, stated))
    np.savez(folder / "model.npz", **parameters, architecture="caffenet")
    yield folder / "model.npz", ""
    yield write("decaf.epoch90", decaf_writer.dumps(decaf_writer.network(parameters)))
    net = get_architecture("alexnet")
    parameters = he_parameters(net)
    (layout,) = (one for one in LAYOUTS if one.name == "torchvision's AlexNet")
    state = {}
    for entry in layout.entries(net):
        kernel = parameters[f"{entry.layer}.kernel"]
        state[entry.kernel] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
        state[entry.bias] = parameters[f"{entry.layer}.bias"]
    state = {name: np.ascontiguousarray(values) for name, values in state.items()}
    yield write("zip.pth", weight_files.torch_zip(state))
    yield write("legacy.pth", weight_files.torch_legacy(state))


def run(program: str, path: Path, architecture: str, packed: str) -> list[str]:
    """What a program prints in a process of its own, with packed weights in a folder or "none"."""
    command = [sys.executable, "-c", program, str(path), architecture]
    environment = {**os.environ, SWITCH: packed}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return done.stdout.rstrip("\n").split("\t")


def measure(path: Path, architecture: str, repeats: int) -> tuple:
    """A row of the first table."""
    runs = [run(LOAD, path, architecture, "none") for _ in range(repeats)]
    kind, name, _, peak, own, certainty = runs[0]
    seconds = min(float(run[2]) for run in runs)
    size = path.stat().st_size / 1e6
    return (
        path.name,
        kind,
        name,
        f"{size:.0f}",
        f"{seconds:.2f}",
        f"{float(peak):.0f}",
        f"{float(own):.0f}",
        certainty,
    )


def measure_start(path: Path, architecture: str, repeats: int) -> tuple:
    """A row of the second table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            [run(START, path, architecture, packed) for _ in range(n)]
            for packed, n in (("none", repeats), (folder, 1), (folder, repeats))
        ]
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    cells = [path.name, f"{size:.0f}"]
    for runs in rows:
        ready, with_import, peak = (min(float(one[i]) for one in runs) for i in range(3))
        cells += [f"{ready:.3f}", f"{with_import:.2f}", f"{peak:.0f}"]
    return tuple(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [(path, "") for path in options.files] or write_files(Path(folder))
        files = list(files)
        rows = [measure(*file, options.repeats) for file in files]
        starts = [measure_start(*file, options.repeats) for file in files]
    header = ("file", "format", "network", "MB", "CPU s", "peak, MB", "own, MB", "recognised")
    print(table(header, rows))
    print()
    parts = ("CPU s", "with imports", "peak, MB")
    kinds = ("without", "first", "later")
    header = ("file", "packed, MB", *(f"{kind}: {part}" for kind in kinds for part in parts))
    print(table(header, starts))


if __name__ == "__main__":
    main()
