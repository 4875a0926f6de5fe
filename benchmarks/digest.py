"""Print digests of features, to see whether a change moves a single bit.

``python benchmarks/digest.py PHOTOGRAPHS [--n 100] [--networks NAME ...]`` runs photographs of a
folder through networks on each kernel set that this machine can use: all layers at once, so that
nothing is computed together, and each layer by number alone, with and without Winograd's algorithm,
with one thread and two. Networks without embedded weights get random ones. Run it before and after
a change, in a process each, and compare.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sklearn_decaf import _kernels
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import get_architecture, load_weights
from sklearn_decaf.networks.engine import Plan

NETWORKS = ("efficientnet_lite0", "squeezenet1_1", "alexnet", "caffenet", "bvlc_alexnet", "decaf")
EMBEDDED = NETWORKS[:2]
BATCH = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    options = parser.parse_args()
    if "SKLEARN_DECAF_KERNELS" in os.environ:
        print_digests(options)
        return
    for kernel_set in _kernels.available_sets():
        environment = {**os.environ, "SKLEARN_DECAF_KERNELS": kernel_set}
        subprocess.run([sys.executable, *sys.argv], env=environment, check=True)


def print_digests(options) -> None:
    suffixes = (".jpg", ".jpeg")
    files = sorted(p for p in options.photographs.iterdir() if p.suffix.lower() in suffixes)
    for name in options.networks:
        architecture = get_architecture(name)
        parameters = load_weights(name).parameters if name in EMBEDDED else drawn(architecture)
        wanted = architecture.preprocessing
        batches = iter_batches(
            files[: options.n], size=wanted.resize, crop=wanted.crop, batch_size=BATCH
        )
        batches = [batch for _, batch, _ in batches]
        for exact in (False, True):
            plan = Plan(architecture, parameters, architecture.layer_names, exact=exact)
            digest = hashlib.sha256()
            for batch in batches:
                for values in plan.run(batch):
                    digest.update(values)
            report(name, "all layers", exact, digest)
            digest = hashlib.sha256()
            for layer in architecture.decaf_layers.values():
                plan = Plan(architecture, parameters, [layer], exact=exact)
                for batch in batches:
                    digest.update(plan.run(batch)[0])
                    digest.update(plan.run(batch[:3], n_threads=2)[0])
            report(name, "layers 5 to 8, each alone", exact, digest)


def drawn(architecture) -> dict[str, np.ndarray]:
    """Random parameters, the same on every machine."""
    rng = np.random.default_rng(0)
    parameters = {}
    for name, shape in architecture.parameter_shapes().items():
        scale = np.sqrt(2 / np.prod(shape[:-1])) if name.endswith(".kernel") else 0.1
        parameters[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return parameters


def report(name: str, what: str, exact: bool, digest) -> None:
    sums = "plain sums" if exact else "Winograd"
    line = f"{_kernels.KERNEL_SET:5} {name:20} {what:26} {sums:10} {digest.hexdigest()[:16]}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
