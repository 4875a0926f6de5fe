"""The folder that `extract` writes: finished blocks, to which a later call adds those missing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .._utils.atomic_file import atomic_write, move_into_place
from .._utils.file_digest import file_digest
from .._utils.file_lock import LockFile
from .changes import describe_changes
from .file_list import FileList
from .formats import as_text, read_names

_KIND = "features by sklearn_decaf.extract"
_VERSION = 2
_KNOWN_VERSIONS = (1, 2)  # 1 did not note of which kind a failure was
# Twice, since it alone knows what the parts should be: damage to it would cost them all.
_MANIFESTS = ("_manifest.json", ".manifest.json")
_FAILED = "_failed.csv"

NOT_OPENED = "cannot be opened"
NOT_DECODED = "cannot be decoded"
UNKNOWN = ""


class Failure(NamedTuple):
    """An image without features: its row, why, and of which kind that is."""

    row: int
    reason: str
    kind: str


@dataclass(frozen=True)
class Part:
    """A finished block: its rows, its files with sizes and checksums, and what failed of it."""

    start: int
    rows: int
    files: dict[str, dict]
    failed: list[Failure]

    @property
    def features_file(self) -> str:
        """Name of the file with the features."""
        return next(iter(self.files))

    def to_json(self) -> dict:
        """The block as the manifest lists it, without its failures."""
        return {
            "start": self.start,
            "rows": self.rows,
            "n_failed": len(self.failed),
            "files": self.files,
        }


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
    files : FileList
        The photographs.
    assumed : dict, default=None
        Settings that outputs of earlier versions do not name, and what they are taken to be there.

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

    def __init__(
        self, folder: Path, settings: dict, files: FileList, *, assumed: dict | None = None
    ):
        self.folder = folder
        self.settings = settings
        self.files = files
        self.n_blocks = -(-len(files) // settings["block_size"])
        self.progress = folder / ".progress"
        if folder.exists():
            self._refuse_foreign()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        try:
            self._check_settings(assumed or {})
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

    def finished(self) -> dict[int, Part]:
        """The finished blocks, by number, whose files are there and intact."""
        records = self._progress_records()
        listed = dict(enumerate(self._manifest_records()))
        parts = {}
        for number in range(self.n_blocks):
            # a block of a complete output that was written again counts before the manifest
            for record in (records.get(number), listed.get(number)):
                if record is not None and self._is_intact(record):
                    parts[number] = _part(record)
                    break
        return parts

    def _progress_records(self) -> dict[int, dict]:
        records = {}
        for number in range(self.n_blocks) if self.progress.is_dir() else ():
            record = _read_json(self._record_path(number))
            if record is not None:
                if record.get("version") is None:  # of version 1: row, path, reason
                    record["failed"] = [
                        Failure(row, reason, UNKNOWN) for row, _, reason in record["failed"]
                    ]
                records[number] = record
        return records

    def _manifest_records(self) -> list[dict]:
        manifest = self._manifest()
        if manifest is None:
            return []
        records = [{**part, "failed": []} for part in manifest["parts"]]
        # if the list is damaged, what failed has to be found out again
        for failure in _read_failed(self.folder / _FAILED, manifest["failed"]["sha256"]):
            records[failure.row // self.settings["block_size"]]["failed"].append(failure)
        return records

    def _is_intact(self, record: dict) -> bool:
        for name, known in record["files"].items():
            try:
                if (self.folder / name).stat().st_size != known["size"]:
                    return False
                if file_digest(self.folder / name) != known["sha256"]:
                    return False
            except OSError:
                return False
        return len(record["failed"]) == record["n_failed"]

    def add(
        self,
        number: int,
        start: int,
        n_rows: int,
        failed: Sequence[Failure],
        write: Callable[[Path], list[str]],
    ) -> Part:
        """Finish a block: `write` puts its files into the folder that it is called with."""
        self.progress.mkdir(exist_ok=True)
        files = {}
        for name in write(self.progress):
            path = self.progress / name
            files[name] = {"size": path.stat().st_size, "sha256": file_digest(path)}
            move_into_place(path, self.folder / name)
        part = Part(start, n_rows, files, list(failed))
        record = {"version": _VERSION, **part.to_json(), "failed": part.failed}
        self._write(self._record_path(number), _dumps(record))
        return part

    def complete(self, parts: dict[int, Part]) -> None:
        """Write the manifest and the list of failures, once all blocks are there, and tidy up."""
        ordered = [parts[number] for number in range(self.n_blocks)]
        content = self._failed_csv(failure for part in ordered for failure in part.failed)
        self._write(self.folder / _FAILED, content)
        manifest = {
            "kind": _KIND,
            "version": _VERSION,
            "settings": self.settings,
            "n_failed": sum(len(part.failed) for part in ordered),
            "failed": {"file": _FAILED, "sha256": hashlib.sha256(content).hexdigest()},
            "parts": [part.to_json() for part in ordered],
        }
        for name in _MANIFESTS:
            self._write(self.folder / name, _dumps(manifest))
        shutil.rmtree(self.progress, ignore_errors=True)

    def _failed_csv(self, failed: Iterable[Failure]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["row", "path", "reason", "kind"])
        for row, reason, kind in failed:
            writer.writerow([row, as_text(self.files.name(row)), as_text(reason), kind])
        return text.getvalue().encode()

    # The folder --------------------------------------------------------------------------------

    def _manifest(self) -> dict | None:
        for name in _MANIFESTS:
            manifest = _read_json(self.folder / name)
            if manifest is not None:
                return manifest
        return None

    def _record_path(self, number: int) -> Path:
        return self.progress / f"{number:06}.json"

    def _write(self, path: Path, content: bytes) -> None:
        self.progress.mkdir(exist_ok=True)
        with atomic_write(path, unfinished=self.progress / "unfinished") as stream:
            stream.write(content)

    def _refuse_foreign(self) -> None:
        if not self.folder.is_dir():
            raise FileExistsError(
                f"{str(self.folder)!r} is a file: the output is a folder, choose another name."
            )
        names = set(os.listdir(self.folder))
        if names and not names & {".lock", ".progress", *_MANIFESTS}:
            raise FileExistsError(
                f"{str(self.folder)!r} is a folder with other things in it "
                f"({', '.join(sorted(names)[:3])}, ...): choose another name."
            )

    def _take_lock(self):
        file = LockFile(self.folder / ".lock")  # it is open as long as we are
        if file.try_lock() is False:
            file.close()
            raise BlockingIOError(
                f"another process is writing into {str(self.folder)!r}: wait for it, or choose "
                "another name."
            )
        return file

    def _check_settings(self, assumed: dict) -> None:
        manifest = self._manifest()
        known = _read_json(self.progress / "settings.json") if manifest is None else manifest
        if known is None:
            shutil.rmtree(self.progress, ignore_errors=True)
            self.progress.mkdir()
            self._write(self.progress / "names", self.files.to_bytes())
            content = {"kind": _KIND, "version": _VERSION, "settings": self.settings}
            self._write(self.progress / "settings.json", _dumps(content))
            return
        if known.get("kind") != _KIND or known.get("version") not in _KNOWN_VERSIONS:
            raise ValueError(
                f"{str(self.folder)!r} was made by another version of sklearn_decaf: choose "
                "another name, or remove it."
            )
        before = {**assumed, **known["settings"]}
        if before != self.settings:
            changes = describe_changes(before, self.settings, self._names_before, self.files)
            raise ValueError(f"{str(self.folder)!r} {changes}")
        if manifest is None:
            for path in self.progress.iterdir():  # what a killed process left half done
                is_record = path.suffix == ".json" and not path.name.endswith(".paths.json")
                if not is_record and path.name != "names":
                    path.unlink()

    def _names_before(self) -> FileList | None:
        """The photographs of the call that began this output, as text; None if nobody knows."""
        try:
            names = FileList.from_bytes((self.progress / "names").read_bytes())
            return FileList(as_text(names.name(row)) for row in range(len(names)))
        except (OSError, ValueError):
            pass
        try:
            records = self._manifest_records()
            names = FileList(
                name
                for record in records
                for name in read_names(self.folder / next(iter(record["files"])))
            )
            return names if records else None
        except Exception:  # missing and damaged files, or PyArrow is not installed
            return None


def _part(record: dict) -> Part:
    failed = [Failure(*failure) for failure in record["failed"]]
    return Part(record["start"], record["rows"], record["files"], failed)


def _dumps(value: dict) -> bytes:
    """JSON that holds its own checksum; ASCII, where names that are no UTF-8 are escapes."""
    value = {**value, "sha256": _json_sha256(value)}
    return (json.dumps(value, indent=1) + "\n").encode("ascii")


def _read_json(path: Path) -> dict | None:
    """Read what `_dumps` wrote; None if it is not there, or not as it was written."""
    try:
        value = json.loads(path.read_bytes())
        return value if value.pop("sha256") == _json_sha256(value) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _json_sha256(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).hexdigest()


def _read_failed(path: Path, sha256: str) -> list[Failure]:
    try:
        content = path.read_bytes()
    except OSError:
        return []
    if hashlib.sha256(content).hexdigest() != sha256:
        return []
    text = io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")
    return [
        Failure(int(line["row"]), line["reason"], line.get("kind", UNKNOWN))
        for line in csv.DictReader(text)
    ]
