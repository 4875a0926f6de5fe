"""Trainings on the disk: one that was killed goes on where it was, with the same bits."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._utils.atomic_file import atomic_write
from .._utils.data_home import expand_user
from .._utils.file_lock import LockFile
from ._schedules import Adaptive
from ._state import Arrays

if TYPE_CHECKING:
    from ._loop import TrainingLoop

FILE = "training.npz"
#: Seconds between two files, so that writing them takes little of the time.
EVERY = 10.0
_LISTS = ("losses", "validation_scores", "step_losses", "learning_rates")


class CheckpointError(ValueError):
    """Error of a checkpoint that is of another training, damaged, or in use."""


class Checkpoint:
    """A folder in which a training is kept, and the right of this process to it.

    The file is replaced in one step: whenever the process is killed, there is a whole one of a
    moment before. Use it as a context manager, which holds a lock of the folder.

    Parameters
    ----------
    folder : path-like
        Made where it is missing.
    described : dict of str to str
        All that the training depends on, by what the user calls it. A file in which something
        else is written is refused.
    every : float, default=10
        Seconds between two files.

    Raises
    ------
    CheckpointError
        If another process is at it.
    """

    def __init__(
        self, folder: str | os.PathLike[str], described: Mapping[str, str], *, every: float = EVERY
    ):
        self.folder = Path(expand_user(folder))
        self.described = dict(described)
        self.every = every
        self._last = time.monotonic()
        self._lock: LockFile | None = None

    @property
    def path(self) -> Path:
        """The file with the training."""
        return self.folder / FILE

    def __enter__(self) -> Checkpoint:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = LockFile(self.folder / "training.lock")
        if self._lock.try_lock() is False:
            self._lock.close()
            raise CheckpointError(
                f"checkpoint={str(self.folder)!r}: another process trains with it; wait for it, or "
                "take another folder"
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def is_due(self) -> bool:
        """Tell whether the last file is old enough for another one."""
        return time.monotonic() - self._last >= self.every

    def save(self, loop: TrainingLoop) -> None:
        """Write the training as it is, in place of what was written before."""
        state = loop.state
        arrays: Arrays = {f"parameters/{name}": a for name, a in loop.trained.items()}
        arrays |= {f"best/{name}": a for name, a in state.best.items()}
        if loop.average is not None:
            arrays |= {f"average/{name}": a for name, a in loop.average.values.items()}
        for name, memory in loop.solver.state.items():
            arrays |= {f"solver/{name}/{key}": np.asarray(a) for key, a in memory.items()}
        arrays |= {f"curve/{name}": np.array(getattr(state, name), float) for name in _LISTS}
        scalars = {
            field.name: getattr(state, field.name)
            for field in fields(state)
            if field.name not in (*_LISTS, "best")
        }
        text = {
            "described": self.described,
            "state": scalars,
            "schedule": _schedule_state(loop.schedule),
        }
        arrays["text"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
        # always the same name, so that a process that is killed leaves no more than one
        with atomic_write(self.path, unfinished=self.folder / f"{FILE}.part") as stream:
            np.savez(stream, **cast(Any, arrays))
        self._last = time.monotonic()

    def restore(self, loop: TrainingLoop) -> bool:
        """Bring a training to where it was when it was written; False where nothing is.

        Raises
        ------
        CheckpointError
            If it is another training, or the file is damaged.
        """
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            text = json.loads(arrays.pop("text").tobytes())
            described, scalars, schedule = text["described"], text["state"], text["schedule"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.path} cannot be read ({error}): remove it to begin the training anew"
            ) from error
        self._compare(described)
        for name, values in loop.trained.items():
            values[...] = arrays[f"parameters/{name}"]
        state = loop.state
        for name, value in scalars.items():
            setattr(state, name, value)
        for name in _LISTS:
            setattr(state, name, arrays[f"curve/{name}"].tolist())
        state.best = _under("best/", arrays)
        if loop.average is not None:
            loop.average.values = _under("average/", arrays)
        loop.solver.state = {}
        for key, array in _under("solver/", arrays).items():
            name, _, part = key.rpartition("/")
            # numbers that count steps came as arrays without a dimension
            value = array if array.ndim else array.item()
            loop.solver.state.setdefault(name, {})[part] = value
        vars(loop.schedule).update(schedule)
        return True

    def _compare(self, found: Mapping[str, str]) -> None:
        """Raise a CheckpointError that says what is different."""
        names = [
            name
            for name in {**self.described, **found}
            if self.described.get(name) != found.get(name)
        ]
        if not names:
            return
        name = names[0]
        others = f", and {', '.join(names[1:])} differ, too" if names[1:] else ""
        raise CheckpointError(
            f"checkpoint={str(self.folder)!r} is of another training: {name} is "
            f"{_short(found.get(name))} there, and {_short(self.described.get(name))} "
            f"here{others}. Take another folder, or remove {self.path}."
        )


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}


def _schedule_state(schedule: object) -> dict[str, Any]:
    """What a schedule remembers; only the adaptive one does."""
    return dict(vars(schedule)) if isinstance(schedule, Adaptive) else {}


def _short(value: str | None) -> str:
    if value is None:
        return "not given"
    return value if len(value) <= 60 else f"{value[:57]}..."
