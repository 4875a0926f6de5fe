"""What a user waits for: files to features, ten thousand images, the first feature of a process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn.datasets
from _markdown import table
from _networks import CHECKED, EMBEDDED, error_of, file_images, write_network
from _peers import missing_modules
from _pipelines import PIPELINES
from _startup import STARTS
from _workers import Worker, interleave, written

import sklearn_decaf
from sklearn_decaf.networks import get_architecture

TRIAL = 96  # images on which settings are tried
SIZES = (100, 1000, 10_000)
STARTS_MEASURED = 5


def photograph_files(folder) -> list[str]:
    """JPEG files at any depth of a folder; without one, those that come with the package."""
    if folder is None:
        own = Path(sklearn_decaf.__file__).parent / "datasets" / "photos"
        folders = own, Path(sklearn.datasets.__file__).parent / "images"
    else:
        folders = (Path(folder),)
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    files = [str(path) for path in files if path.suffix.lower() in (".jpg", ".jpeg")]
    if not files:
        raise SystemExit(f"no JPEG files in {folder}")
    return files


def repeat(files: list[str], n: int) -> list[str]:
    return (files * (n // len(files) + 1))[:n]


def installed(known: dict, engines) -> list[str]:
    """Those of `known`, among the `engines` that were asked for, whose modules are there."""
    return [
        name for name, (_, modules) in known.items()
        if name in engines and not missing_modules(modules)
    ]  # fmt: skip


def layer_of(options) -> int:
    """The one layer that is computed here: the last hidden one, or the first that was named."""
    return options.layers[0] if options.layers else 7


def networks_among(names) -> list[str]:
    """Those of the named networks that come with real weights."""
    return [name for name in names if name in EMBEDDED]


def benchmark_end_to_end(options, engines) -> list[dict]:
    """Images a second from files to features, one record a network and number of threads."""
    files = photograph_files(options.data)
    paths = repeat(files, options.images)
    records = []
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            crop = get_architecture(name).preprocessing.crop
            images = file_images(paths[:CHECKED], crop)
            exact = write_network(Path(folder), name, layer_of(options), images, peers=True)
            for threads in options.threads:
                found = _measure_pipelines(folder, installed(PIPELINES, engines), threads, paths,
                                           exact, options)  # fmt: skip
                records.append({"network": name, "threads": threads, "engines": found})
                speeds = (f"{one} {row['images_per_second']:.1f}" for one, row in found.items())
                print(f"{name} from files, threads {threads}: {'  '.join(speeds)}", flush=True)
    return records


def _measure_pipelines(folder, engines, threads, paths, exact, options) -> dict:
    workers, seconds, found = {}, {}, {}
    task, trial = ({"paths": paths[:n], "rows": CHECKED} for n in (len(paths), TRIAL))
    outputs = str(Path(folder) / "features.npy")

    def start(engine):
        place = f"_pipelines:{PIPELINES[engine][0]}"
        return Worker(place, cpus=threads, folder=str(folder), threads=threads)

    try:
        for engine in engines:
            with start(engine) as chooser:
                variants = chooser.ask("variants", task=trial)
                choice = variants[0]
                if len(variants) > 1:
                    choice = chooser.ask("choose", task=trial, budget=options.seconds)
            workers[engine] = start(engine)
            arguments = {"task": task, "variant": choice, "outputs": outputs}
            seconds[engine] = workers[engine].ask("prepare", **arguments)
            error = error_of(np.load(outputs), exact)
            found[engine] = {"settings": choice, "error": error}
        rounds = {"rounds": options.rounds, "budget": options.seconds}
        for engine, times in interleave(workers, seconds, **rounds).items():
            found[engine]["seconds"] = times
            found[engine]["images_per_second"] = len(paths) / statistics.median(times)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def report_end_to_end(records: list[dict], options) -> str:
    rows = []
    names = list(dict.fromkeys(name for record in records for name in record["engines"]))
    for record in records:
        speeds = {name: found["images_per_second"] for name, found in record["engines"].items()}
        ratios = [
            f"{speeds['ours'] / speeds[name]:.2f}" if {"ours", name} <= speeds.keys() else "-"
            for name in names
            if name != "ours"
        ]
        cells = [f"{speeds[name]:.1f}" if name in speeds else "-" for name in names]
        rows.append([record["network"], record["threads"], *cells, *ratios])
    ratios = [f"ours / {name}" for name in names if name != "ours"]
    settings = [
        f"- {record['network']}, {name}, {record['threads']} cores: "
        f"{written(found['settings']) or 'as it is'}; error {found['error']:.1e}"
        for record in records
        for name, found in record["engines"].items()
    ]
    source = "the sample photographs" if options.data is None else "photographs of a folder"
    parts = [
        "## From JPEG files",
        f"Layer {layer_of(options)}, images a second, {options.images} files ({source}, repeated), "
        "each program on as many cores as it has threads, at the fastest of its settings:",
        table(["network", "cores", *names, *ratios], rows),
        "\n".join(settings),
    ]
    return "\n\n".join(parts)


def benchmark_scaling(options) -> list[dict]:
    """Time and memory for more and more images, each number in a fresh process."""
    files, threads = photograph_files(options.data), max(options.threads)
    records = []
    for name in networks_among(options.networks):
        with tempfile.TemporaryDirectory() as folder:
            crop = get_architecture(name).preprocessing.crop
            images = file_images(files[:1], crop)
            write_network(Path(folder), name, layer_of(options), images, peers=False)
            for n in options.sizes:
                place = f"_pipelines:{PIPELINES['ours'][0]}"
                with Worker(place, cpus=threads, folder=folder, threads=threads) as worker:
                    first, task = ({"paths": repeat(files, size), "rows": 1} for size in (32, n))
                    worker.ask("prepare", task=first, variant={})
                    seconds = worker.ask("once", task=task, variant={})
                    memory = worker.ask("peak_memory")
                records.append(
                    {"network": name, "threads": threads, "images": n, "seconds": seconds,
                     "memory": memory}
                )  # fmt: skip
                print(f"{name}, {n} images: {1000 * seconds / n:.2f} ms each", flush=True)
    return records


def report_scaling(records: list[dict]) -> str:
    rows = [
        [
            *(record[key] for key in ("network", "threads", "images")),
            f"{1000 * record['seconds'] / record['images']:.2f}",
            "-" if record["memory"] is None else f"{record['memory']:.0f}",
        ]
        for record in records
    ]
    header = ["network", "threads", "images", "ms an image", "memory at its peak (MB)"]
    parts = ["## More images", "`DeCAFTransformer` from JPEG files, a fresh process each:"]
    return "\n\n".join([*parts, table(header, rows)])


def benchmark_startup(options, engines) -> list[dict]:
    """Seconds of fresh processes until all is imported and until the first row of features."""
    image = photograph_files(options.data)[0]
    records = []
    names = [name for name in options.networks if name in (*EMBEDDED, "alexnet")]
    for name in names:
        layer = layer_of(options) if name in EMBEDDED else 6
        with tempfile.TemporaryDirectory() as folder:
            crop = get_architecture(name).preprocessing.crop
            exact = write_network(
                Path(folder), name, layer, file_images([image], crop), peers=True
            )  # fmt: skip
            chosen = installed(STARTS, [*engines, "scikit-learn alone"])
            if "torch" in chosen:
                _start("write torch", folder, image)
            times = {engine: [] for engine in chosen}
            for turn in range(STARTS_MEASURED + 1):
                for engine in chosen:
                    result = _start(engine, folder, image)
                    if turn:  # the first brings files into memory
                        times[engine].append(result)
                    elif result["features"] is not None:
                        error = error_of(np.array([result["features"]]), exact)
                        if error > 1e-3:
                            raise SystemExit(f"{engine} computes something else: {error:.1e}")
            for engine, runs in times.items():
                medians = {
                    key: statistics.median(run[key] for run in runs) for key in ("imports", "first")
                }
                medians["memory"] = runs[-1]["memory"]
                if runs[-1]["features"] is None:
                    medians["first"] = None
                records.append({"network": name, "engine": engine, **medians})
                print(f"{name}, {engine}: imported after {medians['imports']:.2f} s", flush=True)
    return records


def _start(engine: str, folder, image: str) -> dict:
    script = str(Path(__file__).with_name("_startup.py"))
    command = [sys.executable, script, engine, str(folder), image, str(time.time())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def report_startup(records: list[dict]) -> str:
    rows = [
        [
            record["network"],
            record["engine"],
            f"{record['imports']:.2f}",
            "-" if record["first"] is None else f"{record['first']:.2f}",
            "-" if record["memory"] is None else f"{record['memory']:.0f}",
        ]
        for record in records
    ]
    header = ["network", "program", "imported (s)", "first feature (s)", "memory (MB)"]
    return "\n\n".join(
        [
            "## The first feature",
            "Fresh processes on one image file, from the start of Python, medians; weights come "
            "from files that lie in memory. AlexNet's are 160 MB, to layer 6:",
            table(header, rows),
        ]
    )
