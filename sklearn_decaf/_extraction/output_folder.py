"""A folder that fills with finished blocks, one at a time, and can be taken up again any time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_KIND = "features by sklearn_decaf.extract"
_VERSION = 1
# Twice, since it alone knows what the parts should be: damage to it would cost them all.
_MANIFESTS = ("_manifest.json", ".manifest.json")


class OutputFolder:
    """The output of `extract`: finished parts, and records of them until all are there.

    A block is finished when its record, ``.progress/N.json``, is in place. Its files were put into
    the folder before, each by a rename, and the record holds their checksums. When all blocks are
    finished, the records become ``_manifest.json``.

    Parameters
    ----------
    folder : Path
    settings : dict
        All that decides the content of the files, as JSON has it.
    n_blocks : int

    Raises
    ------
    FileExistsError
        If there is something else in that place.
    ValueError
        If the folder was begun with other settings.
    BlockingIOError
        If another process is writing into it.
    OSError
        If it cannot be written to.
    """

    def __init__(self, folder: Path, settings: dict, n_blocks: int):
        self.folder = folder
        self.settings = settings
        self.n_blocks = n_blocks
        self.progress = folder / ".progress"
        if folder.exists():
            self._refuse_foreign()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        try:
            self._check_settings()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes write."""
        self._lock.close()

    # What is finished --------------------------------------------------------------------------

    def finished(self) -> dict[int, dict]:
        """Records of the finished blocks whose files are there and intact."""
        manifest = self._manifest()
        if manifest is None:
            records = {number: _read_json(self._record(number)) for number in range(self.n_blocks)}
        else:
            records = {
                number: {**part, "failed": []} for number, part in enumerate(manifest["parts"])
            }
            # if the list is damaged, what failed has to be found out again
            for row, path, reason in _read_failed(self.folder / "_failed.csv", manifest["failed"]):
                records[row // self.settings["block_size"]]["failed"].append([row, path, reason])
        return {
            number: record
            for number, record in records.items()
            if record is not None and self._is_intact(record)
        }

    def _is_intact(self, record: dict) -> bool:
        for name, known in record["files"].items():
            try:
                if (self.folder / name).stat().st_size != known["size"]:
                    return False
                if _sha256(self.folder / name) != known["sha256"]:
                    return False
            except OSError:
                return False
        return len(record["failed"]) == record["n_failed"]

    def add(
        self, number: int, start: int, rows: int, failed: list[list], write: Callable[[Path], list]
    ) -> dict:
        """Finish a block: `write` puts its files into the folder that it is called with."""
        self.progress.mkdir(exist_ok=True)
        files = {}
        for name in write(self.progress):
            path = self.progress / name
            with open(path, "rb+") as stream:
                os.fsync(stream.fileno())
            files[name] = {"size": path.stat().st_size, "sha256": _sha256(path)}
            os.replace(path, self.folder / name)
        record = {"start": start, "rows": rows, "n_failed": len(failed), "files": files}
        self._write(self._record(number), _dumps({**record, "failed": failed}))
        return {**record, "failed": failed}

    def complete(self, records: dict[int, dict]) -> None:
        """All blocks are there: write the manifest and the list of failures, and tidy up."""
        parts = [dict(records[number]) for number in range(self.n_blocks)]
        failed = [entry for part in parts for entry in part.pop("failed")]
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["row", "path", "reason"])
        writer.writerows(failed)
        content = text.getvalue().encode("utf-8", "surrogateescape")
        self._write(self.folder / "_failed.csv", content)
        manifest = {
            "kind": _KIND,
            "version": _VERSION,
            "settings": self.settings,
            "n_failed": len(failed),
            "failed": {"file": "_failed.csv", "sha256": hashlib.sha256(content).hexdigest()},
            "parts": parts,
        }
        for name in _MANIFESTS:
            self._write(self.folder / name, _dumps(manifest))
        shutil.rmtree(self.progress, ignore_errors=True)

    # The folder --------------------------------------------------------------------------------

    def _manifest(self) -> dict | None:
        for name in _MANIFESTS:
            manifest = _read_json(self.folder / name)
            if manifest is not None:
                return manifest
        return None

    def _record(self, number: int) -> Path:
        return self.progress / f"{number:06}.json"

    def _write(self, path: Path, content: bytes) -> None:
        self.progress.mkdir(exist_ok=True)
        unfinished = self.progress / "unfinished"
        with open(unfinished, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)

    def _refuse_foreign(self) -> None:
        if not self.folder.is_dir():
            raise FileExistsError(
                f"{str(self.folder)!r} is a file: the output is a folder, choose another name"
            )
        names = set(os.listdir(self.folder))
        if names and not names & {".lock", ".progress", *_MANIFESTS}:
            raise FileExistsError(
                f"{str(self.folder)!r} is a folder with other things in it "
                f"({', '.join(sorted(names)[:3])}, ...): choose another name"
            )

    def _take_lock(self):
        stream = open(self.folder / ".lock", "ab")  # noqa: SIM115  it is open as long as we are
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                raise BlockingIOError(
                    f"another process is writing into {str(self.folder)!r}: wait for it, or choose "
                    "another name"
                ) from None
            except OSError:  # a file system without locks
                pass
        return stream

    def _check_settings(self) -> None:
        manifest = self._manifest()
        known = _read_json(self.progress / "settings.json") if manifest is None else manifest
        if known is None:
            shutil.rmtree(self.progress, ignore_errors=True)
            self.progress.mkdir()
            content = {"kind": _KIND, "version": _VERSION, "settings": self.settings}
            self._write(self.progress / "settings.json", _dumps(content))
            return
        if (known.get("kind"), known.get("version")) != (_KIND, _VERSION):
            raise ValueError(
                f"{str(self.folder)!r} was made by another version of sklearn_decaf: choose "
                "another name, or remove it"
            )
        if known["settings"] != self.settings:
            theirs, ours = known["settings"], self.settings
            differences = "; ".join(
                f"{name}: {theirs.get(name)!r} there, {ours.get(name)!r} now"
                for name in sorted({*theirs, *ours})
                if theirs.get(name) != ours.get(name)
            )
            raise ValueError(
                f"{str(self.folder)!r} was made with other settings ({differences}): choose "
                "another name, remove it, or go on with the settings of before"
            )
        if manifest is None:
            for path in self.progress.iterdir():  # what a killed process left half done
                if path.suffix != ".json" or path.name.endswith(".paths.json"):
                    path.unlink()


def _dumps(value: dict) -> bytes:
    """JSON that holds its own checksum; ASCII, where names that are no UTF-8 are escapes."""
    value = {**value, "sha256": _json_sha256(value)}
    return (json.dumps(value, indent=1) + "\n").encode("ascii")


def _read_json(path: Path) -> dict | None:
    """What `_dumps` wrote; None if it is not there, or not as it was written."""
    try:
        value = json.loads(path.read_bytes())
        return value if value.pop("sha256") == _json_sha256(value) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _json_sha256(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


def _read_failed(path: Path, known: dict) -> list[list]:
    try:
        content = path.read_bytes()
    except OSError:
        return []
    if hashlib.sha256(content).hexdigest() != known["sha256"]:
        return []
    text = io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")
    return [[int(row), name, reason] for row, name, reason in list(csv.reader(text))[1:]]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
