"""Python in a process of its own, with the package that is tested."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import sklearn_decaf

TESTS = Path(__file__).parents[1]


def _environment(changes: dict[str, str]) -> dict[str, str]:
    environment = {**os.environ, **changes}
    try:
        distribution("sklearn-decaf")
    except PackageNotFoundError:  # a bare source tree
        environment["PYTHONPATH"] = str(Path(sklearn_decaf.__file__).parents[1])
    return environment


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a program, away from the repository, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=_environment(environment),
        cwd=Path(sys.executable).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_with_pickle(code: str, given: object, folder: Path, **environment: str) -> bytes:
    """Let a program read `given` from a pickle, in a folder, and return the bytes it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(given),
        env=_environment(environment),
        cwd=folder,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def outcome(estimator, method: str, X) -> str:
    """Call a method; the message of a ValueError, or "done"."""
    try:
        getattr(estimator, method)(X)
    except ValueError as error:
        return str(error)
    return "done"


def put_outcome(queue, estimator, method: str, X) -> None:
    """Put the same into a queue: what a worker process can be started with."""
    queue.put(outcome(estimator, method, X))
