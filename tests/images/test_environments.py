"""What an extraction writes does not depend on what surrounds it.

Warning filters, locale, current directory, umask, time zone: each is changed for a small
extraction, whose files are compared byte for byte.
"""

from __future__ import annotations

import contextlib
import locale
import os
import time
import warnings

import numpy as np
import pytest
from oracles.bad_images import encode, photo
from oracles.faulty_metadata import straight_files, turned_files
from oracles.hidden_images import bmp_v4
from oracles.processes import run_with_pickle

from sklearn_decaf import DeCAFTransformer, extract


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    files = {**turned_files(), **straight_files()}
    files["a turned İ photograph"] = encode(photo(), "JPEG")
    files["cut"] = encode(photo(), "JPEG")[:500]
    files["hidden"] = bmp_v4(np.dstack([photo(), np.zeros((96, 128, 1), np.uint8)]))
    for number, content in enumerate(files.values()):
        (folder / f"{number}.img").write_bytes(content)
    return sorted(folder.iterdir())


def written(paths, out) -> dict[str, bytes]:
    """All files of a small extraction, by name."""
    with warnings.catch_warnings():
        # the one that speaks of images, and would be raised where warnings are errors
        warnings.filterwarnings("ignore", ".*transparent everywhere")
        extract(
            paths, out, transformer=DeCAFTransformer("stem"), format="npy", block_size=16, verbose=0
        )
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def expected(photographs, tmp_path_factory):
    return written(photographs, tmp_path_factory.mktemp("out") / "x")


@contextlib.contextmanager
def filters(action):
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        yield


@contextlib.contextmanager
def one_locale(name):
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        pytest.skip(f"this system has no locale {name!r}")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@contextlib.contextmanager
def mask(bits):
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def time_zone(name):
    if not hasattr(time, "tzset"):
        pytest.skip("this system sets no time zone for a process")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


@contextlib.contextmanager
def directory(path):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


SURROUNDINGS = {
    **{f"filter {action}": lambda action=action: filters(action) for action in ("error", "always")},
    "errors of NumPy": lambda: np.errstate(all="raise"),
    **{
        f"locale {name}": lambda name=name: one_locale(name)
        for name in ("C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8")
    },
    "directory": lambda: directory(os.sep),
    **{f"umask {bits:o}": lambda bits=bits: mask(bits) for bits in (0, 0o027, 0o077)},
    **{f"time zone {name}": lambda name=name: time_zone(name) for name in ("UTC", "Asia/Kolkata")},
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_an_extraction_is_the_same_to_the_byte(name, photographs, expected, tmp_path):
    with SURROUNDINGS[name]():
        found = written(photographs, tmp_path / "out")
    assert found == expected
    assert len(expected) > 4


PROGRAM = """
import pickle, sys
from sklearn_decaf import DeCAFTransformer
paths = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(DeCAFTransformer("stem").transform(paths).tobytes())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {
            "PYTHONWARNINGS": "error",
            "PYTHONHASHSEED": "1",
            "TZ": "Pacific/Apia",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
        {"PYTHONOPTIMIZE": "2"},
    ],
)
def test_a_process_of_its_own(environment, photographs, tmp_path):
    paths = photographs[:6]
    names = [os.path.relpath(path, tmp_path) for path in paths]
    found = run_with_pickle(PROGRAM, names, tmp_path, **environment)
    assert found == DeCAFTransformer("stem").transform(paths).tobytes()
