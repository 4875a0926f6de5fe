"""The threads of `runner.cpp` under ThreadSanitizer, which knows the memory model of C++.

x86-64 orders memory more strictly than the language asks for, and so does an emulator that runs
there: a barrier that aarch64 needs may be missing and every result be right. ThreadSanitizer
reports it on any machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
from oracles.processes import TESTS

SOURCES = TESTS.parent / "sklearn_decaf" / "_kernels"
COMPILER = shutil.which("g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ThreadSanitizer is used on Linux only"),
    pytest.mark.skipif(COMPILER is None, reason="needs g++"),
    pytest.mark.skipif(
        not (SOURCES / "runner.cpp").exists(), reason="needs the repository: sources of the kernels"
    ),
]

# Each task of a phase reads what all tasks of the phase before wrote: their average, plus 1.
RUN = """
import sys
from array import array

sys.path[:0] = sys.argv[1:]
import averages
import runner

N = 1000


def call_list(widths):
    x = before = array("d", [0.0])
    phases = []
    for width in (*widths, 1):
        after = array("d", [0.0] * width)
        phases.append([[averages.average(before, after, i)] for i in range(width)])
        before = after
    return runner.call_list(phases, [x], [before])


items, results = array("d", range(N)), array("d", [0.0] * N)
for widths in ((4, 3, 4), (1, 5, 2), (8, 8, 8, 8), (2,)):
    expected = [item + len(widths) + 1 for item in items]
    lists = [call_list(widths) for _ in range(4)]
    seconds = array("d", [0.0] * (len(widths) + 1))
    for given, times in ((lists[:1], None), (lists[:1], seconds), (lists, None)):
        for _ in range(3):
            runner.run(given, 4, N, [items], [results], times)
            assert list(results) == expected
"""


def compile_module(source, folder):
    """Compile a source to an extension module that reports its races, in a folder."""
    target = folder / f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
    options = ["-fsanitize=thread", "-std=c++17", "-O1", "-g", "-fPIC", "-shared", "-pthread"]
    includes = [f"-I{SOURCES}", f"-I{sysconfig.get_path('include')}"]
    done = subprocess.run(
        [COMPILER, *options, *includes, str(source), "-o", str(target)],
        capture_output=True,
        text=True,
    )
    for missing in ("Python.h", "libtsan", "-ltsan"):
        if done.returncode != 0 and missing in done.stderr:
            pytest.skip(f"{missing} is not installed, or not for this compiler")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def averages(tmp_path_factory):
    """The folder of a module of bound calls."""
    folder = tmp_path_factory.mktemp("averages")
    compile_module(TESTS / "oracles" / "averages.cpp", folder)
    return folder


def races(*folders):
    """The races that ThreadSanitizer sees in one run of the modules in these folders."""
    library = subprocess.run(
        [COMPILER, "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    # its memory map does not go with every randomisation of addresses
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []
    done = subprocess.run(
        [*fixed, sys.executable, "-c", RUN, *map(str, folders)],
        env={"LD_PRELOAD": library, "TSAN_OPTIONS": "exitcode=66"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip(f"ThreadSanitizer does not run here: {done.stderr.strip()[:200]}")
    found = re.findall(r"WARNING: ThreadSanitizer: (.+?) \(", done.stderr)
    assert done.returncode == (66 if found else 0), done.stderr
    return found


def test_threads_do_not_race(averages, tmp_path):
    compile_module(SOURCES / "runner.cpp", tmp_path)
    assert races(averages, tmp_path) == []


@pytest.mark.parametrize(
    ("file", "order"),
    [
        ("runner.cpp", r"(complete_\.store\(.*, )std::memory_order_release"),
        ("runner.cpp", r"(complete_\.load\()std::memory_order_acquire(?=\)\) >=)"),
        ("runner.cpp", r"(done_\.fetch_add\(1, )std::memory_order_acq_rel"),
        ("helpers.hpp", r"(done_\.store\(true, )std::memory_order_release"),
        ("helpers.hpp", r"(done_\.load\()std::memory_order_acquire"),
    ],
    ids=["store of complete", "load of complete", "addition to done", "job done", "job awaited"],
)
def test_an_order_that_is_missing_is_seen(file, order, averages, tmp_path):
    """Each of those that threads rely on, taken out of the source.

    It takes a certain sequence of threads to be seen, which most runs have.
    """
    for name in ("runner.cpp", "helpers.hpp"):
        (tmp_path / name).write_text((SOURCES / name).read_text())
    text, n = re.subn(order, r"\1std::memory_order_relaxed", (SOURCES / file).read_text())
    assert n == 1
    (tmp_path / file).write_text(text)
    compile_module(tmp_path / "runner.cpp", tmp_path)
    assert any("data race" in races(averages, tmp_path) for _ in range(20))
