"""`extract`: complete outputs, the same to the byte, and nothing that was passed is lost."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import CHEAP, changed, contents, read_npy

from sklearn_decaf import ActivationDropout, DeCAFTransformer, extract
from sklearn_decaf._extraction.file_list import FileList
from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.images._folders import find_images


def test_file_names(paths):
    assert len(paths) == 31
    assert paths == sorted(paths, key=lambda path: path.split(os.sep))
    assert paths[0] == os.path.join("a", "inner", "0.PNG")


def test_arrays(folder, paths, expected, tmp_path):
    out = tmp_path / "features"
    result = extract(paths, out, root=folder, transformer=CHEAP, block_size=8, verbose=False)
    assert_array_equal(read_npy(result), expected)
    assert (result.n_images, result.n_computed, result.n_failed) == (31, 31, 1)
    assert (result.n_features, len(result.files)) == (64, 4)
    manifest = json.loads((out / "_manifest.json").read_text())
    assert manifest["settings"]["layer"] == ["pool1"]
    assert len(manifest["settings"]["weights_sha256"]) == 64
    assert [part["start"] for part in manifest["parts"]] == [0, 8, 16, 24]
    assert sum(part["rows"] for part in manifest["parts"]) == 31
    names = []
    for part in manifest["parts"]:
        for name, known in part["files"].items():
            content = (out / name).read_bytes()
            assert len(content) == known["size"]
            assert hashlib.sha256(content).hexdigest() == known["sha256"]
            if name.endswith(".json"):
                names += json.loads(content)
    assert names == paths
    with open(out / "_failed.csv", newline="") as stream:
        header, failure = csv.reader(stream)
    assert header == ["row", "path", "reason", "kind"]
    row = paths.index(os.path.join("b", "broken.jpg"))
    assert failure[:2] == [str(row), paths[row]]
    assert failure[2].startswith("a truncated")
    assert failure[3] == "cannot be decoded"
    assert result.n_not_opened == 0
    left = {".lock", "_failed.csv", "_manifest.json", ".manifest.json"}
    assert {name for name in contents(out) if not name.startswith("part-")} == left


def test_parquet_without_pyarrow(paths, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install pyarrow.*format='npy'"):
        extract(paths, tmp_path / "out.parquet", transformer=CHEAP, verbose=False)
    assert not (tmp_path / "out.parquet").exists()


# Refused ----------------------------------------------------------------------------------------


def test_other_settings(folder, paths, tmp_path, monkeypatch):
    how = {"root": folder, "transformer": CHEAP, "block_size": 8, "verbose": False}
    out = tmp_path / "out"
    extract(paths, out, **how)
    before = contents(out)
    changes = [
        ({"transformer": changed(resize="crop")}, r"settings \(resize: 'warp' there, 'crop' now\)"),
        ({"block_size": 9}, "block_size: 8 there, 9 now"),
    ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            extract(paths, out, **{**how, **change})
    with pytest.raises(ValueError, match="the same 31, in another order"):
        extract(paths[::-1], out, **how)
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(ValueError, match=r"machine: '\w+' there, 'pdp11' now"):
        extract(paths, out, **how)
    assert contents(out) == before


def test_what_changes_no_feature_may_change(folder, paths, expected, tmp_path):
    how = {"root": folder, "block_size": 8, "verbose": False}
    extract(paths, tmp_path / "out", transformer=CHEAP, **how)
    other = changed(batch_size=3, n_jobs=1, cache=tmp_path / "cache", on_error="nan")
    assert extract(paths, tmp_path / "out", transformer=other, **how).n_computed == 0
    result = extract(paths, tmp_path / "cached", transformer=other, **how)
    assert_array_equal(read_npy(result), expected)
    assert contents(tmp_path / "cached") == contents(tmp_path / "out")


def test_foreign_places(paths, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("")
    for name, message in (("file", "is a file"), ("folder", r"other things in it \(thesis.tex")):
        with pytest.raises(FileExistsError, match=message):
            extract(paths, tmp_path / name, transformer=CHEAP, verbose=False)
    (tmp_path / "empty").mkdir()
    extract(paths[:1], tmp_path / "empty", transformer=CHEAP, verbose=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"paths": "photos"}, ValueError, "it must be a list of paths"),
        ({"paths": []}, ValueError, "paths is empty"),
        ({"paths": [np.zeros((8, 8, 3))]}, TypeError, "row 0 is a ndarray"),
        ({"format": "csv"}, ValueError, "format='csv'"),
        ({"block_size": 0}, ValueError, "block_size=0"),
        ({"transformer": ActivationDropout()}, TypeError, "must be a DeCAFTransformer"),
        ({"transformer": DeCAFTransformer(dropout=True)}, ValueError, "dropout=True"),
        ({"transformer": DeCAFTransformer(image_shape=(8, 8))}, ValueError, "image_shape"),
        ({"transformer": DeCAFTransformer(weights="missing.npz")}, WeightsError, "missing.npz"),
        ({"transformer": DeCAFTransformer(layer=9)}, ValueError, "layer=9"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, error, message):
    arguments = {"paths": ["a.jpg"], "out": tmp_path / "out", "verbose": False, **arguments}
    with pytest.raises(error, match=message):
        extract(**arguments)
    assert not (tmp_path / "out").exists()


# Many -------------------------------------------------------------------------------------------


def test_names_of_any_bytes(folder, tmp_path):
    """File names that are no UTF-8, and lines within names."""
    source = next(folder.rglob("*.PNG"))
    photos = tmp_path / "photos"
    photos.mkdir()
    try:
        for name in (os.fsdecode(b"\xff\xfe.png"), "two\nlines.png", "ü.png"):
            shutil.copy(source, photos / name)
        (photos / os.fsdecode(b"bad\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names")
    found = FileList(find_images(str(photos)), str(photos))
    for format in ("npy", "parquet"):
        if format == "parquet":
            pytest.importorskip("pyarrow")
        out = tmp_path / f"out.{format}"
        for n_computed in (4, 0):
            result = extract(found, out, transformer=CHEAP, format=format, verbose=False)
            assert (result.n_computed, result.n_failed) == (n_computed, 1)
    [listed] = (tmp_path / "out.npy").glob("*.paths.json")
    assert json.loads(listed.read_text()) == [found.name(i) for i in range(4)]
    for format in ("npy", "parquet"):
        listed = (tmp_path / f"out.{format}" / "_failed.csv").read_text("utf-8")
        assert "bad\\xff.png" in listed


MEMORY = """
    import resource, sys
    from sklearn_decaf import DeCAFTransformer, extract
    out, n, *paths = sys.argv[1:]
    how = dict(weights="squeezenet1_1", pooling=None, batch_size=4, n_jobs=1)
    paths = (paths * int(n))[:int(n)]
    extract(paths, out, transformer=DeCAFTransformer("pool1", **how), block_size=8, verbose=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(folder, paths, tmp_path):
    """Features of 180 images take 144 MB, those of a block 6 MB."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    images = [str(folder / path) for path in paths if "broken" not in path]
    peaks = []
    for n in ("32", "180"):
        command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / n), n, *images]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
        shutil.rmtree(tmp_path / n)
    assert peaks[1] < peaks[0] + 60


def test_progress(folder, paths, tmp_path, capsys):
    out = tmp_path / "out"
    extract(paths, out, root=folder, transformer=CHEAP, block_size=8)
    assert "31/31 images" in capsys.readouterr().err
    (out / "part-000001.npy").unlink()
    extract(paths, out, root=folder, transformer=CHEAP, block_size=8)
    error = capsys.readouterr().err
    assert "23 of 31 images were finished before" in error
    assert "8/8 images" in error
