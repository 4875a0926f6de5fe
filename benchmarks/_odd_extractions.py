"""What the command line says to folders and lists as people have them, for `bad_inputs.py`."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from _markdown import table
from oracles.extractions import COMMAND
from oracles.odd_extractions import EXTRACTIONS, prepared

from sklearn_decaf.__main__ import main


def report_extractions(length: int) -> list[str]:
    """Print a table of all cases; return the names of those that go otherwise than they should."""
    rows, unexpected = [], []
    for case in EXTRACTIONS:
        with tempfile.TemporaryDirectory() as folder:
            arguments = prepared(case, Path(folder))
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = main(["extract", *arguments, *COMMAND])
            words = " ".join(said.getvalue().replace(folder, "").split())
        good = status == case.status and case.words in said.getvalue()
        rows.append([case.name, status, words if len(words) <= length else words[:length] + "..."])
        unexpected += [] if good else [case.name]
    print(f"\n{len(rows)} folders and lists that are passed to `extract`:\n")
    print(table(["case", "exit status", "what is said"], rows))
    return unexpected
