"""Trainings in processes of their own, which are killed at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

# Prints the digest of all that was learned.
PROGRAM = """
import hashlib, pickle, sys
import numpy as np
from sklearn_decaf.networks.layers import Conv, ReLU
from sklearn_decaf.training import ConvNetClassifier

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
net = ConvNetClassifier(
    [Conv("conv", filters=8, kernel_size=3, padding=1), ReLU("relu")],
    augmentation=("crop", "mirror"),
    dropout={"relu": 0.1},
    ema=0.9,
    batch_size=4,
    max_iter=4,
    early_stopping=True,
    random_state=0,
    checkpoint=sys.argv[1],
    n_jobs=int(sys.argv[2]),
)
net._checkpoint_every = 0
net.fit(images, np.arange(300) % 3)
learned = {name: values.tobytes() for name, values in net.weights_.parameters.items()}
curves = net.loss_curve_, net.validation_scores_, net.step_losses_, net.learning_rates_
print(hashlib.sha256(pickle.dumps((learned, curves))).hexdigest())
"""


def start(folder: Path, n_jobs: int = 1) -> subprocess.Popen:
    """Start a process that trains, with a checkpoint in a folder."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(n_jobs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_until_done(folder: Path, rng: random.Random, n_kills: int) -> tuple[int, str]:
    """Kill processes at random moments of their training; return how many, and the digest."""
    path, killed = folder / "training.npz", 0
    while True:
        before = path.stat().st_mtime_ns if path.exists() else 0
        with start(folder, 1 + killed % 2) as process:
            if killed < n_kills:
                while process.poll() is None:  # until it has come further
                    if path.exists() and path.stat().st_mtime_ns != before:
                        time.sleep(rng.random() * 0.03)
                        process.kill()
                    time.sleep(0.001)
                if process.returncode == -signal.SIGKILL:
                    killed += 1
                    continue
            return killed, _digest(process)


def learn_undisturbed(folder: Path) -> str:
    """Return the digest of a training that nobody kills."""
    with start(folder) as process:
        return _digest(process)


def _digest(process: subprocess.Popen) -> str:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the training ended with status {process.returncode}")
    return output
