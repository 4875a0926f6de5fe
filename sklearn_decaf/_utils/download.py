"""Downloads of single files, which are there whole and right or not at all.

Only the standard library is used. The usual helper for this, pooch, neither resumes a download, nor
notices one that stalls, nor keeps two processes from fetching the same file.
"""

from __future__ import annotations

import email.utils
import http.client
import os
import random
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..exceptions import DownloadError
from .data_home import expand_user
from .file_lock import file_lock
from .partial_file import (
    DISK_FULL,
    Broken,
    Failure,
    PartialFile,
    StartOver,
    WantedFile,
    disk_is_full,
)
from .progress import Progress

CHUNK = 2**17  # bytes
MIN_SPEED = 1024  # bytes a second, on average over the stall time-out
PROGRESS_THAT_COUNTS = 2**16  # bytes: a connection that brought fewer has failed
MAX_BACK_OFF = 60.0  # seconds between two retries at most
MAX_RETRY_AFTER = 300.0  # a server that asks for more patience counts as closed
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


def download(
    urls: str | Sequence[str],
    path: str | os.PathLike,
    *,
    sha256: str | None = None,
    checksum: str | None = None,
    size: int | None = None,
    max_size: int = 2**32,
    timeout: float = 30.0,
    stall_timeout: float = 60.0,
    n_retries: int = 5,
    delay: float = 1.0,
    progress: bool = True,
) -> Path:
    """Download a file, unless it is there.

    The file grows as ``<path>.part`` and takes its name when it is complete and its checksum is
    right, so nobody sees half a file. If the checksum is known, a download that was cut off, by
    the network or by the end of the process, is resumed. Processes and threads that want the same
    file at the same time fetch it once.

    Parameters
    ----------
    urls : str or sequence of str
        http or https; mirrors of the same file, tried in order.
    path : str or path-like
        Path of the file. Missing folders are made. A file that is there and fits the checksum and
        the size is used as it is.
    sha256 : str or None
        Checksum of the file, in hexadecimal; or its beginning, where only that is published.
    checksum : str or None
        Checksum of another kind, such as ``"md5:..."`` or ``"sha1:..."``, for files whose sha256 is
        not published.
    size : int or None
        Size in bytes, where it is known. Without a checksum and a size, the server must say how
        long the file is.
    max_size : int, default=4 GiB
        A longer file is refused, before or while it is loaded.
    timeout : float, default=30
        Seconds to wait for a connection, and for each piece of an answer.
    stall_timeout : float, default=60
        Seconds over which at least 1 KiB/s must arrive.
    n_retries : int, default=5
        Number of times that all URLs are tried again. Attempts that brought the file forward are
        not counted.
    delay : float, default=1.0
        Seconds before the first retry; twice as long before each further one, up to a minute.
    progress : bool, default=True
        Show a progress bar.

    Returns
    -------
    pathlib.Path
        Absolute path of the complete file.

    Raises
    ------
    DownloadError
        If the file cannot be downloaded, the disk is full, or another file has the name. The
        message says what happened at each URL, and what to do by hand.
    ValueError
        If there is no URL, a URL is not http or https, or a checksum is of no known kind.
    """
    urls = [urls] if isinstance(urls, str) else list(dict.fromkeys(urls))
    for url in urls:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"urls={url!r}: it must be the address of a file, http or https.")
    if not urls:
        raise ValueError(f"urls=[]: it must name at least one address of {os.fspath(path)!r}.")
    if sha256 is not None and checksum is not None:
        raise ValueError("sha256 and checksum are both given: pass one of them.")
    wanted = WantedFile(
        Path(expand_user(path)).absolute(),
        f"sha256:{sha256}" if sha256 is not None else checksum,
        size,
        min(max_size, size or max_size),
    )
    wanted.new_hash()  # raises if the checksum is none
    if wanted.is_there():
        return wanted.path
    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(wanted.path, verbose=progress) as locked:
            if wanted.is_there():  # another process was faster
                return wanted.path
            with PartialFile(wanted, shared=locked) as part:
                _Download(urls, wanted, part, timeout, stall_timeout, progress).run(
                    n_retries, delay
                )
                part.publish()
    except DownloadError:
        raise
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_is_full(wanted) from error
        raise DownloadError(f"cannot write {wanted.path}: {error.strerror or error}.") from error
    return wanted.path


@dataclass
class _Download:
    """Attempts to complete one partial file."""

    urls: list[str]
    wanted: WantedFile
    part: PartialFile
    timeout: float
    stall_timeout: float
    progress: bool
    log: dict[str, str] = field(default_factory=dict)  # what happened last at each URL
    no_ranges: set[str] = field(default_factory=set)  # URLs that answer them wrongly
    bar: Progress | None = None

    def run(self, n_retries: int, delay: float) -> None:
        if self.part.fits():  # the process ended just before the file got its name
            return
        urls, failures, best = list(self.urls), 0, self.part.position
        ready = dict.fromkeys(urls, 0.0)  # when each may be asked again
        while True:
            for url in [url for url in urls if ready[url] <= time.monotonic()]:
                try:
                    self._complete(url)
                    return
                except Failure as failure:
                    self.log[url] = str(failure)
                    ready[url] = time.monotonic() + failure.wait
                    if isinstance(failure, Broken) or failure.wait > MAX_RETRY_AFTER:
                        urls.remove(url)
            if self.part.position >= best + PROGRESS_THAT_COUNTS:
                best, failures = self.part.position, 0
            else:
                failures += 1
            if not urls or failures > n_retries:
                raise self._give_up()
            pause = min(delay * 2 ** max(failures - 1, 0), MAX_BACK_OFF)
            asked = min(ready[url] for url in urls) - time.monotonic()
            time.sleep(max(asked, pause * random.uniform(0.5, 1.0)))

    def _complete(self, url: str) -> None:
        """Make one attempt, and one more from the beginning where that may help."""
        try:
            self._attempt(url)
        except StartOver as failure:
            resumed = self.part.resumed
            self.part.restart()
            if not resumed:  # from the beginning, and still wrong
                raise Broken(str(failure)) from failure
            self._complete(url)

    def _attempt(self, url: str) -> None:
        """Ask one URL for what is missing; return when the file is complete and right."""
        if self.part.position and not self._may_resume(url):
            self.part.restart()
        self.part.resumed = self.part.position > 0
        answer = self._open(url)
        with answer:
            total = self._examine(answer, url)
            if self.part.position == 0:
                self.part.origin = (url, _validator(answer))
            try:
                self._receive(answer, total)
                cut = None
            except StartOver:
                raise
            except Failure as failure:
                cut = failure
        if self.part.fits():
            return  # whatever was said of its length
        self._check(answer, total, cut)

    def _may_resume(self, url: str) -> bool:
        if url in self.no_ranges:
            return False
        # without a checksum only a server that vouches for its file can add to its own beginning
        return self.wanted.checksum is not None or (
            self.part.origin is not None and self.part.origin[0] == url and self.part.origin[1]
        )

    def _open(self, url: str):
        from .. import __version__

        headers = {"User-Agent": f"sklearn-decaf/{__version__}", "Accept-Encoding": "identity"}
        if self.part.position:
            headers["Range"] = f"bytes={self.part.position}-"
            if self.part.origin and self.part.origin[0] == url and self.part.origin[1]:
                headers["If-Range"] = self.part.origin[1]
        request = urllib.request.Request(url, headers=headers)
        try:
            return urllib.request.build_opener(_Redirects).open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            message = f"the server answers {error.code} {error.msg}"
            if error.code == 416:
                raise self._range_failed(url, message) from error
            if error.code in TRY_AGAIN:
                raise Failure(message, wait=_retry_after(error.headers)) from error
            raise Broken(message) from error
        except urllib.error.URLError as error:
            kind = Broken if isinstance(error.reason, ssl.SSLCertVerificationError) else Failure
            raise kind(f"no connection: {error.reason}") from error
        except TimeoutError as error:
            raise Failure(f"no answer within {self.timeout:g} s") from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise Failure(f"no proper answer: {error!r}") from error

    def _range_failed(self, url: str, message: str) -> Failure:
        """Ask this URL for no ranges any more, after an answer that makes no sense."""
        self.no_ranges.add(url)
        return StartOver(message)

    def _examine(self, answer, url: str) -> int | None:
        """Check the headers; return the length of the file, if known. May restart the part."""
        headers, part, wanted = answer.headers, self.part, self.wanted
        encoding = headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise Broken(f"the file comes compressed ({encoding}), against our wish")
        if answer.status == 206:
            found = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", "").strip()
            )
            if found is None or int(found[1]) != part.position:
                said = headers.get("Content-Range")
                raise self._range_failed(
                    url, f"asked for byte {part.position} on, the server sends {said!r}"
                )
            if part.position and wanted.checksum is None and _validator(answer) != part.origin[1]:
                raise StartOver("the file there has changed")
            total = None if found[3] == "*" else int(found[3])
        elif answer.status == 200:
            if part.position:
                part.restart()  # the server knows no ranges, or the file has changed
            total = _content_length(answer)
        else:
            raise Broken(f"the server answers {answer.status} {answer.reason}")
        if wanted.size is not None and total not in (None, wanted.size):
            raise Broken(f"the file there has {total} bytes, not {wanted.size}")
        if total is not None and total > wanted.max_size:
            raise Broken(f"the file there has {total} bytes; {wanted.max_size} is the limit")
        page = headers.get_content_type() == "text/html"
        if wanted.checksum is None and page and wanted.path.suffix not in (".html", ".htm"):
            raise Broken("the server sends a web page instead of the file")
        total = total if total is not None else wanted.size
        if total is None and wanted.checksum is None and not answer.chunked:
            raise Broken("the server does not say how long the file is")
        free = shutil.disk_usage(wanted.path.parent).free
        if total is not None and total - part.position > free:
            raise disk_is_full(wanted, total - part.position)
        return total

    def _receive(self, answer, total: int | None) -> None:
        """Write what arrives; raise Failure if the connection breaks or stalls."""
        part = self.part
        left = _content_length(answer)
        if self.progress and total:
            if self.bar is None:
                self.bar = Progress(-(-total // 1000), self.wanted.path.name, unit="kB")
            self.bar.update(part.position // 1000 - self.bar.done)
        since, before = time.monotonic(), part.position
        while left is None or left > 0:
            try:
                chunk = answer.read1(CHUNK if left is None else min(CHUNK, left))
            except TimeoutError as error:
                raise Failure(f"nothing arrived for {self.timeout:g} s") from error
            except (http.client.HTTPException, OSError, ValueError) as error:
                raise Failure(f"the connection broke: {error!r}") from error
            if not chunk:
                break
            part.write(chunk)
            left = None if left is None else left - len(chunk)
            if self.bar is not None:
                done = self.bar.total if part.position == total else part.position // 1000
                self.bar.update(done - self.bar.done)
            now = time.monotonic()
            if now - since > self.stall_timeout:
                if part.position - before < MIN_SPEED * (now - since):
                    raise Failure(
                        f"only {part.position - before} bytes arrived in {now - since:.0f} s"
                    )
                since, before = now, part.position

    def _check(self, answer, total: int | None, cut: Failure | None) -> None:
        """Raise what is wrong with the file, if anything can be seen to be."""
        part = self.part
        if cut is not None or (total is not None and part.position < total):
            message = f"{cut or 'the connection was cut'}, after {part.position} bytes"
            raise Failure(message + (f" of {total}" if total is not None else ""))
        if total is not None and part.position > total:
            raise StartOver(f"{part.position} bytes came, not {total}")
        if self.wanted.checksum is not None:
            kind, size = answer.headers.get_content_type(), part.position
            raise StartOver(
                f"the {size} bytes there ({kind}) have {part.hash.name} {part.hash.hexdigest()}"
            )
        if part.position == 0:
            raise Broken("the file there is empty")

    def _give_up(self) -> DownloadError:
        tried = "\n".join(f"  {url}: {self.log.get(url, 'not tried')}" for url in self.urls)
        return DownloadError(
            f"cannot download {self.wanted.path.name}:\n{tried}\n"
            f"By hand: get {self.wanted.describe()} and save it as {str(self.wanted.path)!r}."
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise Broken(f"it redirects to {newurl}, which is not {old}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _content_length(answer) -> int | None:
    """Read the length of this answer's body, which may be part of the file."""
    length = answer.headers.get("Content-Length", "").strip()
    return int(length) if length.isascii() and length.isdigit() and not answer.chunked else None


def _validator(answer) -> str:
    """Read the validator for If-Range, which changes with the file; empty if there is none."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def _retry_after(headers) -> float:
    """Read the number of seconds that a server asks to wait."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
