"""Time per layer, here and in ONNX Runtime and OpenVINO, on one thread: a table and a figure.

    python benchmarks/layers.py
    python benchmarks/layers.py --networks caffenet,squeezenet1_1 --out FILE.png
    python benchmarks/layers.py --networks mobilenet_v2,resnet18 --batch 1

Peers that are not installed are left out (``pip install "sklearn-decaf[bench]"``). Each program's
own instrumentation is asked, on a batch of images, in turns; medians of several rounds count.
Programs fuse layers in ways of their own, so times are added up over the parts of a network (a
convolution with its ReLU, pooling and normalisation; a fire module; a block). What belongs to no
layer (copies to another layout, our preprocessing of 8-bit pixels) is shown as "other".
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from _machine import describe, markdown
from _markdown import table
from _networks import CHECKED, NETWORKS, layers_of, sample_images, write_network
from _peers import ENGINES, OnnxRuntime, OpenVino, Ours, missing_modules

from sklearn_decaf.networks import get_architecture

SHOWN = ("caffenet", "squeezenet1_1", "efficientnet_lite0")
BATCH = 32
OTHER = "other"
# what layers are called in torchvision's networks, and in the others
BLOCK = re.compile(r"features\.\d+|layer\d\.\d+")
PART = re.compile(r"(?<![a-z])(conv|pool|norm|relu|fc|fire|block)(\d+)|(stem|head)")
COLOURS = {"ours": "tab:blue", "onnxruntime": "tab:orange", "openvino": "tab:green"}


def part_of(name: str, parts: list[str]) -> str:
    """The part of the network to which a step or node of this name belongs."""
    if (block := BLOCK.search(name)) and block[0] in parts:
        return block[0]
    found = PART.search(name)
    if not found:
        return OTHER
    if found[3]:
        return found[3]
    kind, number = found[1], found[2]
    for candidate in (f"{kind}{number}", f"conv{number}", f"fc{number}", f"fire{number}"):
        if candidate in parts:
            return candidate
    return OTHER


def parts_of(name: str) -> list[str]:
    """The parts of a network, in order."""
    found = []
    for layer in get_architecture(name).layer_names:
        match = BLOCK.match(layer) or re.match(r"(conv|fc|fire|block)\d+|stem|head", layer)
        if match and match[0] not in found:
            found.append(match[0])
    return found


class OursByLayer(Ours):
    def times(self, batch):
        images = self.images(batch)
        while True:
            yield [(name, seconds) for name, _, seconds in self._plan.profile(images, 1)]


class OnnxRuntimeByLayer(OnnxRuntime):
    def times(self, batch):
        x = self.inputs(batch, channels_last=False)
        make = self._ort.SessionOptions
        while True:
            # a session's profile is written once, so each round has a session of its own
            def profiled():
                options = make()
                options.enable_profiling = True
                options.profile_file_prefix = str(self.folder / "profile")
                return options

            self._ort.SessionOptions = profiled
            try:
                session = self.session(batch, spin=True)
            finally:
                self._ort.SessionOptions = make
            for _ in range(2):  # the first warms up
                session.run(["features"], {"data": x})
            path = Path(session.end_profiling())
            events = [e for e in json.loads(path.read_text()) if e["name"].endswith("_kernel_time")]
            path.unlink()
            last = events[len(events) // 2 :]
            yield [(e["name"].removesuffix("_kernel_time"), e["dur"] * 1e-6) for e in last]


class OpenVinoByLayer(OpenVino):
    def times(self, batch):
        self._core.set_property("CPU", {"PERF_COUNT": True})
        request = self.compile(batch, True, 1).create_infer_request()
        x = self.inputs(batch, channels_last=True)
        request.infer({0: x})
        while True:
            request.infer({0: x})
            yield [(i.node_name, i.real_time.total_seconds()) for i in request.profiling_info]


MEASURED = {"ours": OursByLayer, "onnxruntime": OnnxRuntimeByLayer, "openvino": OpenVinoByLayer}


def measure(name: str, engines: list[str], batch: int, rounds: int) -> tuple[list[str], dict]:
    """Milliseconds an image of each part: {engine: {part: ms}}."""
    parts = parts_of(name)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        images = sample_images(max(batch, CHECKED), get_architecture(name).preprocessing.crop)
        write_network(folder, name, layers_of(name)[-1], images, peers=engines != ["ours"])
        sources = {engine: MEASURED[engine](str(folder), 1).times(batch) for engine in engines}
        found = {engine: defaultdict(list) for engine in engines}
        for source in sources.values():
            next(source)  # warm
        for _ in range(rounds):
            for engine, source in sources.items():
                sums: dict[str, float] = defaultdict(float)
                for step, seconds in next(source):
                    sums[part_of(step, parts)] += seconds
                for part in (*parts, OTHER):
                    found[engine][part].append(sums[part])
    wanted = [
        part for part in (*parts, OTHER) if any(max(times[part]) > 0 for times in found.values())
    ]
    return wanted, {
        engine: {part: 1e3 * float(np.median(times[part])) / batch for part in wanted}
        for engine, times in found.items()
    }


def draw(results: dict, batch: int, path: Path) -> None:
    """Bars of each part, a panel a network."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(results), 1, figsize=(9, 3.1 * len(results)), layout="constrained", squeeze=False
    )
    for axes, (name, (parts, times)) in zip(panels[:, 0], results.items()):
        width = 0.8 / len(times)
        for k, (engine, by_part) in enumerate(times.items()):
            total = sum(by_part.values())
            places = np.arange(len(parts)) + (k - (len(times) - 1) / 2) * width
            axes.bar(
                places, [by_part[part] for part in parts], width, color=COLOURS[engine],
                label=f"{'sklearn-decaf' if engine == 'ours' else engine}, {total:.2f} in all",
            )  # fmt: skip
        axes.set_xticks(range(len(parts)), parts, rotation=45 if len(parts) > 12 else 0)
        axes.set_ylabel("ms per image")
        axes.set_title(f"{name}, to layer {layers_of(name)[-1]}: batch {batch}, one thread")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=",".join(SHOWN))
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=None, help="file for the figure")
    options = parser.parse_args()
    engines = []
    for name in MEASURED:
        if missing := missing_modules(ENGINES[name][1]):
            print(f"left out: {name}, for {', '.join(missing)} is not installed")
        else:
            engines.append(name)
    print(markdown(describe()), flush=True)
    results = {}
    for name in options.networks.split(","):
        if name not in NETWORKS:
            parser.error(f"no network {name!r}; there are {', '.join(NETWORKS)}")
        parts, times = results[name] = measure(name, engines, options.batch, options.rounds)
        rows = [[part, *(f"{times[e][part]:.3f}" for e in engines)] for part in parts]
        rows.append(["sum", *(f"{sum(times[e].values()):.3f}" for e in engines)])
        print(f"\n{name}, ms an image:\n\n{table(['part', *engines], rows)}", flush=True)
    if options.out is not None:
        draw(results, options.batch, options.out)


if __name__ == "__main__":
    main()
