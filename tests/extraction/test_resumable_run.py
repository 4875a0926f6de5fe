"""Outages are not final: what could not be opened is tried again, and nothing else is."""

from __future__ import annotations

import builtins
import csv
import errno
import hashlib
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import CHEAP, N_FEATURES, changed, contents, read_npy, write_photographs

from sklearn_decaf import extract
from sklearn_decaf._extraction import output_folder
from sklearn_decaf._extraction.formats import has_fixed_lists, read_features
from sklearn_decaf.exceptions import ImageAccessError, ImageError

FORMATS = ["npy", "parquet"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photos"), 14)


@pytest.fixture(scope="module")
def expected(photographs):
    return CHEAP.transform(photographs)


@pytest.fixture(params=FORMATS)
def how(request):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return {"transformer": CHEAP, "block_size": 5, "format": request.param, "verbose": False}


@pytest.fixture
def away(monkeypatch):
    """A set of names of files, or functions of them, that cannot be opened or read."""
    troubles: dict[str, int] = {}
    real_open, real_stat = builtins.open, os.stat

    class Failing(io.FileIO):
        def readinto(self, buffer):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        readall = readinto

    def trouble(path) -> int | None:
        return troubles.get(os.fspath(path)) if isinstance(path, str | os.PathLike) else None

    def stat(path, **options):
        number = trouble(path)
        if number in (errno.ENOENT, errno.ESTALE, errno.ENOTCONN):
            raise OSError(number, os.strerror(number), path)
        return real_stat(path, **options)

    def open(path, *arguments, **options):
        number = trouble(path)
        if number == errno.EIO:
            return io.BufferedReader(Failing(path))
        if number is not None:
            raise OSError(number, os.strerror(number), path)
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(builtins, "open", open)
    return troubles


def features_of(result, how) -> np.ndarray:
    return np.concatenate([read_features(Path(path), N_FEATURES) for path in result.files])


def failed_rows(out) -> dict[int, tuple[str, str]]:
    with open(out / "_failed.csv", newline="", encoding="utf-8") as stream:
        return {int(line["row"]): (line["kind"], line["reason"]) for line in csv.DictReader(stream)}


# Outages ----------------------------------------------------------------------------------------

NUMBERS = [
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
    *(errno.ENOTCONN, errno.EMFILE, errno.EHOSTDOWN),
]


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
def test_the_same_call_tries_again_what_could_not_be_opened(
    photographs, expected, how, away, number, tmp_path
):
    """And comes to the bytes of a run without an outage."""
    out = tmp_path / "out"
    rows = [1, 3, 4, 13]
    away.update({photographs[row]: number for row in rows})
    for n_computed in (14, 0, 0):  # as long as it lasts nothing changes
        result = extract(photographs, out, **how)
        assert (result.n_computed, result.n_failed, result.n_not_opened) == (n_computed, 4, 4)
        failed = failed_rows(out)
        assert list(failed) == rows
        assert {kind for kind, _ in failed.values()} == {"cannot be opened"}
        assert all("damaged" not in reason for _, reason in failed.values())
        features = features_of(result, how)
        assert np.isnan(features[rows]).all()
        assert_array_equal(np.delete(features, rows, 0), np.delete(expected, rows, 0))
    del away[photographs[3]]
    assert extract(photographs, out, **how).n_computed == 1
    assert list(failed_rows(out)) == [1, 4, 13]
    away.clear()
    result = extract(photographs, out, **how)
    assert (result.n_computed, result.n_failed) == (3, 0)
    assert_array_equal(features_of(result, how), expected)
    extract(photographs, tmp_path / "other", **how)
    assert contents(out) == contents(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
def test_a_block_in_which_nothing_can_be_opened_ends_the_call(
    photographs, expected, how, away, number, tmp_path
):
    """Nothing of it is kept, and the same call goes on with it."""
    out = tmp_path / "out"
    away.update(dict.fromkeys(photographs[5:10], number))
    away[photographs[4]] = number  # the outage began a little earlier
    message = (
        r"not one of the 5 files of rows 5 to 9 can be opened \('.*05.png': .*\): is their disk "
        r"there.* 1 of 3 blocks are finished and kept.*do the same again.*allow_missing"
    )
    for _ in range(2):
        with pytest.raises(ImageAccessError, match=message) as raised:
            extract(photographs, out, **how)
        assert isinstance(raised.value, ImageError | OSError)
        assert sorted(path.name for path in out.glob("part-*0?.*") if path.suffix != ".json") == [
            f"part-000000.{how['format']}"
        ]
    away.clear()
    result = extract(photographs, out, **how)
    assert (result.n_computed, result.n_failed) == (10, 0)
    assert_array_equal(features_of(result, how), expected)
    extract(photographs, tmp_path / "other", **how)
    assert contents(out) == contents(tmp_path / "other")


def test_files_that_are_gone_for_good(photographs, expected, how, tmp_path):
    paths = [*photographs[:5], *(f"gone/{i}.png" for i in range(5)), *photographs[5:]]
    out = tmp_path / "out"
    with pytest.raises(ImageAccessError, match="1 of 4 blocks"):
        extract(paths, out, **how)
    result = extract(paths, out, allow_missing=True, **how)
    assert (result.n_computed, result.n_failed, result.n_not_opened) == (14, 5, 5)
    assert_array_equal(np.delete(features_of(result, how), range(5, 10), 0), expected)
    assert extract(paths, out, **how).n_computed == 0


def test_folders_in_place_of_files_and_pipes(photographs, how, tmp_path):
    """What is no file may be one some day; a pipe that nobody writes to does not hold up a run."""
    (tmp_path / "folder.png").mkdir()
    paths = [*photographs[:2], str(tmp_path / "folder.png"), str(tmp_path / "pipe.png")]
    if hasattr(os, "mkfifo"):
        os.mkfifo(paths[3])
    result = extract(paths, tmp_path / "out", **how)
    assert (result.n_failed, result.n_not_opened) == (2, 2)
    for path in map(Path, paths[2:]):
        path.rmdir() if path.is_dir() else path.unlink()
        shutil.copy(photographs[0], path)
    result = extract(paths, tmp_path / "out", **how)
    assert (result.n_computed, result.n_failed) == (2, 0)


def test_one_missing_file_is_no_outage(photographs, how, tmp_path):
    """Even where it is alone in its block."""
    paths = [*photographs[:5], "gone.png"]
    result = extract(paths, tmp_path / "out", **how)
    assert (result.n_failed, result.n_not_opened) == (1, 1)


def test_a_block_of_damaged_files_is_no_outage(photographs, how, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n")
    result = extract([*photographs[:5], *[damaged] * 5], tmp_path / "out", **how)
    assert (result.n_failed, result.n_not_opened) == (5, 0)


def test_what_the_list_is_instead_is_said(photographs, how, tmp_path):
    """Where a label stands behind each name, no disk is away."""
    paths = [f"{path} 0" for path in photographs]
    with pytest.raises(ImageAccessError, match=r"a path and a label: keep the paths only"):
        extract(paths, tmp_path / "out", **how)


def test_with_a_cache(photographs, expected, how, away, tmp_path):
    how["transformer"] = changed(cache=tmp_path / "cache")
    away.update({photographs[1]: errno.EIO, photographs[2]: errno.ENOENT})
    assert extract(photographs, tmp_path / "out", **how).n_not_opened == 2
    away.clear()
    result = extract(photographs, tmp_path / "out", **how)
    assert (result.n_computed, result.n_failed) == (2, 0)
    assert_array_equal(features_of(result, how), expected)


# Damaged photographs ----------------------------------------------------------------------------


def test_damaged_photographs_are_tried_again_on_request(photographs, expected, how, tmp_path):
    paths = list(photographs)
    for row in (0, 6):
        paths[row] = str(tmp_path / f"{row}.png")
        Path(paths[row]).write_bytes(Path(photographs[row]).read_bytes()[:100])
    paths[9] = str(tmp_path / "missing.png")
    out = tmp_path / "out"
    extract(paths, out, **how)
    kinds = {row: kind for row, (kind, _) in failed_rows(out).items()}
    assert kinds == {0: "cannot be decoded", 6: "cannot be decoded", 9: "cannot be opened"}
    before = contents(out)
    assert extract(paths, out, retry_failed=True, **how).n_computed == 0
    assert contents(out) == before

    shutil.copy(photographs[0], paths[0])
    Path(paths[6]).write_text("something else")
    assert extract(paths, out, **how).n_computed == 0
    assert contents(out) == before
    result = extract(paths, out, retry_failed=True, **how)
    assert (result.n_computed, result.n_failed, result.n_not_opened) == (2, 2, 1)
    assert "no image" not in failed_rows(out)[6][1]
    assert "not an image but text" in failed_rows(out)[6][1]

    Path(paths[6]).unlink()  # that it cannot even be opened now is no news of it
    assert extract(paths, out, retry_failed=True, **how).n_computed == 0
    assert failed_rows(out)[6][0] == "cannot be decoded"
    for row in (6, 9):
        shutil.copy(photographs[row], paths[row])
    result = extract(paths, out, retry_failed=True, **how)
    assert (result.n_computed, result.n_failed) == (2, 0)
    assert_array_equal(features_of(result, how), expected)


def test_it_is_said_what_is_tried_again(photographs, how, away, tmp_path, capsys):
    away.update({photographs[1]: errno.EIO, photographs[2]: errno.EIO})
    how["verbose"] = True
    extract(photographs, tmp_path / "out", **how)
    assert "tried again" not in capsys.readouterr().err
    del away[photographs[1]]
    extract(photographs, tmp_path / "out", **how)
    said = capsys.readouterr().err
    assert "2 images that failed are tried again" in said
    assert "1 of them have another result now" in said


def test_killed_while_rows_are_tried_again(photographs, expected, how, away, tmp_path, monkeypatch):
    """A part that was replaced counts though the manifest knows the old one."""
    out = tmp_path / "out"
    away.update({photographs[1]: errno.EIO, photographs[6]: errno.EIO})
    extract(photographs, out, **how)
    away.clear()

    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(output_folder.OutputFolder, "complete", kill)
        extract(photographs, out, **how)
    result = extract(photographs, out, **how)
    assert (result.n_computed, result.n_failed) == (0, 0)
    assert_array_equal(features_of(result, how), expected)


# Outputs of before ------------------------------------------------------------------------------


def as_version_1(out, *, complete):
    """Rewrite an output as it was written before failures had kinds, and lists could be null."""

    def dumps(value):
        text = json.dumps(value, sort_keys=True).encode("ascii")
        value = {**value, "sha256": hashlib.sha256(text).hexdigest()}
        return json.dumps(value, indent=1) + "\n"

    manifest = json.loads((out / "_manifest.json").read_text())
    manifest.pop("sha256")
    del manifest["settings"]["machine"]
    for part in manifest["parts"]:
        for name, known in part["files"].items():
            if name.endswith(".parquet"):
                with_fixed_lists(out / name, N_FEATURES)
                content = (out / name).read_bytes()
                known.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    failed = [[row, name, reason] for row, name, reason in read_csv(out / "_failed.csv")]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["row", "path", "reason"], *failed])
    content = text.getvalue().encode()
    if complete:
        (out / "_failed.csv").write_bytes(content)
        manifest["version"] = 1
        manifest["failed"]["sha256"] = hashlib.sha256(content).hexdigest()
        for name in ("_manifest.json", ".manifest.json"):
            (out / name).write_text(dumps(manifest))
        return
    for name in ("_failed.csv", "_manifest.json", ".manifest.json"):
        (out / name).unlink()
    (out / ".progress").mkdir()
    settings = {"kind": manifest["kind"], "version": 1, "settings": manifest["settings"]}
    (out / ".progress" / "settings.json").write_text(dumps(settings))
    for number, part in enumerate(manifest["parts"][:-1]):
        rows = range(part["start"], part["start"] + part["rows"])
        record = {**part, "failed": [entry for entry in failed if entry[0] in rows]}
        (out / ".progress" / f"{number:06}.json").write_text(dumps(record))


def read_csv(path):
    with open(path, newline="") as stream:
        return [(int(row), name, reason) for row, name, reason, _ in list(csv.reader(stream))[1:]]


def with_fixed_lists(path, width):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    values = np.nan_to_num(read_features(path, width)).reshape(-1)
    mask = table["error"].combine_chunks().is_valid()
    if not any(mask.to_pylist()):
        mask = None
    elif tuple(map(int, pa.__version__.split(".")[:1])) < (26,):
        pytest.skip("PyArrow before 26 did not write null among lists of fixed size")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values), width, mask=mask)
    pq.write_table(table.set_column(2, "features", lists), path)
    assert has_fixed_lists(path)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("n_failed", [0, 3])
def test_outputs_of_version_1_are_taken_up_again(
    photographs, expected, how, n_failed, complete, tmp_path
):
    paths = list(photographs)
    if n_failed:
        paths[1] = str(tmp_path / "missing.png")
        paths[2] = str(tmp_path / "damaged.png")
        paths[7] = str(tmp_path / "missing 2.png")
        Path(paths[2]).write_bytes(b"no photograph")
    out = tmp_path / "out"
    extract(paths, out, **how)
    new = contents(out)
    as_version_1(out, complete=complete)
    if n_failed:
        shutil.copy(photographs[1], paths[1])
    result = extract(paths, out, **how)
    # failures of an unknown kind are tried once
    assert result.n_computed == (0 if complete else 4) + (2 if n_failed else 0)
    assert result.n_failed == (2 if n_failed else 0)
    bad = [2, 7] if n_failed else []
    features = features_of(result, how)
    assert_array_equal(np.delete(features, bad, 0), np.delete(expected, bad, 0))
    assert np.isnan(features[bad]).all()
    kinds = {row: kind for row, (kind, _) in failed_rows(out).items()}
    assert kinds == ({2: "cannot be decoded", 7: ""} if n_failed else {})
    if not complete or n_failed:  # there is one kind of lists in all parts
        assert not any(has_fixed_lists(Path(path)) for path in result.files)
        if not n_failed:
            assert contents(out) == new
    assert extract(paths, out, **how).n_computed == 0


def test_parts_of_version_1_that_nobody_can_read(photographs, expected, tmp_path, monkeypatch):
    """As PyArrow 25 wrote them: they are computed again."""
    pytest.importorskip("pyarrow")
    how = {"transformer": CHEAP, "block_size": 5, "format": "parquet", "verbose": False}
    out = tmp_path / "out"
    extract(photographs, out, **how)
    as_version_1(out, complete=False)
    from sklearn_decaf._extraction import resumable_run

    real, unreadable = resumable_run.read_features, []

    def read(path, n_features):
        if path.name == "part-000000.parquet" and not unreadable:
            unreadable.append(path)
            raise ValueError("cannot be read")
        return real(path, n_features)

    monkeypatch.setattr(resumable_run, "read_features", read)
    result = extract(photographs, out, **how)
    assert unreadable
    assert result.n_computed == 5 + 4
    assert_array_equal(features_of(result, how), expected)


def test_a_finished_output_is_not_touched(photographs, tmp_path):
    """It is checked only."""
    how = {"transformer": CHEAP, "block_size": 5, "verbose": False}
    result = extract(photographs, tmp_path / "out", **how)
    times = {path: os.stat(path).st_mtime_ns for path in result.files}
    again = extract(photographs, tmp_path / "out", **how)
    assert_array_equal(read_npy(again), read_npy(result))
    assert times == {path: os.stat(path).st_mtime_ns for path in result.files}
