"""Processes in which engines are measured, one each, that stand still while others are measured.

Run as a script this is the worker: it reads commands as lines of JSON and answers each with one.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LONG = 0.2  # seconds from which on a call needs no other before it to warm up


class WorkerError(RuntimeError):
    """A worker ended, or could not do what it was told."""


class Worker:
    """A process with one engine, ``module:Class(**arguments)``.

    It is stopped (SIGSTOP) except while it answers: waiting threads of some programs spin, and
    would slow down whoever is measured then. With `cpus` it and its own processes may use that
    many of the cores of this process.
    """

    def __init__(self, engine: str, *, cpus: int | None = None, **arguments):
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, __file__, engine, json.dumps(cpus), json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, with the processes that it starts
        )
        self._answer()

    def ask(self, command: str, **arguments):
        """Let the worker do something, and return what it answers."""
        self._signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([command, arguments]) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self.engine}: the process ended with code {code}")
        self._signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.engine}: {answer['error']}")
        return answer["result"]

    def _signal(self, number) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error) -> None:
        self.close()


def interleave(workers: dict, seconds: dict[str, float], *, rounds: int, budget: float):
    """Measure several workers in turn, so that what disturbs the machine disturbs all.

    Parameters
    ----------
    workers : dict of str to Worker
        Each prepared.
    seconds : dict of str to float
        What a call of each takes, about.
    rounds : int
        At most; three where a call takes longer than `budget`.
    budget : float
        Seconds for each worker, in all its rounds.

    Returns
    -------
    dict of str to list of float
        Seconds of every call.
    """
    times: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    if max(seconds.values()) > budget / 2:
        rounds = min(rounds, 3)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            calls = max(1, round(budget / rounds / seconds[name]))
            times[name] += workers[name].ask("time", calls=calls)
    return times


def peak_memory() -> float | None:
    """The most memory that this process had, in MB; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return None
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def written(settings: dict) -> str:
    """Settings as text."""
    return ", ".join(f"{key}={value}" for key, value in settings.items())


class _Commands:
    """What a worker can be asked."""

    def __init__(self, engine):
        self._engine = engine
        self._call = None

    def variants(self, task):
        return self._engine.variants(task)

    def prepare(self, task, variant, outputs=None):
        """Get ready, save the first rows of the output; return seconds of a call, about."""
        self._call = None
        gc.collect()  # what was prepared before
        self._call = self._engine.prepare(task, variant)
        start = time.perf_counter()
        features = self._call()
        seconds = time.perf_counter() - start
        if outputs is not None:
            np.save(outputs, np.asarray(features)[: task["rows"]])
        del features
        return seconds if seconds > LONG else self._timed()

    def once(self, task, variant):
        """Seconds of a task that nothing prepared for but the last one."""
        self._call = self._engine.prepare(task, variant)
        return self._timed()

    def choose(self, task, budget):
        """Try all variants; return the fastest."""
        best, choice = np.inf, None
        for variant in self._engine.variants(task):
            seconds = self.prepare(task, variant)
            for _ in range(max(1, min(20, int(budget / seconds)))):
                seconds = min(seconds, self._timed())
            if seconds < best:
                best, choice = seconds, variant
        self._call = None
        return choice

    def time(self, calls):
        seconds = self._timed()
        if seconds > LONG:
            return [seconds, *(self._timed() for _ in range(calls - 1))]
        return [self._timed() for _ in range(calls)]

    def peak_memory(self):
        """Megabytes; what an engine says that the process had before does not count."""
        most = peak_memory()
        return None if most is None else most - getattr(self._engine, "memory_before", 0)

    def _timed(self) -> float:
        start = time.perf_counter()
        self._call()
        return time.perf_counter() - start


def main() -> None:
    # answers go to the real standard output, what libraries print to standard error
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        print(json.dumps(content), file=answers, flush=True)

    module, _, name = sys.argv[1].partition(":")
    cpus, arguments = json.loads(sys.argv[2]), json.loads(sys.argv[3])
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    try:
        commands = _Commands(getattr(importlib.import_module(module), name)(**arguments))
    except Exception as error:
        answer(error=f"{type(error).__name__}: {error}")
        raise
    answer(result=None)
    for line in sys.stdin:
        command, arguments = json.loads(line)
        try:
            answer(result=getattr(commands, command)(**arguments))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
            raise


if __name__ == "__main__":
    main()
