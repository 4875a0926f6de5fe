"""What `load_weights` makes of weight files as people have them, for `bad_inputs.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _markdown import table
from oracles.odd_weights import ODD_WEIGHTS, OddWeights

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks import load_weights


def load(case: OddWeights, folder: Path) -> tuple[str, bool]:
    """The evidence or the error, and whether it is as it should be."""
    files = case.files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    options = dict(case.options)
    if "mean" in options:
        options["mean"] = folder / options["mean"]
    try:
        weights = load_weights(folder / next(iter(files)), **options)
    except WeightsError as error:
        return str(error).replace(f"{folder}/", ""), case.refused and case.words in str(error)
    words = f"{weights}: {weights.evidence}".replace(f"{folder}/", "")
    return words, not case.refused and case.words in weights.evidence


def report_weights(length: int) -> list[str]:
    """Print a table of all cases; return the names of those that go otherwise than they should."""
    rows, unexpected = [], []
    for case in ODD_WEIGHTS:
        with tempfile.TemporaryDirectory() as folder:
            words, good = load(case, Path(folder))
        rows.append([case.name, words if len(words) <= length else words[:length] + "..."])
        unexpected += [] if good else [case.name]
    print(f"\n{len(rows)} files that are passed to `load_weights`:\n")
    print(table(["file", "what comes out"], rows))
    return unexpected
