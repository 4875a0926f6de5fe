"""Small values under keys, in one SQLite file: bounded, checked, shared by processes.

SQLite is in Python's standard library, its commits hold when a process is killed at any
moment, readers and writers of several processes do not wait for one another in its write-ahead
log, and it reads blobs of the size of a feature vector faster than a file system reads files.
What it does not do is done here: to notice damaged content, to stay below a size, and to go on
when the file is damaged beyond reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._utils.locks import Lock

_TIMEOUT = 60.0  # seconds to wait for another process that writes
_PATIENCE_AT_FORK = 2.0  # seconds that a fork waits for a thread that writes
_TOUCH_AFTER = 300  # seconds for which the time of last use may be wrong
_KEEP = 0.9  # share of the size that is left when room is made
_EVICT = 64  # entries to remove at a time
_SPARE = 65536  # bytes for pages of the indices

# The keys stand in both tables, so that no damage to an index can put a value under another key.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, used INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS entries_used ON entries (used, id);
CREATE TABLE IF NOT EXISTS contents (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL, checksum BLOB NOT NULL);
"""


class StoreError(Exception):
    """The store cannot be used, or not be written to; the message says why."""


class Store:
    """A key-value store in a folder.

    Parameters
    ----------
    folder : str
        It is made if it is not there.
    max_bytes : int
        The entries that were not used for longest make room for others.

    Notes
    -----
    The file is ``activations-1.N.sqlite3``. When it turns out to be damaged, an empty file
    ``activations-1.N.damaged`` says so to all processes, what is intact moves to number N + 1,
    and the file is removed. No name is used twice, so a process that still has the old file open
    does no harm.
    """

    def __init__(self, folder: str, max_bytes: int):
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._lock = Lock(reentrant=True)
        self._connection: sqlite3.Connection | None = None
        self._file: Path | None = None
        self._read_only = False
        self._paused_by: int | None = None  # a thread
        self._is_lost = False

    # A fork copies what SQLite knows of its locks, but not the locks: a child would wait for a
    # transaction that another thread of its parent had begun, or take a lock for its own.

    def pause(self) -> None:
        """Close the file before a fork, once no thread uses it, and let none open it again."""
        if self._lock.acquire(_PATIENCE_AT_FORK):
            self._paused_by = threading.get_ident()
            self.close()

    def resume(self) -> None:
        """Let threads use the file again, after a fork."""
        if self._paused_by == threading.get_ident():
            self._paused_by = None
            self._lock.release()

    def resume_in_child(self) -> None:
        """Let threads of a forked child use the file, but not through its parent's connection."""
        if self._connection is not None:
            self._is_lost = self._connection.in_transaction
            _INHERITED.append(self._connection)  # closing it would touch the parent's files
            self._connection = None
        self._file, self._read_only = None, False
        self.resume()
        self._paused_by = None  # another thread may have been forking, too

    # What one does with it ---------------------------------------------------------------------

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those keys that are there and intact.

        Raises
        ------
        StoreError
            If there is no store and none can be made.
        """
        return self._attempt(lambda connection: self._get(connection, keys))

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store values, all or none.

        Raises
        ------
        StoreError
            If they cannot be stored: no room on the disk, no right to write.
        """
        self._attempt(lambda connection: self._put(connection, values))

    def clear(self) -> None:
        """Remove all entries.

        Raises
        ------
        StoreError
            If that is not possible.
        """
        self._attempt(self._clear)

    def info(self) -> tuple[int, int]:
        """Number of entries, and bytes that they take on the disk."""

        def count(connection):
            [(entries,)] = connection.execute("SELECT count(*) FROM entries")
            return entries, self._size(connection)

        return self._attempt(count)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    # How it is done ----------------------------------------------------------------------------

    def _attempt(self, work):
        with self._lock:
            for _ in range(3):
                try:
                    return work(self._open())
                except sqlite3.DatabaseError as error:
                    self._roll_back()
                    if self._is_trouble_around(error):
                        raise StoreError(str(error)) from error
                    self._abandon()
                finally:
                    self._roll_back()  # Ctrl-C, say
            raise StoreError(f"the files in {str(self.folder)!r} are damaged again and again")

    def _is_trouble_around(self, error: sqlite3.DatabaseError) -> bool:
        """Whether an error is about the disk, the rights or the others, not about the content."""
        if not isinstance(error, sqlite3.OperationalError):
            return False
        message = str(error)
        if "readonly" in message and not self._read_only:  # damage at one place looks like it
            return not (os.access(self.folder, os.W_OK) and os.access(self._file, os.W_OK))
        known = ("full", "locked", "busy", "readonly", "I/O", "unable to open", "interrupted")
        return any(word in message for word in known)

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _get(self, connection, keys) -> dict[bytes, bytes]:
        found, damaged, used = {}, [], []
        now = int(time.time())
        select = (
            "SELECT entries.id, used, contents.key, value, checksum FROM entries "
            "JOIN contents ON contents.id = entries.id WHERE entries.key = ?"
        )
        for key in keys:
            for number, last, own, value, checksum in connection.execute(select, (key,)):
                if own == key and checksum == _checksum(key, value):
                    found[key] = value
                    if abs(now - last) > _TOUCH_AFTER:
                        used.append((now, number))
                else:
                    damaged.append((number,))
        if (damaged or used) and not self._read_only:
            with contextlib.suppress(sqlite3.OperationalError):  # it is no duty of a reader
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("UPDATE entries SET used = ? WHERE id = ?", used)
                connection.executemany("DELETE FROM entries WHERE id = ?", damaged)
                connection.executemany("DELETE FROM contents WHERE id = ?", damaged)
                connection.execute("COMMIT")
            self._roll_back()
        return found

    def _put(self, connection, values) -> None:
        if self._read_only:
            raise StoreError(f"{str(self.folder)!r} cannot be written to")
        connection.execute("BEGIN IMMEDIATE")
        self._make_room(connection, sum(_bytes_on_disk(value) for value in values.values()))
        now = int(time.time())
        room = int(_KEEP * self.max_bytes)
        for key, value in values.items():
            room -= _bytes_on_disk(value)
            if room < 0:
                break
            known = connection.execute("SELECT id FROM entries WHERE key = ?", (key,)).fetchone()
            if known is None:
                cursor = connection.execute(
                    "INSERT INTO entries (key, used) VALUES (?, ?)", (key, now)
                )
                known = (cursor.lastrowid,)
            connection.execute(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)",
                (*known, key, value, _checksum(key, value)),
            )
        connection.execute("COMMIT")

    def _make_room(self, connection, incoming: int) -> None:
        if self._size(connection) + incoming > self.max_bytes - _SPARE:
            while self._size(connection) > max(_KEEP * self.max_bytes - incoming, 0):
                oldest = connection.execute(
                    "SELECT id FROM entries ORDER BY used, id LIMIT ?", (_EVICT,)
                ).fetchall()
                if not oldest:
                    break
                connection.executemany("DELETE FROM entries WHERE id = ?", oldest)
                connection.executemany("DELETE FROM contents WHERE id = ?", oldest)
        if self._pragma(connection, "page_count") * self._page_size > self.max_bytes:
            self._give_back_pages(connection)  # the bound was lowered since

    def _clear(self, connection) -> None:
        if self._read_only:
            raise StoreError(f"{str(self.folder)!r} cannot be written to")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM entries")
        connection.execute("DELETE FROM contents")
        self._give_back_pages(connection)
        connection.execute("COMMIT")

    def _give_back_pages(self, connection) -> None:
        """Let the file shrink. Python's sqlite3 makes one step of the statement, of one page."""
        for _ in range(self._pragma(connection, "freelist_count")):
            connection.execute("PRAGMA incremental_vacuum(1)")

    def _size(self, connection) -> int:
        used = self._pragma(connection, "page_count") - self._pragma(connection, "freelist_count")
        return used * self._page_size

    def _pragma(self, connection, name: str) -> int:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    # The file ----------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._is_lost:
            raise StoreError("this process was forked while another thread wrote to it")
        if self._connection is not None and not self._is_current():
            self.close()
        if self._connection is None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(str(error)) from error
            self._file = self._current_file()
            self._read_only = False
            try:
                self._connection = self._connect_to_write(self._file)
            except sqlite3.OperationalError as error:
                if not self._is_trouble_around(error):
                    raise
                # Not to be written to; what it holds can be used all the same. "immutable" needs
                # no files beside it, and what it may miss, or read while somebody else writes,
                # fails the checks.
                self._connection = self._connect_to_read(self._file)
                self._read_only = True
            self._page_size = self._pragma(self._connection, "page_size")
        return self._connection

    def _is_current(self) -> bool:
        """Whether the file that is open is still the one in the folder."""
        try:
            status = os.stat(self._file)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity and not self._mark().exists()

    def _current_file(self) -> Path:
        number = 1
        while (file := self.folder / f"activations-1.{number}.sqlite3") and self._mark(
            file
        ).exists():
            number += 1
        return file

    def _mark(self, file: Path | None = None) -> Path:
        return (file or self._file).with_suffix(".damaged")

    def _connect_to_write(self, file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            file, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            if self._pragma(connection, "page_count") == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._use_write_ahead_log(connection)
            # A commit waits for no disk: it holds if the process dies. If the machine does, the
            # last ones may be lost, which only costs their computation.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 33554432")
            connection.execute("PRAGMA cell_size_check = ON")
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables < 4:
                connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
            status = os.stat(file)
        except BaseException:
            connection.close()
            raise
        self._identity = (status.st_dev, status.st_ino)
        return connection

    def _use_write_ahead_log(self, connection) -> None:
        give_up = time.monotonic() + _TIMEOUT
        while True:  # SQLite does not wait here for another process that does the same
            try:
                connection.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _connect_to_read(self, file: Path) -> sqlite3.Connection:
        try:
            status = os.stat(file)
        except OSError as error:
            raise StoreError(
                f"{str(self.folder)!r} cannot be written to and has no activations in it"
            ) from error
        self._identity = (status.st_dev, status.st_ino)
        return sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def _abandon(self) -> None:
        """Leave a damaged file: tell everybody, and save what is intact."""
        damaged = self._file
        self.close()
        if damaged is None:
            return
        if self._read_only:
            raise StoreError(f"{str(damaged)!r} is damaged")
        try:
            with open(self._mark(damaged), "x"):
                pass
        except FileExistsError:  # somebody else noticed first
            return
        except OSError as error:
            raise StoreError(f"{str(damaged)!r} is damaged, and {error}") from error
        intact: dict[bytes, bytes] = {}
        # from both ends: reading stops where the damage is
        for order in ("ASC", "DESC"):
            with contextlib.suppress(sqlite3.Error, StoreError):
                self._rescue(damaged, order, intact)
        with contextlib.suppress(OSError):
            for name in (damaged.name, f"{damaged.name}-wal", f"{damaged.name}-shm"):
                (damaged.parent / name).unlink(missing_ok=True)

    def _rescue(self, damaged: Path, order: str, known: dict[bytes, bytes]) -> None:
        source = sqlite3.connect(damaged, isolation_level=None)
        batch: dict[bytes, bytes] = {}
        try:
            rows = source.execute(f"SELECT key, value, checksum FROM contents ORDER BY id {order}")
            for key, value, checksum in rows:
                if key in known:
                    break  # the other end was reached
                if isinstance(key, bytes) and checksum == _checksum(key, value):
                    batch[key] = value
                if len(batch) >= _EVICT:
                    self._put(self._open(), batch)
                    known.update(dict.fromkeys(batch, b""))
                    batch = {}
        finally:
            if batch:
                self._put(self._open(), batch)
                known.update(dict.fromkeys(batch, b""))
            source.close()


def _bytes_on_disk(value: bytes) -> int:
    """About as much, rather more, as an entry takes in pages and indices."""
    return len(value) + len(value) // 4 + 600


def _checksum(key: bytes, value) -> bytes:
    if not isinstance(value, bytes):  # damage can change even the type
        return b""
    digest = hashlib.sha256(key)
    digest.update(value)
    return digest.digest()[:8]


_INHERITED: list[sqlite3.Connection] = []
