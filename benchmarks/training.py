"""How fast networks train here and in torch, side by side.

    python benchmarks/training.py
    python benchmarks/training.py --tasks "small 128" "efficientnet_lite0 16" --threads 1,2

A step computes the gradients of a batch and changes the weights by SGD with momentum; both programs
begin with the same weights. Each runs in a process of its own; they are measured in turn, while the
other stands still, and medians count. The memory is what the process took at its peak, beyond what
it had before the network was there. torch stores maps in its layout channels_last, which was the
faster one throughout.
"""

from __future__ import annotations

import argparse
import json
import statistics

from _machine import describe, markdown
from _markdown import table
from _workers import Worker, interleave

TASKS = (
    "efficientnet_lite0 16",
    "efficientnet_lite0 32",
    "efficientnet_lite0 from block11 32",
    "small 128",
    "resnet18 32",
    "caffenet 32",
    "caffenet 128",
)
ENGINES = {"ours": "Ours", "torch": "TorchChannelsLast"}


def measure(text: str, threads: int, *, rounds: int, budget: float) -> dict:
    """Measure one network and batch size."""
    name, _, batch = text.rpartition(" ")
    task = {"network": name, "batch": int(batch), "rows": 1}
    workers = {}
    try:
        seconds, found = {}, {}
        for engine, kind in ENGINES.items():
            workers[engine] = Worker(f"_training_engines:{kind}", threads=threads)
            seconds[engine] = workers[engine].ask("prepare", task=task, variant={})
        times = interleave(workers, seconds, rounds=rounds, budget=budget)
        for engine, worker in workers.items():
            found[engine] = {
                "images_per_second": task["batch"] / statistics.median(times[engine]),
                "memory": worker.ask("peak_memory"),
            }
    finally:
        for worker in workers.values():
            worker.close()
    return {"network": name, "batch": task["batch"], "threads": threads, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS, help="network, and images of a batch")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each engine")
    parser.add_argument("--json", help="a file for the numbers")
    given = parser.parse_args()
    print(markdown(describe()), flush=True)
    records, rows = [], []
    for text in given.tasks:
        for threads in map(int, given.threads.split(",")):
            record = measure(text, threads, rounds=given.rounds, budget=given.budget)
            records.append(record)
            ours, torch = record["ours"], record["torch"]
            rows.append(
                [
                    *(record[key] for key in ("network", "batch", "threads")),
                    *(f"{one['images_per_second']:.1f}" for one in (ours, torch)),
                    f"{ours['images_per_second'] / torch['images_per_second']:.2f}",
                    *(f"{one['memory']:.0f}" for one in (ours, torch)),
                    f"{ours['memory'] / torch['memory']:.2f}",
                ]
            )
            print(rows[-1], flush=True)
    header = ["network", "batch", "threads", "ours, images/s", "torch, images/s", "ratio"]
    print(table([*header, "ours, MB", "torch, MB", "ratio"], rows))
    if given.json:
        with open(given.json, "w") as file:
            json.dump(records, file)


if __name__ == "__main__":
    main()
