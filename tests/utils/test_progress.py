"""The progress bar: what it writes, where and when, by a clock of the test's own."""

import io
import itertools
import sys

import pytest

from sklearn_decaf._utils import progress
from sklearn_decaf._utils.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds since the start, moved by hand."""

    def __init__(self):
        self.now = 5000.0

    def monotonic(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def lines(stream):
    return stream.getvalue().splitlines()


def test_share_rate_and_time_left(clock):
    stream = io.StringIO()
    progress = Progress(100, "DeCAFTransformer", stream=stream)
    clock.advance(10)
    progress.update(25)
    assert stream.getvalue() == (
        f"[DeCAFTransformer]  25% |{'#' * 8}{'.' * 22}| 25/100 images, 2.5/s, 0:30 left\n"
    )
    clock.advance(15)
    progress.update(75)
    assert lines(stream)[1] == (
        f"[DeCAFTransformer] 100% |{'#' * 30}| 100/100 images, 4.0/s, in 0:25"
    )


@pytest.mark.parametrize(
    ("seconds", "done", "total", "expected"),
    [
        (10, 1, 2, "0.1/s, 0:10 left"),
        (20, 1, 10, "0.1/s, 3:00 left"),
        (59.6, 1, 2, "0.0/s, 1:00 left"),  # never 0:60
        (100, 1, 73, "0.0/s, 2:00:00 left"),
        (10, 1, 367, "0.1/s, 1:01:00 left"),
        (3661, 5, 5, "0.0/s, in 1:01:01"),
        (0.2, 300, 300, "1500.0/s, in 0:00"),
    ],
)
def test_clock_times(clock, seconds, done, total, expected):
    stream = io.StringIO()
    progress = Progress(total, "x", stream=stream)
    clock.advance(seconds)
    progress.update(done)
    assert stream.getvalue().endswith(f", {expected}\n")


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock):
    stream = io.StringIO()
    progress = Progress(50, "x", stream=stream, unit="files")
    for _ in range(50):
        clock.advance(1)
        progress.update(1)
    counts = [line.split("| ")[1].split(",")[0] for line in lines(stream)]
    assert counts == [f"{n}/50 files" for n in (10, 20, 30, 40, 50)]
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_shows_one_line_again_and_again(clock):
    stream = Terminal()
    progress = Progress(40, "x", stream=stream)
    for _ in range(40):
        clock.advance(0.04)
        progress.update(1)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\x1b[K\n")
    states = text.split("\r")[1:]
    assert all(state.rstrip("\n").endswith("\x1b[K") for state in states)  # clears what was there
    # after one second of silence every third update, at most ten a second; and the end
    counts = [int(state.split("| ")[1].split("/")[0]) for state in states]
    assert counts[0] in (25, 26)
    assert counts[-1] == 40
    assert all(b - a == 3 for a, b in itertools.pairwise(counts[:-1]))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_short_work_says_only_how_long_it_took(clock, stream):
    stream = stream()
    progress = Progress(3, "x", stream=stream)
    for _ in range(3):
        clock.advance(0.3)
        progress.update(1)
    assert stream.getvalue().count("3/3 images, 3.3/s, in 0:01") == 1
    assert stream.getvalue().count("images") == stream.getvalue().count("\n") == 1


def test_disabled_is_silent(clock):
    stream = Terminal()
    progress = Progress(2, "x", stream=stream, enabled=False)
    for _ in range(2):
        clock.advance(100)
        progress.update(1)
    assert stream.getvalue() == ""
    assert progress.done == 2


def test_standard_error_of_the_moment(clock, monkeypatch):
    """Not that of the import: notebooks and tests put another one there."""
    progress = Progress(1, "x")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress.update(1)
    assert "1/1 images" in stream.getvalue()


def test_every_line_is_flushed(clock):
    flushed = []

    class Stream(io.StringIO):
        def flush(self):
            flushed.append(self.getvalue())

    progress = Progress(2, "x", stream=Stream())
    for _ in range(2):
        clock.advance(20)
        progress.update(1)
    assert [text.count("\n") for text in flushed] == [1, 2]


def test_no_time_and_no_work_do_no_harm(clock):
    stream = io.StringIO()
    Progress(5, "x", stream=stream).update(5)  # the clock did not move
    Progress(0, "x", stream=stream).update(0)
    assert len(lines(stream)) == 2


def test_bars_grow(clock):
    stream = io.StringIO()
    progress = Progress(1000, "x", stream=stream)
    for _ in range(1000):
        clock.advance(10)
        progress.update(1)
    bars = [line.split("|")[1] for line in lines(stream)]
    assert {len(bar) for bar in bars} == {30}
    assert bars == sorted(bars, key=lambda bar: bar.count("#"))
    assert [bars[i] for i in (0, 499, 999)] == ["." * 30, "#" * 15 + "." * 15, "#" * 30]
