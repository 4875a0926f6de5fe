"""How fast networks run here and in torch, ONNX Runtime and OpenVINO, side by side.

    python benchmarks/speed.py
    python benchmarks/speed.py --networks vgg16 resnet50 --batches 32 --threads 1,2
    python benchmarks/speed.py --end-to-end --data FOLDER
    python benchmarks/speed.py --scaling --startup

Peers that are not installed are left out (``pip install "sklearn-decaf[bench]"`` has them all).
Everybody computes the same: the same weights (random ones for networks whose weights do not come
with the package), the same images, float32, the pooled DeCAF layer. OpenVINO is shown as it is by
default too, which is bfloat16 where the processor has it: its speed is no measure, see its error.
Peers get preprocessed float32 images in the layout they like best; this package gets 8-bit images
and preprocesses them in its own time.

Each program runs in a process of its own at its best settings: for every batch size the ways to
configure it are tried first, and the fastest is measured. All are measured in turn, several rounds,
while the other processes stand still; medians count. The error is the largest difference to
float64, in parts of the layer's largest value; the memory is that of the whole process at its peak.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import _end_to_end
import numpy as np
from _machine import describe, markdown
from _markdown import table
from _networks import CHECKED, NETWORKS, error_of, layers_of, sample_images, write_network
from _peers import ENGINES, LESS_PRECISE, missing_modules
from _workers import Worker, WorkerError, interleave, written

from sklearn_decaf.networks import ARCHITECTURES, get_architecture

WRONG = 1e-4  # a larger error than this is not rounding


def measure(folder, engines, threads, batches, exact, *, rounds, budget):
    """Measure engines on one network; yields one record a batch size."""
    workers, choosers = {}, {}

    def start(engine):
        place = f"_peers:{ENGINES[engine][0]}"
        return Worker(place, folder=str(folder), threads=threads)

    def get_ready(engine, task):
        """Seconds of a call, and the settings and error of an engine that is ready for a task."""
        if engine not in workers:
            workers[engine] = start(engine)
        variants = workers[engine].ask("variants", task=task)
        choice = variants[0]
        if len(variants) > 1:
            # in another process, so that only the chosen one counts for the memory
            if engine not in choosers:
                choosers[engine] = start(engine)
            choice = choosers[engine].ask("choose", task=task, budget=budget / 4)
        outputs = str(folder / "features.npy")
        seconds = workers[engine].ask("prepare", task=task, variant=choice, outputs=outputs)
        error = error_of(np.load(outputs), exact)
        if error > WRONG and engine not in LESS_PRECISE:
            print(f"WRONG: {engine} is off by {error:.1e}", file=sys.stderr, flush=True)
        return seconds, {"settings": choice, "error": error}

    running = list(engines)
    try:
        for batch in sorted(batches):
            task = {"batch": batch, "rows": CHECKED}
            seconds, found = {}, {}
            for engine in list(running):
                try:
                    seconds[engine], found[engine] = get_ready(engine, task)
                except WorkerError as problem:
                    print(f"left out from here on: {problem}", file=sys.stderr, flush=True)
                    running.remove(engine)
            measured = {engine: workers[engine] for engine in seconds}
            times_of = interleave(measured, seconds, rounds=rounds, budget=budget)
            for engine, times in times_of.items():
                found[engine]["seconds"] = times
                found[engine]["images_per_second"] = batch / statistics.median(times)
                found[engine]["memory"] = measured[engine].ask("peak_memory")
            yield {"threads": threads, "batch": batch, "engines": found}
    finally:
        for worker in (*workers.values(), *choosers.values()):
            worker.close()


def ratio(record: dict) -> float | None:
    """Our speed in multiples of the best peer's."""
    speeds = {name: found["images_per_second"] for name, found in record["engines"].items()}
    ours = speeds.pop("ours", None)
    peers = [speed for name, speed in speeds.items() if name not in LESS_PRECISE]
    return ours / max(peers) if ours and peers else None


def speed_table(records: list[dict], engines) -> str:
    header = ["network", "layer", "threads", "batch", *engines, "ours / best peer"]
    rows = []
    for record in records:
        speeds = [
            f"{found['images_per_second']:.1f}" if (found := record["engines"].get(name)) else "-"
            for name in engines
        ]
        times = ratio(record)
        names = [record[key] for key in ("network", "layer", "threads", "batch")]
        rows.append([*names, *speeds, "-" if times is None else f"{times:.2f}"])
    return table(header, rows)


def summary_table(records: list[dict], engines, key: str, combine, form) -> str:
    """One number an engine for each network and layer: a `key` of its records, combined."""
    rows = {}
    for record in records:
        row = rows.setdefault((record["network"], record["layer"]), {name: [] for name in engines})
        for name, found in record["engines"].items():
            if found[key] is not None:
                row[name].append(found[key])
    cells = [
        [*names, *(form(combine(row[name])) if row[name] else "-" for name in engines)]
        for names, row in rows.items()
    ]
    return table(["network", "layer", *engines], cells)


def threads_table(records: list[dict], engines) -> str | None:
    """Speed with the most threads in multiples of that with one."""
    speeds: dict[tuple, dict] = {}
    for record in records:
        key = tuple(record[name] for name in ("network", "layer", "batch"))
        for name, found in record["engines"].items():
            speeds.setdefault(key, {})[name, record["threads"]] = found["images_per_second"]
    most = max(record["threads"] for record in records)
    if most == 1 or all(record["threads"] != 1 for record in records):
        return None
    rows = []
    for key, found in speeds.items():
        pairs = [(found.get((name, most)), found.get((name, 1))) for name in engines]
        rows.append([*key, *(f"{a / b:.2f}" if a and b else "-" for a, b in pairs)])
    return f"{most} threads in multiples of one:\n\n" + table(
        ["network", "layer", "batch", *engines], rows
    )


def settings_list(records: list[dict], engines) -> str:
    """Which settings were chosen, and how often."""
    lines = []
    for name in engines:
        found = [record["engines"][name] for record in records if name in record["engines"]]
        chosen = Counter(written(one["settings"]) for one in found)
        counts = "; ".join(f"{text} ({n})" for text, n in chosen.most_common() if text)
        if counts:
            lines.append(f"- {name}: {counts}")
    return "\n".join(lines)


def report_networks(records: list[dict], engines) -> str:
    batches = sorted({record["batch"] for record in records})
    parts = ["## Networks", "Images a second, medians:", speed_table(records, engines)]
    parts.append(threads_table(records, engines))
    parts.append("Largest error, in parts of the layer's largest value, against float64:")
    parts.append(summary_table(records, engines, "error", max, "{:.1e}".format))
    for batch in dict.fromkeys((batches[0], batches[-1])):
        chosen = [record for record in records if record["batch"] == batch]
        parts.append(f"Memory of the process at its peak, up to batches of {batch} (MB):")
        parts.append(summary_table(chosen, engines, "memory", max, "{:.0f}".format))
    if settings := settings_list(records, engines):
        parts += ["Settings that were the fastest, and for how many of the measurements:", settings]
    return "\n\n".join(part for part in parts if part)


def benchmark_networks(options, engines) -> list[dict]:
    records = []
    for name in options.networks:
        for layer in options.layers or layers_of(name):
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                peers = engines != ["ours"]
                crop = get_architecture(name).preprocessing.crop
                images = sample_images(max(*options.batches, CHECKED), crop)
                exact = write_network(folder, name, layer, images, peers=peers)
                for threads in options.threads:
                    for record in measure(
                        folder, engines, threads, options.batches, exact,
                        rounds=options.rounds, budget=options.seconds,
                    ):  # fmt: skip
                        record = {"network": name, "layer": layer, **record}
                        records.append(record)
                        print(line(record), flush=True)
    return records


def line(record: dict) -> str:
    """One measurement in one line, as progress."""
    speeds = "  ".join(
        f"{name} {found['images_per_second']:.1f}" for name, found in record["engines"].items()
    )
    times = ratio(record)
    names = "{network} layer {layer}, threads {threads}, batch {batch}: ".format(**record)
    return names + speeds + ("" if times is None else f"  ratio {times:.2f}")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--layers", type=numbers, default=None, help="6, 7 or 6,7")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32, 128])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--engines", default=None, help="such as 'ours,onnxruntime'")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each engine and number")
    parser.add_argument("--json", type=Path, default=None, help="file for all that was measured")
    parser.add_argument("--markdown", type=Path, default=None, help="file for the tables")
    parser.add_argument("--end-to-end", action="store_true", help="from JPEG files to features")
    parser.add_argument("--scaling", action="store_true", help="time, memory of 10,000 images")
    parser.add_argument("--startup", action="store_true", help="imports and the first feature")
    parser.add_argument("--images", type=int, default=256, help="of --end-to-end")
    parser.add_argument("--sizes", type=numbers, default=_end_to_end.SIZES, help="of --scaling")
    parser.add_argument("--data", type=Path, default=None, help="folder of JPEG files")
    options = parser.parse_args(argv)
    options.networks = [name for names in options.networks for name in names.split(",")]
    for name in options.networks:
        if name not in ARCHITECTURES:
            parser.error(f"no network {name!r}; there are {', '.join(ARCHITECTURES)}")
    if options.engines is None:
        options.engines = list(ENGINES)
    else:
        options.engines = options.engines.split(",")
        for name in options.engines:
            if name not in ENGINES:
                parser.error(f"no engine {name!r}; there are {', '.join(ENGINES)}")
    return options


def main(argv=None) -> None:
    options = parse(argv)
    # leave through `finally`, which ends the workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    engines = []
    for name in options.engines:
        if missing := missing_modules(ENGINES[name][1]):
            print(f"left out: {name}, for {', '.join(missing)} is not installed")
        else:
            engines.append(name)
    start = time.perf_counter()
    results = {"machine": describe()}
    parts = ["# Speed", markdown(results["machine"])]
    print(parts[-1], flush=True)
    if not (options.end_to_end or options.scaling or options.startup):
        results["networks"] = benchmark_networks(options, engines)
        parts.append(report_networks(results["networks"], engines))
    if options.end_to_end:
        results["end_to_end"] = records = _end_to_end.benchmark_end_to_end(options, engines)
        parts.append(_end_to_end.report_end_to_end(records, options))
    if options.scaling:
        results["scaling"] = records = _end_to_end.benchmark_scaling(options)
        parts.append(_end_to_end.report_scaling(records))
    if options.startup:
        results["startup"] = records = _end_to_end.benchmark_startup(options, engines)
        parts.append(_end_to_end.report_startup(records))
    print("\n" + "\n\n".join(parts[2:]))
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1))
    if options.markdown is not None:
        options.markdown.write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
