"""Features of many photographs to files: complete, resumable, the same to the byte."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import platform
import random
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.small_disk import in_small_file_system
from PIL import Image
from sklearn.datasets import load_sample_image

from sklearn_decaf import ActivationDropout, DeCAFTransformer, extract
from sklearn_decaf.__main__ import main
from sklearn_decaf._extraction.file_list import FileList, walk_images
from sklearn_decaf._utils.progress import Progress
from sklearn_decaf.exceptions import WeightsError

CHEAP = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling="avg")
COMMAND = ["--layer", "pool1", "--weights", "squeezenet1_1", "--pooling", "avg", "--quiet"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty photographs in two folders, one that is none and one that is hidden."""
    folder = tmp_path_factory.mktemp("photos")
    pair = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    for i in range(30):
        path = folder / ("b" if i % 2 else "a/inner") / f"{i}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pair[i % 2][4 * i : 4 * i + 60, 9 * i : 9 * i + 70]).save(path, "png")
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    (folder / "b" / ".hidden.jpg").write_bytes(b"")
    (folder / "b" / "readme.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return list(walk_images(str(folder)))


@pytest.fixture(scope="module")
def expected(folder, paths):
    """Features by the transformer; NaN for the broken one."""
    good = [str(folder / path) for path in paths if "broken" not in path]
    features = np.full((len(paths), 64), np.nan, np.float32)
    features[["broken" not in path for path in paths]] = CHEAP.transform(good)
    return features


def changed(**parameters):
    return DeCAFTransformer(**{**CHEAP.get_params(), **parameters})


def contents(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(Path(out).rglob("*"))
        if path.is_file()
    }


def read_npy(result):
    return np.concatenate([np.load(path) for path in result.files])


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
    assert header == ["row", "path", "reason"]
    row = paths.index(os.path.join("b", "broken.jpg"))
    assert failure[:2] == [str(row), paths[row]]
    assert failure[2].startswith("a truncated")
    left = {".lock", "_failed.csv", "_manifest.json", ".manifest.json"}
    assert {name for name in contents(out) if not name.startswith("part-")} == left


def test_parquet(folder, paths, expected, tmp_path):
    pytest.importorskip("pyarrow")
    import pandas as pd
    import polars as pl

    out = tmp_path / "features.parquet"
    result = extract(paths, out, root=folder, transformer=CHEAP, block_size=8, verbose=False)
    assert [Path(path).suffix for path in result.files] == [".parquet"] * 4
    for path in (*result.files, out):  # one by one, and the folder as one table
        assert list(pd.read_parquet(path).columns) == ["row", "path", "features", "error"]
    frame = pd.concat([pd.read_parquet(path) for path in result.files], ignore_index=True)
    assert_array_equal(frame["row"], range(31))
    assert list(frame["path"]) == paths
    good = frame["error"].isna()
    assert list(frame["path"][~good]) == [os.path.join("b", "broken.jpg")]
    assert frame["features"][~good].isna().all()
    assert_array_equal(np.stack(frame["features"][good]), expected[good], strict=True)
    frame = pl.read_parquet(out / "*.parquet")
    assert frame["features"].dtype == pl.Array(pl.Float32, 64)
    assert frame["path"].to_list() == paths


def test_parquet_without_pyarrow(paths, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install pyarrow.*format='npy'"):
        extract(paths, tmp_path / "out.parquet", transformer=CHEAP, verbose=False)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_a_second_call_computes_nothing_and_repairs_damage(folder, paths, tmp_path, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    how = {"root": folder, "transformer": CHEAP, "block_size": 8, "format": format}
    how["verbose"] = False
    out = tmp_path / "out"
    extract(paths, out, **how)
    before = contents(out)
    assert extract(paths, out, **how).n_computed == 0
    assert contents(out) == before
    for name in set(before) - {".lock"}:
        for damage in ("flip", "remove"):
            if damage == "remove":
                (out / name).unlink()
            else:
                content = bytearray(before[name])
                content[len(content) // 2] ^= 4
                (out / name).write_bytes(content)
            assert extract(paths, out, **how).n_computed <= 8, name
            assert contents(out) == before, (name, damage)


def test_both_manifests_damaged(folder, paths, tmp_path):
    """Then nobody knows what the files should be, and all is computed again."""
    how = {"root": folder, "transformer": CHEAP, "block_size": 8, "verbose": False}
    out = tmp_path / "out"
    extract(paths, out, **how)
    before = contents(out)
    for name in ("_manifest.json", ".manifest.json"):
        (out / name).write_bytes(before[name].replace(b'"start": 8', b'"start": 9'))
    assert extract(paths, out, **how).n_computed == 31
    assert contents(out) == before


# Interrupted ------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_a_hundred_kills(folder, paths, tmp_path, format):
    """Nothing is lost, nothing is there twice, and the bytes are those of a run without a kill."""
    if format == "parquet":
        pytest.importorskip("pyarrow")
    how = {"transformer": changed(batch_size=1, n_jobs=1), "root": folder, "block_size": 1}
    how |= {"format": format, "verbose": False}
    paths = (paths * 4)[:120]
    extract(paths, tmp_path / "expected", **how)
    expected = contents(tmp_path / "expected")
    out = tmp_path / "out"
    context = multiprocessing.get_context("fork")
    rng = random.Random(0)
    progressed = 0
    for kill in range(100):
        before = len(list(out.glob(".progress/0*.json")))
        process = context.Process(target=extract, args=(paths, out), kwargs=how)
        process.start()
        if kill % 3:  # the others are killed while they look at what is there
            give_up = time.monotonic() + 60
            while process.is_alive() and time.monotonic() < give_up:
                if len(list(out.glob(".progress/0*.json"))) > before:
                    break
                time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.join()
        if (out / "_manifest.json").exists():  # from the start again
            extract(paths, out, **how)
            assert contents(out) == expected
            shutil.rmtree(out)
            continue
        after = len(list(out.glob(".progress/0*.json")))
        assert after >= before
        progressed += after > before
    assert progressed > 20
    extract(paths, out, **how)
    assert contents(out) == expected


@needs_fork
def test_four_processes_on_one_output(folder, paths, expected, tmp_path):
    """One writes; the others are told so."""
    context = multiprocessing.get_context("fork")
    answers, start = context.Queue(), context.Barrier(4)
    how = {"root": folder, "transformer": CHEAP, "block_size": 1, "verbose": False}

    def work():
        start.wait(60)
        try:
            extract(paths, tmp_path / "out", **how)
            answers.put("done")
        except BlockingIOError as error:
            answers.put(str(error))

    processes = [context.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert "done" in found
    assert all(answer == "done" or "another process is writing" in answer for answer in found)
    result = extract(paths, tmp_path / "out", **how)
    assert result.n_computed == 0
    assert_array_equal(read_npy(result), expected)


def test_ctrl_c(folder, expected, tmp_path, monkeypatch, capsys):
    """Finished blocks stay, no thread does, and the next call computes the rest."""
    update, done, interruptions = Progress.update, [], []

    def interrupted(self, n):
        done.append(n)
        if sum(done) >= 20 and not interruptions:
            interruptions.append(True)
            raise KeyboardInterrupt
        update(self, n)

    command = ["extract", str(folder), "--out", str(tmp_path / "out"), "--block-size", "8"]
    command += [*COMMAND, "--batch-size", "2", "--n-jobs", "2"]
    monkeypatch.setattr(Progress, "update", interrupted)
    threads = threading.active_count()
    assert main(command) == 130
    assert threading.active_count() == threads
    assert "finished blocks are kept" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.npy"))) == 2
    done.clear()
    assert main(command) == 0
    assert sum(done) == 15
    parts = sorted((tmp_path / "out").glob("*.npy"))
    assert_array_equal(np.concatenate([np.load(path) for path in parts]), expected)


NO_ROOM = """
    import subprocess, sys, numpy as np
    from pathlib import Path
    from PIL import Image
    from sklearn_decaf import DeCAFTransformer, extract
    folder = Path(sys.argv[1])
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    transformer = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling=None)
    how = dict(transformer=transformer, block_size=1, verbose=False)
    paths = [folder / "a.png"] * 8  # 800 kB of features each
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(4_000_000))
    try:
        extract(paths, folder / "out", **how)
        raise SystemExit("no error")
    except OSError as error:
        assert error.errno == 28, error
        assert "No space left" in str(error), error
        assert "blocks are finished and kept" in str(error), error
        n_finished = int(str(error).split("; ")[1].split()[0])
    assert 1 <= n_finished <= 6, n_finished
    ballast.unlink()
    result = extract(paths, folder / "out", **how)
    assert result.n_computed == 8 - n_finished, (result, n_finished)
    features = np.concatenate([np.load(path) for path in result.files])
    assert np.array_equal(features, how["transformer"].transform(paths))
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for out in ("out", "other"):
        try:
            extract(paths, folder / out, **how)
            raise SystemExit("no error")
        except OSError as error:
            assert error.errno == 30, error
    print("ok")
"""


def test_full_and_read_only_disks(tmp_path):
    assert in_small_file_system(NO_ROOM, tmp_path, size="8m") == "ok\n"


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
    with pytest.raises(ValueError, match="paths_sha256"):
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
        ({"paths": "photos"}, ValueError, "is one path"),
        ({"paths": []}, ValueError, "no photographs"),
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
    found = FileList(walk_images(str(photos)), str(photos))
    for format in ("npy", "parquet"):
        if format == "parquet":
            pytest.importorskip("pyarrow")
        out = tmp_path / f"out.{format}"
        for n_computed in (4, 0):
            result = extract(found, out, transformer=CHEAP, format=format, verbose=False)
            assert (result.n_computed, result.n_failed) == (n_computed, 1)
    [listed] = (tmp_path / "out.npy").glob("*.paths.json")
    assert json.loads(listed.read_text()) == [found.name(i) for i in range(4)]
    listed = (tmp_path / "out.npy" / "_failed.csv").read_bytes()
    assert b"bad\xff.png" in listed


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
    """Features of 300 images take 240 MB, those of a block 6 MB."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    images = [str(folder / path) for path in paths if "broken" not in path]
    peaks = []
    for n in ("32", "300"):
        command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / n), n, *images]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
        shutil.rmtree(tmp_path / n)
    assert peaks[1] < peaks[0] + 60


def test_very_many_names_take_little_memory():
    files = FileList(f"folder/{i:08}.jpg" for i in range(10_000))
    assert len(files) == 10_000
    assert files[9_999] == files.name(9_999) == "folder/00009999.jpg"
    assert len(files._characters) + 8 * len(files._ends) < 30 * 10_000
    assert FileList(["ab", "c"]).sha256() != FileList(["a", "bc"]).sha256()
    with pytest.raises(IndexError):
        files.name(10_000)


# The command line -------------------------------------------------------------------------------


def test_command_line(folder, expected, tmp_path, capsys):
    command = ["extract", str(folder), "--out", str(tmp_path / "out"), *COMMAND]
    assert main(command) == 0
    output = capsys.readouterr()
    assert "31 images, 64 features each" in output.out
    assert "1 images could not be read, listed in" in output.out
    assert output.err == ""
    assert_array_equal(np.load(tmp_path / "out" / "part-000000.npy"), expected)
    assert main([*command, "--exact"]) == 1
    assert "(exact: False there, True now)" in capsys.readouterr().err
    for option in (["--resize", "crop"], ["--draft"]):
        assert main([*command, *option]) == 1
        assert "other settings" in capsys.readouterr().err


def test_command_line_with_a_list(folder, paths, expected, tmp_path):
    (tmp_path / "list").write_text("\n".join(paths[:3]) + "\n")
    listed = ["--files-from", str(tmp_path / "list")]
    assert main(["extract", str(folder), "--out", str(tmp_path / "out"), *COMMAND, *listed]) == 0
    assert_array_equal(np.load(tmp_path / "out" / "part-000000.npy"), expected[:3])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["extract", "missing", "--out", "x"], 1, "missing"),
        (["extract", ".", "--out", "x", "--files-from", os.devnull], 1, "no images"),
        (["extract"], 2, "required"),
        ([], 2, "required"),
    ],
)
def test_wrong_command_lines(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        found = main(arguments)
    except SystemExit as error:
        found = error.code
    assert found == status
    assert message in capsys.readouterr().err


def test_help_names_every_option(capsys):
    for arguments in (["--help"], ["extract", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--out", "--layer", "--n-jobs", "--cache", "--files-from"):
        assert option in text


def test_progress(folder, paths, tmp_path, capsys):
    out = tmp_path / "out"
    extract(paths, out, root=folder, transformer=CHEAP, block_size=8)
    assert "31/31 images" in capsys.readouterr().err
    (out / "part-000001.npy").unlink()
    extract(paths, out, root=folder, transformer=CHEAP, block_size=8)
    error = capsys.readouterr().err
    assert "23 of 31 images were finished before" in error
    assert "8/8 images" in error
