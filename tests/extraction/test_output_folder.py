"""Outputs that are killed, shared, damaged or full: nothing is lost, and nothing wrong is kept."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import CHEAP, COMMAND, changed, contents, read_npy
from oracles.small_disk import in_small_file_system

from sklearn_decaf import extract
from sklearn_decaf.__main__ import main
from sklearn_decaf._utils.progress import Progress

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


# Damaged ----------------------------------------------------------------------------------------


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
def test_forty_kills(folder, paths, tmp_path, format):
    """Nothing is lost, nothing is there twice, and the bytes are those of a run without a kill."""
    if format == "parquet":
        pytest.importorskip("pyarrow")
    how = {"transformer": changed(batch_size=1, n_jobs=1), "root": folder, "block_size": 1}
    how |= {"format": format, "verbose": False}
    paths = (paths * 2)[:50]
    extract(paths, tmp_path / "expected", **how)
    expected = contents(tmp_path / "expected")
    out = tmp_path / "out"
    context = multiprocessing.get_context("fork")
    rng = random.Random(0)
    progressed = 0
    for kill in range(40):
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
    assert progressed > 8
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
    assert main(command) == 3  # one is no photograph
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


@pytest.mark.slow
def test_full_and_read_only_disks(tmp_path):
    assert in_small_file_system(NO_ROOM, tmp_path, size="8m") == "ok\n"
