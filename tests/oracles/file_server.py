"""A real HTTP server on 127.0.0.1 that misbehaves as told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[[BaseHTTPRequestHandler, int], None]


class FileServer:
    """Serves ``routes``: by path, a function of the request and how many came before it."""

    def __init__(self):
        self.routes: dict[str, Behaviour] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                earlier = sum(path == self.path for path, _ in outer.requests)
                outer.requests.append((self.path, dict(self.headers)))
                self.stop = outer.stop
                try:
                    outer.routes.get(self.path, status(404))(self, earlier)
                    self.wfile.flush()
                except (ConnectionError, TimeoutError):
                    pass  # the client is gone
                self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __call__(self, path: str, behaviour: Behaviour) -> str:
        """Put a behaviour at a path; returns the URL."""
        self.routes[path] = behaviour
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def ranges(self, path: str) -> list[str | None]:
        """The ranges that were asked for at a path, in order."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first one for the first request, and so on; the last for all that follow."""
    return lambda request, n: behaviours[min(n, len(behaviours) - 1)](request, n)


def status(code: int, *, body: bytes = b"", **headers: str) -> Behaviour:
    def behave(request, _):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return behave


def redirect(to: str, code: int = 302) -> Behaviour:
    return status(code, Location=to)


def serve(
    content: bytes,
    *,
    ranges: bool = True,
    tag: str | None = '"1"',
    says: int | None = None,
    cut: int | None = None,
    stall: int | None = None,
    pause: float = 0.0,
    piece: int = 2**14,
    chunked: bool = False,
    shift: int = 0,
    kind: str = "application/octet-stream",
    **headers: str,
) -> Behaviour:
    """Serve a file.

    `says` is the length claimed of the whole; after `cut` bytes of a body the connection is cut,
    after `stall` bytes nothing comes any more; `pause` seconds follow each `piece`; `shift` moves
    the range that is served, and said.
    """

    def behave(request, _):
        start, wanted = 0, request.headers.get("Range")
        fresh = request.headers.get("If-Range", tag) == tag
        if ranges and wanted is not None and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + shift
            if start >= len(content):
                return status(416, Content_Range=f"bytes */{len(content)}")(request, 0)
            request.send_response(206)
            total = len(content) if says is None else says
            request.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            request.send_response(200)
        body = content[start:]
        request.send_header("Content-Type", kind)
        if tag is not None:
            request.send_header("ETag", tag)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if chunked:
            request.send_header("Transfer-Encoding", "chunked")
        elif says != -1:  # -1: the length is not said
            request.send_header("Content-Length", str((says or len(content)) - start))
        request.end_headers()
        for at in range(0, len(body), piece):
            data = body[
                at : min(at + piece, len(body), *(x for x in (cut, stall) if x is not None))
            ]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked and data else data)
            if cut is not None and at + piece >= cut:
                request.connection.shutdown(socket.SHUT_RDWR)
                return None
            if stall is not None and at + piece >= stall:
                request.stop.wait(10)
                return None
            if pause:
                time.sleep(pause)
        if chunked:
            request.wfile.write(b"0\r\n\r\n")
        return None

    return behave
