"""What DeCAFTransformer says to inputs that are no images, and what it makes of unusual ones.

Usage::

    python benchmarks/bad_inputs.py [--length 200]

Makes cut and hostile files, wrong arrays and wrong containers in a temporary folder, and passes
each to ``DeCAFTransformer(on_error="raise")`` and ``DeCAFTransformer(on_error="nan")``. Where one
row of several is at fault, it stands in row 1 between good images. Then come images that are read
all the same: unusual ones, those that are transparent everywhere, those with faults in their
metadata (while all warnings are errors), those that were opened before their file was replaced;
then containers of images, and of none; folders and lists for the command line, with what it says
and exits with; last weight files, and files that are none. The exit status is 1 if anything but a
ValueError or TypeError comes out, if a bad input is accepted, or if the others are not read as what
they are. The tests use the same inputs, ``tests/oracles``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.exceptions import ImageWarning
from sklearn_decaf.images import read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from _odd_extractions import report_extractions
from _odd_weights import report_weights
from oracles.bad_images import BadInput, bad_inputs, encode, odd_inputs, photo
from oracles.faulty_metadata import PIXELS, UPRIGHT, straight_files, turned_files
from oracles.hidden_images import hidden_inputs
from oracles.image_containers import CONTAINERS, EMPTY
from oracles.opened_pictures import FORMATS, open_one_after_the_other
from oracles.unread_kinds import unread_kinds


def outcome(X, image_shape=None, on_error="raise", row=None) -> tuple[str, bool]:
    """What comes out, in words, and whether that is how it should be for a bad input."""
    transformer = DeCAFTransformer(image_shape=image_shape, on_error=on_error, dropout=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            features = transformer.transform(X)
        except Exception as error:
            good = isinstance(error, ValueError | TypeError)
            return f"{type(error).__name__}: {error}", good and (on_error == "raise" or row is None)
    failed = np.flatnonzero(np.isnan(features).any(axis=1))
    said = [str(item.message) for item in caught if item.category is ImageWarning]
    if not len(failed):
        words = f"{features.shape[0]} x {features.shape[1]} features"
        return "; ".join([words, *(text.splitlines()[0] for text in said)]), False
    words = f"row {', '.join(map(str, failed))} of {len(features)} is NaN"
    well_said = len(said) == 1 and all(f"row {number}" in said[0] for number in failed)
    return words, row in failed and well_said and bool(np.isnan(features[failed]).all())


class Report:
    """Tables of Markdown, and the names of what was not as expected."""

    def __init__(self, length: int, folder: Path):
        self.length, self.folder = length, folder
        self.unexpected: list[str] = []

    def begin(self, title: str, *columns: str) -> None:
        print(f"\n{title}:\n")
        print(f"| # | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        self.number = 0

    def add(self, name: str, *cells: object, good: bool) -> None:
        self.number += 1
        texts = [str(cell).replace(str(self.folder), "photos") for cell in cells]
        texts = [text.replace("|", "\\|").replace("\n", " ") for text in (name, *texts)]
        n = self.length
        texts = [text if len(text) <= n else text[: n - 3] + "..." for text in texts]
        print(f"| {self.number} | {' | '.join(texts)} |", flush=True)
        if not good:
            self.unexpected.append(name)


def report_bad_inputs(report, folder) -> None:
    cases = bad_inputs(folder)
    cases += [
        BadInput(name, [photo(), content, photo(seed=2)], pattern, row=1)
        for name, (content, pattern) in unread_kinds().items()
    ]
    report.begin(f"{len(cases)} bad inputs", "input", 'on_error="raise"', 'on_error="nan"')
    for case in cases:
        raised, good = outcome(case.X, case.image_shape)
        kept, also_good = outcome(case.X, case.image_shape, "nan", case.row)
        kept = "the same" if kept == raised else kept
        report.add(case.name, raised, kept, good=good and also_good)


def report_images(report, title, cases, *, warned: bool) -> None:
    report.begin(f"{len(cases)} {title}, each passed alone", "image", "centre", "result")
    for case in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = read_image(case.image)
        colour = picture.getpixel((picture.width // 2, picture.height // 2))
        result, _ = outcome([case.image])
        good = np.abs(np.subtract(colour, case.colour)).max() <= 2
        good &= result.startswith("1 x ") and ("transparent everywhere" in result) == warned
        report.add(case.name, colour, result, good=good)


def report_metadata(report) -> None:
    turned = turned_files()
    files = turned | straight_files()
    columns = ("image", "shape", "where warnings are errors")
    report.begin(f"{len(files)} images with faults in their metadata", *columns)
    for name, file in files.items():
        pictures = []
        for action in ("ignore", "error"):
            with warnings.catch_warnings():
                warnings.simplefilter(action)
                try:
                    pictures.append(np.asarray(read_image(file)))
                except Exception as error:
                    pictures.append(np.array(f"{type(error).__name__}: {error}"))
        same = np.array_equal(*pictures)
        words = "the same" if same else str(pictures[1])
        shape = (UPRIGHT if name in turned else PIXELS).shape
        report.add(name, pictures[0].shape, words, good=same and pictures[0].shape == shape)


def report_opened(report, folder) -> None:
    columns = ("format", "the pictures that were opened", "features")
    report.begin("Three opened pictures of one name, whose file was replaced", *columns)
    for name in FORMATS:
        images, pixels = open_one_after_the_other(name, folder / "frame")
        same = all(
            np.array_equal(read_image(image), expected) for image, expected in zip(images, pixels)
        )
        result, _ = outcome(images)
        report.add(name, same, result, good=same and result.startswith("3 x "))


def report_containers(report, folder) -> None:
    paths = [str(folder / f"{number} ü%20#.png") for number in range(4)]
    for number, path in enumerate(paths):
        Path(path).write_bytes(encode(photo(seed=number), "PNG"))
    made = {f"{name} of 4": (make, [paths], 4) for name, make in CONTAINERS.items()}
    made |= {f"{name} of none": (make, [], 0) for name, make in EMPTY.items()}
    report.begin(f"{len(made)} containers", "container", "result")
    for name, (make, arguments, n) in made.items():
        try:
            result, _ = outcome(make(*arguments))
            good = result == f"{n} x 320 features"
        except ImportError as error:
            result, good = f"not tried ({error})", True
        report.add(name, result, good=good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=200, help="letters shown of a message")
    length = parser.parse_args().length
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = Report(length, folder)
        for part in ("bad", "odd", "hidden", "opened", "contained"):
            (folder / part).mkdir()
        report_bad_inputs(report, folder / "bad")
        report_images(report, "unusual images", odd_inputs(folder / "odd"), warned=False)
        hidden = hidden_inputs(folder / "hidden")
        report_images(report, "images that are transparent everywhere", hidden, warned=True)
        report_metadata(report)
        report_opened(report, folder / "opened")
        report_containers(report, folder / "contained")
    report.unexpected += report_extractions(length)
    report.unexpected += report_weights(length)
    print(f"\nUnexpected: {', '.join(report.unexpected) or 'none'}.")
    return bool(report.unexpected)


if __name__ == "__main__":
    sys.exit(main())
