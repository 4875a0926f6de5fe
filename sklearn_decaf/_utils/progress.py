"""Progress bar with rate and time left, for work of known length."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_BAR = 30  # characters
_SILENT = 1.0  # seconds: work shorter than this prints nothing but its end
_EVERY_TERMINAL = 0.1  # seconds between two states of the bar
_EVERY_LOG = 10.0  # seconds between two lines where output is not a terminal


class Progress:
    """Show the progress of a piece of work on standard error.

    On a terminal one line is drawn again and again. Elsewhere (a log, a notebook) a line is written
    every ten seconds and at the end.

    Parameters
    ----------
    total : int
        Number of items.
    label : str
        Name of the work, such as ``"DeCAFTransformer"``.
    unit : str, default="images"
    enabled : bool, default=True
    stream : file, default=sys.stderr
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        unit: str = "images",
        enabled: bool = True,
        stream: TextIO | None = None,
    ):
        self.total = total
        self.label = label
        self.unit = unit
        self.enabled = enabled
        self.done = 0
        self._stream = stream
        self._start = self._last = time.monotonic()

    def update(self, n: int) -> None:
        """Count n more items as done."""
        self.done += n
        if not self.enabled:
            return
        stream = self._stream or sys.stderr
        terminal = stream.isatty()
        now = time.monotonic()
        finished = self.done >= self.total
        every = _EVERY_TERMINAL if terminal else _EVERY_LOG
        if not finished and (now - self._last < every or now - self._start < _SILENT):
            return
        self._last = now
        line = self._line(now - self._start)
        if terminal:
            stream.write(f"\r{line}\x1b[K" + ("\n" if finished else ""))
        else:
            stream.write(line + "\n")
        stream.flush()

    def _line(self, seconds: float) -> str:
        share = self.done / max(self.total, 1)
        bar = ("#" * round(share * _BAR)).ljust(_BAR, ".")
        rate = self.done / max(seconds, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        if self.done >= self.total:
            timing = f"in {_clock(seconds)}"
        else:
            timing = f"{_clock(left)} left"
        counts = f"{self.done}/{self.total} {self.unit}"
        return f"[{self.label}] {share:4.0%} |{bar}| {counts}, {rate:.1f}/s, {timing}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
