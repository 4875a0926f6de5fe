"""Memory, speed and use of the cores of `extract`, over many images.

Usage::

    python benchmarks/extract.py --data FOLDER [--images 10000] [--weights NAME] [--n-jobs N]
                                 [--seconds 150] [--out FOLDER]

The photographs of FOLDER, at any depth, are repeated to the number of images. The extraction runs
in a process of its own; after so many `seconds` it is stopped as Ctrl-C would, and the figures are
those until then. Memory is taken each second from the start of the first block: it is flat if the
last third takes no more than the first. The use of the cores is CPU seconds by seconds, in % of the
threads, without the start; beside it what other processes took in the meantime (on Linux).
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from pathlib import Path

import joblib
from _markdown import table

from sklearn_decaf import DeCAFTransformer, extract
from sklearn_decaf._extraction.file_list import FileList
from sklearn_decaf.images._folders import find_images


def resident(pid) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def cpu_seconds(pid) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU seconds of all processes since the machine was started."""
    times = [int(part) for part in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    idle = times[3] + times[4]
    return (sum(times) - idle) / os.sysconf("SC_CLK_TCK")


def work(files, out, weights, n_jobs, block_size, started):
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    transformer = DeCAFTransformer(weights=weights, n_jobs=n_jobs)
    transformer.transform([files[0]])  # loads the weights
    started.set()
    with contextlib.suppress(KeyboardInterrupt):
        extract(files, out, transformer=transformer, block_size=block_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--weights", default="efficientnet_lite0")
    parser.add_argument("--n-jobs", type=int, default=joblib.cpu_count())
    parser.add_argument("--block-size", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--out", default=None)
    options = parser.parse_args()

    names = list(find_images(options.data))
    names = (names * (options.images // len(names) + 1))[: options.images]
    files = FileList(names, options.data)
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or os.path.join(folder, "features")
        context = multiprocessing.get_context("spawn")
        started = context.Event()
        process = context.Process(
            target=work,
            args=(files, out, options.weights, options.n_jobs, options.block_size, started),
        )
        process.start()
        started.wait()
        start, cpu, busy = time.perf_counter(), cpu_seconds(process.pid), busy_seconds()
        while process.is_alive() and time.perf_counter() - start < options.seconds:
            try:
                seconds = time.perf_counter() - start
                used, all_used = cpu_seconds(process.pid) - cpu, busy_seconds() - busy
                memory.append(resident(process.pid))
            except (OSError, IndexError):  # it has just ended
                break
            process.join(1)
        process.terminate()
        process.join()
        n_blocks = len(list(Path(out).glob("part-*.npy")))
    n_images = min(n_blocks * options.block_size, len(files))
    third = len(memory) // 3
    print(
        table(
            [
                *("images", "seconds", "images/s", f"CPU, % of {options.n_jobs} cores", "others"),
                *("memory (MB)", "first third", "last third", "growth"),
            ],
            [
                [
                    n_images,
                    f"{seconds:.0f}",
                    f"{n_images / seconds:.1f}",
                    f"{100 * used / seconds / options.n_jobs:.0f}",
                    f"{100 * max(0, all_used - used) / seconds / options.n_jobs:.0f}",
                    f"{max(memory):.0f} at most",
                    f"{max(memory[1 : third + 1]):.0f}",
                    f"{max(memory[-third:]):.0f}",
                    f"{max(memory[-third:]) - max(memory[1 : third + 1]):.0f}",
                ]
            ],
        )
    )


if __name__ == "__main__":
    main()
