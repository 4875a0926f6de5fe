"""What DeCAFTransformer says to inputs that are no images, and what it makes of unusual ones.

Usage::

    python benchmarks/bad_inputs.py [--length 200]

Makes cut and hostile files, wrong arrays and wrong containers in a temporary folder, and passes
each to ``DeCAFTransformer(on_error="raise")`` and ``DeCAFTransformer(on_error="nan")``. Where one
row of several is at fault, it stands in row 1 between good images. The exit status is 1 if
anything but a ValueError or TypeError comes out, if a bad input is accepted, or if an unusual image
is not. Last come folders and lists for the command line, with what it says and exits with. The
tests use the same inputs, ``tests/oracles``.
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
from oracles.bad_images import bad_inputs, odd_inputs


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
        return f"{features.shape[0]} x {features.shape[1]} features", False
    words = f"row {', '.join(map(str, failed))} of {len(features)} is NaN"
    well_said = len(said) == 1 and all(f"row {number}" in said[0] for number in failed)
    return words, row in failed and well_said and bool(np.isnan(features[failed]).all())


def line(*cells, length) -> str:
    texts = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells]
    shortened = [text if len(text) <= length else text[: length - 3] + "..." for text in texts]
    return f"| {' | '.join(shortened)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=200, help="letters shown of a message")
    length = parser.parse_args().length
    unexpected = []
    with tempfile.TemporaryDirectory() as folder:
        bad, odd = Path(folder) / "bad", Path(folder) / "odd"
        bad.mkdir()
        odd.mkdir()
        cases = bad_inputs(bad)
        print(f"{len(cases)} bad inputs:\n")
        print('| # | input | on_error="raise" | on_error="nan" |\n|---|---|---|---|')
        for number, case in enumerate(cases, start=1):
            raised, good = outcome(case.X, case.image_shape)
            kept, also_good = outcome(case.X, case.image_shape, "nan", case.row)
            kept = "the same" if kept == raised else kept
            cells = [text.replace(str(bad), "photos") for text in (raised, kept)]
            print(line(number, case.name, *cells, length=length), flush=True)
            if not (good and also_good):
                unexpected.append(case.name)

        images = odd_inputs(odd)
        print(f"\n{len(images)} unusual images, each passed alone:\n")
        print("| # | image | colour of its centre | result |\n|---|---|---|---|")
        for number, case in enumerate(images, start=1):
            result, _ = outcome([case.image])
            picture = read_image(case.image)
            colour = picture.getpixel((picture.width // 2, picture.height // 2))
            result = result.replace(str(odd), "photos")
            print(line(number, case.name, colour, result, length=length), flush=True)
            if not result.startswith("1 x "):
                unexpected.append(case.name)
        del cases, images
    unexpected += report_extractions(length)
    print(f"\nUnexpected: {', '.join(unexpected) or 'none'}.")
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main())
