"""Downloads from a server that cuts connections, stalls, lies and redirects."""

import errno
import hashlib
import os
import random
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from oracles.file_server import FileServer, in_turn, redirect, serve, status

from sklearn_decaf._utils import download as downloads
from sklearn_decaf._utils.download import download
from sklearn_decaf.exceptions import DownloadError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = random.Random(1).randbytes(300_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "file.bin"


def fetch(urls, path, **options):
    options = {"sha256": SHA256, "progress": False, "timeout": 5, "delay": 0.001, **options}
    if options.get("checksum"):
        del options["sha256"]
    return download(urls, path, **options)


def check_right(path, content=CONTENT):
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]  # no part, no lock


def check_refused(path, pattern, urls, part=False, **options):
    with pytest.raises(DownloadError, match=pattern) as caught:
        fetch(urls, path, **options)
    assert not path.exists()
    assert os.listdir(path.parent) == ([f"{path.name}.part"] if part else [])
    return str(caught.value)


# -- what goes right --


def test_a_file_and_its_folder(server, path):
    assert fetch(server("/f", serve(CONTENT)), path) == path
    check_right(path)
    assert server.requests[0][1]["User-Agent"].startswith("sklearn-decaf/")


def test_a_file_that_is_there_is_not_asked_for(server, path):
    url = server("/f", serve(CONTENT))
    for _ in range(2):
        fetch(url, path)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "known",
    [
        {"sha256": SHA256[:8]},
        {"sha256": SHA256.upper()},
        {"checksum": f"sha1:{hashlib.sha1(CONTENT).hexdigest()}"},
        {"checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}"},
        {"sha256": None},
        {"sha256": None, "size": len(CONTENT)},
    ],
    ids=str,
)
def test_what_is_known_of_the_file(known, server, path):
    fetch(server("/f", serve(CONTENT)), path, **known)
    check_right(path)


@pytest.mark.parametrize("known", [SHA256, None], ids=["checksum", "no checksum"])
def test_chunked_answers(known, server, path):
    fetch(server("/f", serve(CONTENT, chunked=True)), path, sha256=known)
    check_right(path)


def test_progress(server, path, capsys):
    download(server("/f", serve(CONTENT)), path, size=len(CONTENT))
    assert "300/300 kB" in capsys.readouterr().err
    fetch(server("/f", serve(CONTENT)), path.with_name("second"))
    assert capsys.readouterr().err == ""


# -- connections that end early --


@pytest.mark.parametrize("known", [SHA256, None], ids=["checksum", "no checksum"])
def test_cut_connections_are_resumed(known, server, path):
    fetch(server("/f", serve(CONTENT, cut=70_000)), path, sha256=known, n_retries=0)
    check_right(path)
    starts = [wanted and int(wanted[6:-1]) for wanted in server.ranges("/f")]
    assert starts == [None, 70_000, 140_000, 210_000, 280_000]
    assert server.requests[-1][1]["If-Range"] == '"1"'


def test_a_later_run_goes_on_where_one_gave_up(server, path):
    url = server("/f", in_turn(serve(CONTENT, cut=1000), serve(CONTENT)))
    check_refused(path, "cut.* 1000 bytes of 300000", url, part=True, n_retries=0)
    fetch(url, path)
    check_right(path)
    assert server.ranges("/f") == [None, "bytes=1000-"]


def test_without_a_checksum_a_later_run_starts_over(server, path):
    url = server("/f", in_turn(serve(CONTENT, cut=1000), serve(CONTENT)))
    check_refused(path, "cut", url, n_retries=0, sha256=None)
    fetch(url, path, sha256=None)
    check_right(path)
    assert server.ranges("/f") == [None, None]


def test_without_a_checksum_nothing_is_resumed_elsewhere(server, path):
    urls = [server("/a", serve(OTHER, cut=1000)), server("/b", serve(CONTENT))]
    fetch(urls, path, sha256=None)
    check_right(path)
    assert server.ranges("/b") == [None]


@pytest.mark.parametrize("tag", ['"2"', None])
def test_a_file_that_changes_meanwhile(tag, server, path):
    """By If-Range, or where the server ignores that, by the checksum or the new tag."""
    old, new = serve(OTHER, cut=1000), serve(CONTENT, tag=tag)
    for i, known in enumerate([SHA256, None]):
        target = path.with_name(str(i))
        fetch(server(f"/{i}", in_turn(old, new)), target, sha256=known)
        assert target.read_bytes() == CONTENT


def test_another_beginning_left_behind(server, path):
    path.parent.mkdir()
    part = path.with_name("file.bin.part")
    for garbage in (OTHER[:1000], OTHER, OTHER + b"more", b"\0" * 5000):
        part.write_bytes(garbage)
        fetch(server("/f", serve(CONTENT)), path, size=len(CONTENT))
        check_right(path)
        path.unlink()


def test_a_complete_part_takes_its_name_without_a_server(path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(CONTENT)
    fetch("http://127.0.0.1:9/f", path)
    check_right(path)


@pytest.mark.parametrize("known", [SHA256, None], ids=["checksum", "no checksum"])
@pytest.mark.parametrize("stall", [0, 100_000])
def test_stalls(stall, known, server, path):
    url = server("/f", in_turn(serve(CONTENT, stall=stall), serve(CONTENT)))
    fetch(url, path, timeout=0.2, sha256=known)
    check_right(path)
    assert len(server.requests) == 2


def test_a_trickle_counts_as_a_stall(server, path):
    trickle = serve(CONTENT, piece=1, pause=0.02)
    url = server("/f", in_turn(trickle, serve(CONTENT)))
    fetch(url, path, stall_timeout=0.2)
    check_right(path)
    assert len(server.requests) == 2
    path.unlink()
    url = server("/g", trickle)
    check_refused(path, "only .* bytes arrived", url, part=True, stall_timeout=0.2, n_retries=1)


def test_no_answer_at_all(server, path):
    url = server("/f", lambda request, n: request.stop.wait(10))
    check_refused(path, r"no answer within 0.1 s", url, timeout=0.1, n_retries=1)
    assert len(server.requests) == 2


def test_a_cut_chunked_answer(server, path):
    cut = serve(CONTENT, chunked=True, cut=100_000)
    fetch(server("/f", in_turn(cut, serve(CONTENT))), path, sha256=None)
    check_right(path)
    path.unlink()
    url = server("/g", serve(CONTENT, chunked=True, cut=100_000, tag=None))
    check_refused(path, "broke", url, n_retries=1, sha256=None)


def test_the_server_does_not_say_the_length(server, path):
    behave = serve(CONTENT, says=-1)
    fetch(server("/f", behave), path)
    check_right(path)
    path.unlink()
    check_refused(path, "does not say how long", server("/f", behave), sha256=None)
    fetch(server("/f", behave), path, sha256=None, size=len(CONTENT))
    check_right(path)


# -- lies --


def test_a_length_that_is_too_long(server, path):
    """The checksum decides; without it the file never is complete."""
    url = server("/f", serve(CONTENT, says=300_500))
    fetch(url, path)
    check_right(path)
    path.unlink()
    check_refused(path, "300000 bytes of 300500", url, sha256=None, n_retries=2)
    check_refused(path, "has 300500 bytes, not 300000", url, size=300_000, n_retries=2)


def test_a_length_that_is_too_short(server, path):
    url = server("/f", serve(CONTENT, says=250_000))
    message = check_refused(path, "the 250000 bytes there", url)
    assert hashlib.sha256(CONTENT[:250_000]).hexdigest() in message
    check_refused(path, "has 250000 bytes, not 300000", url, sha256=None, size=300_000)


def test_wrong_bytes(server, path):
    urls = [server("/a", serve(OTHER)), server("/b", serve(OTHER))]
    message = check_refused(path, hashlib.sha256(OTHER).hexdigest(), urls)
    assert len(server.requests) == 2  # the same URL is not asked again
    assert "By hand" in message and SHA256 in message and str(path) in message
    fetch([*urls, server("/c", serve(CONTENT))], path)
    check_right(path)


def test_a_range_is_ignored(server, path):
    url = server("/f", in_turn(serve(CONTENT, cut=100_000), serve(CONTENT, ranges=False)))
    fetch(url, path)
    check_right(path)
    assert server.ranges("/f")[1] == "bytes=100000-"


def test_ranges_ignored_and_always_cut(server, path):
    url = server("/f", serve(CONTENT, ranges=False, cut=100_000))
    check_refused(path, "100000 bytes of 300000", url, part=True, n_retries=3)
    assert len(server.requests) <= 5  # each brings the same bytes: no progress


@pytest.mark.parametrize("known", [SHA256, None], ids=["checksum", "no checksum"])
def test_another_range_than_asked_for(known, server, path):
    url = server("/f", in_turn(serve(CONTENT, cut=100_000), serve(CONTENT, shift=-50)))
    fetch(url, path, sha256=known)
    check_right(path)
    assert server.ranges("/f") == [None, "bytes=100000-", None]


def test_a_range_nobody_asked_for(server, path):
    url = server("/f", status(206, body=CONTENT[5:], Content_Range="bytes 5-299999/300000"))
    check_refused(path, "bytes 5-299999/300000", url)
    url = server("/f", status(206, body=CONTENT))
    check_refused(path, "sends None", url)


def test_the_limit_of_size(server, path):
    check_refused(
        path, "300000 bytes; 1000 is the limit", server("/f", serve(CONTENT)), max_size=1000
    )
    silent = server("/f", serve(CONTENT, says=-1))
    check_refused(path, "more than the 1000 bytes", silent, max_size=1000)
    endless = server("/g", serve(CONTENT, chunked=True))
    check_refused(path, "more than the 1000 bytes", endless, max_size=1000, sha256=None)


def test_web_pages_and_empty_files(server, path):
    url = server("/f", serve(b"<html>please log in</html>", kind="text/html"))
    check_refused(path, "web page", url, sha256=None)
    check_refused(path, "text/html", url)
    check_refused(path, "empty", server("/g", status(200)), sha256=None)
    check_refused(path, "compressed", server("/h", serve(CONTENT, Content_Encoding="gzip")))


# -- answers that are none --


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_errors_that_pass(code, server, path):
    fetch(server("/f", in_turn(status(code), status(code), serve(CONTENT))), path)
    check_right(path)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 501])
def test_errors_that_stay(code, server, path):
    url = server("/f", status(code))
    check_refused(path, f"the server answers {code}", url)
    assert len(server.requests) == 1
    fetch([url, server("/g", serve(CONTENT))], path)
    check_right(path)


def test_a_server_that_never_recovers(server, path, monkeypatch):
    pauses = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    urls = [server("/a", status(500)), server("/b", status(503))]
    message = check_refused(path, "500", urls, n_retries=7, delay=1.0)
    assert all(url in message for url in urls)
    assert len(server.requests) == 16
    for i, pause in enumerate(pauses):
        assert 0.5 * min(2**i, 60) <= pause <= min(2**i, 60)


def test_retry_after(server, path, monkeypatch):
    pauses = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    clock = time.monotonic
    monkeypatch.setattr(downloads.time, "monotonic", lambda: clock() + sum(pauses))
    busy = status(503, Retry_After="7")
    fetch(server("/f", in_turn(busy, serve(CONTENT))), path)
    assert 6.5 < sum(pauses) < 8
    pauses.clear()
    date = status(429, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT")
    urls = [server("/g", date), server("/h", in_turn(status(500), serve(CONTENT)))]
    fetch(urls, path.with_name("g"))  # one that is closed for a century is not waited for
    assert sum(pauses) < 1
    assert len(server.ranges("/g")) == 1


def test_nobody_there(server, path):
    urls = ["http://127.0.0.1:9/f", "http://nowhere.invalid/f"]
    message = check_refused(path, "no connection", urls, n_retries=1)
    assert all(url in message for url in urls)


def test_nonsense_instead_of_http(server, path):
    url = server("/f", lambda request, n: request.wfile.write(b"\0\1\2 what?\r\n\r\n"))
    check_refused(path, "no proper answer", url, n_retries=1)


# -- redirects --


def test_redirects(server, path):
    last = server("/c", serve(CONTENT, cut=100_000))
    server("/b", redirect(last, 307))
    fetch(server("/a", redirect("/b")), path)
    check_right(path)
    assert server.ranges("/c")[1] == "bytes=100000-"


def test_redirect_loops(server, path):
    server("/b", redirect("/a"))
    check_refused(path, "infinite loop", server("/a", redirect("/b")))
    count = server("/0", lambda request, n: redirect(f"/{int(request.path[1:]) + 1}")(request, n))
    server.routes = {f"/{i}": server.routes["/0"] for i in range(100)}
    check_refused(path, "302", count)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/f", "file:///etc/hostname"])
def test_redirects_to_other_protocols(target, server, path):
    check_refused(path, "redirects to|not allowed", server("/f", redirect(target)))


def test_https_is_never_left(server):
    handler = downloads._Redirects()
    request = downloads.urllib.request.Request("https://example.org/f")
    arguments = (request, None, 302, "Found", {})
    with pytest.raises(downloads.Broken, match=r"redirects to http://example\.org"):
        handler.redirect_request(*arguments, "http://example.org/f")
    assert handler.redirect_request(*arguments, "https://example.org/g") is not None


# -- the disk --


def test_another_file_in_the_way(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    url = server("/f", serve(CONTENT))
    for known in ({}, {"size": 300_000}):
        with pytest.raises(DownloadError, match="Move it away"):
            fetch(url, path, **known)
    assert path.read_bytes() == b"mine"
    assert server.requests == []
    fetch(url, path, sha256=None)  # nothing says that it is wrong


def test_no_room(server, path, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage)
    url = server("/f", serve(CONTENT))
    message = check_refused(path, "no room for file.bin: it needs 300000 more bytes", url)
    assert "1000 bytes free" in message
    assert len(server.requests) == 1


def test_the_disk_fills_up(server, path, tmp_path):
    """A limit on the size of files stands for the disk: the same path, errno EFBIG."""
    url = server("/f", serve(CONTENT))
    code = f"""
        import resource, signal
        from sklearn_decaf._utils.download import download
        from sklearn_decaf.exceptions import DownloadError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            download({url!r}, {str(path)!r}, sha256={SHA256!r}, progress=False)
        except DownloadError as error:
            print(error.errno, error)
    """
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{errno.ENOSPC} ") and "no room" in done.stdout, done
    assert not path.exists()
    fetch(url, path)  # there is room now, and what arrived is not fetched again
    check_right(path)
    assert server.ranges("/f") == [None, "bytes=100000-"]


def test_a_folder_that_cannot_be(server, path):
    path.parent.write_bytes(b"a file")
    with pytest.raises(DownloadError, match=str(path)):
        fetch(server("/f", serve(CONTENT)), path)


@pytest.mark.parametrize(
    "arguments",
    [
        {"urls": []},
        {"urls": ["ftp://example.org/f"]},
        {"urls": ["file:///etc/passwd"]},
        {"checksum": "sha256"},
        {"checksum": "sha256:"},
        {"checksum": "crc7:00"},
        {"checksum": "md5:00", "sha256": "00"},
    ],
    ids=str,
)
def test_bad_arguments(arguments, path):
    with pytest.raises(ValueError):
        download(**{"urls": ["http://127.0.0.1:9/f"], "path": path, **arguments})
    assert not path.parent.exists()


# -- several at a time, and sudden ends --

CHILD = """
    import sys
    from sklearn_decaf._utils.download import download
    url, path, sha256 = sys.argv[1:]
    download(url, path, sha256=sha256, progress=False, delay=0.001)
"""


@pytest.mark.slow
def test_processes_and_threads_fetch_once(server, path, tmp_path):
    url = server("/f", serve(CONTENT, pause=0.01))
    command = [sys.executable, "-c", textwrap.dedent(CHILD), url, str(path), SHA256]
    children = [subprocess.Popen(command, cwd=tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=fetch, args=(url, path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(60) for child in children] == [0, 0, 0]
    check_right(path)
    assert len(server.requests) == 1


def test_a_lock_left_behind_locks_nothing(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.lock").touch()
    fetch(server("/f", serve(CONTENT)), path)
    check_right(path)


def test_systems_without_locks(server, path, monkeypatch):
    from sklearn_decaf._utils import file_lock as locks

    monkeypatch.setattr(locks, "fcntl", None)
    fetch(server("/f", serve(CONTENT, cut=100_000)), path)
    check_right(path)
    path.unlink()
    check_refused(path, "404", server("/g", in_turn(serve(CONTENT, cut=1000), status(404))))


KILLED = """
    # fork, download, be killed at a random moment; whatever is left, the next one goes on from it
    import hashlib, os, random, signal, sys, time
    from pathlib import Path
    from sklearn_decaf._utils.download import download
    url, path, sha256, seed = sys.argv[1:]
    path, chance = Path(path), random.Random(int(seed))

    def child():
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                download(url, path, sha256=sha256, progress=False, delay=0.001)
                status = 0
            finally:
                os._exit(status)
        return pid

    def content():
        return path.read_bytes() if path.exists() else None

    def run():
        start = time.monotonic()
        assert os.waitstatus_to_exitcode(os.waitpid(child(), 0)[1]) == 0
        assert content() is not None
        path.unlink()
        return time.monotonic() - start

    usual = sorted(run() for _ in range(3))[1]
    killed = finished = parts = 0
    while killed < 25:
        pid = child()
        time.sleep(chance.uniform(0, 1.1 * usual))
        os.kill(pid, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
            finished += 1
        else:
            killed += 1
        part = path.with_name(path.name + ".part")
        parts += part.exists() and part.stat().st_size > 0
        found = content()
        if found is not None:
            assert hashlib.sha256(found).hexdigest() == sha256, "half a file was used"
        if killed % 5 == 0 or found is not None:  # the next run succeeds
            run()
    assert not list(path.parent.glob("*.part"))
    print(killed, finished, parts)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_at_random_moments(server, path, tmp_path):
    content = CONTENT[:100_000]
    url = server("/f", serve(content, piece=4096, pause=0.001))
    path.parent.mkdir()
    sha256 = hashlib.sha256(content).hexdigest()
    command = [sys.executable, "-c", textwrap.dedent(KILLED), url, str(path), sha256, "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    killed, _, parts = map(int, done.stdout.split())
    assert killed == 25
    # or the moments were not those that matter
    assert parts > 2 and any(wanted is not None for wanted in server.ranges("/f"))
