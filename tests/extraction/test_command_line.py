"""The command line of `extract`: what it says and the status that it exits with."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.extractions import COMMAND, write_photographs
from oracles.odd_extractions import EXTRACTIONS, prepared

from sklearn_decaf.__main__ import main


@pytest.fixture
def photographs(tmp_path):
    """A folder of six photographs that a test may change."""
    write_photographs(tmp_path / "photos", 6)
    return tmp_path / "photos"


def run(*arguments, capsys):
    """Status, and what is said on standard output and standard error."""
    status = main(["extract", *map(str, arguments), *COMMAND])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_command_line(folder, expected, tmp_path, capsys):
    command = ["extract", str(folder), "--out", str(tmp_path / "out"), *COMMAND]
    assert main(command) == 3
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


@pytest.mark.parametrize("case", EXTRACTIONS, ids=lambda case: case.name)
def test_folders_and_lists_as_people_have_them(case, tmp_path, capsys):
    status, words, error = run(*prepared(case, tmp_path), capsys=capsys)
    assert status == case.status
    assert case.words in words + error


# The exit status --------------------------------------------------------------------------------


def test_status(photographs, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photographs, "--out", out, capsys=capsys)[0] == 0
    (photographs / "03.png").write_bytes(b"no photograph")
    status, words, _ = run(photographs, "--out", tmp_path / "some", capsys=capsys)
    assert status == 3
    assert "1 images could not be read" in words
    for path in photographs.iterdir():
        path.write_bytes(b"no photograph")
    status, words, error = run(photographs, "--out", tmp_path / "none", capsys=capsys)
    assert status == 1
    assert "6 images could not be read" in words
    assert "not one image could be read" in error


def test_status_of_an_outage(photographs, tmp_path, capsys):
    """It ends with 1 where nothing can be opened, with 3 where some cannot, then with 0."""
    names = sorted(path.name for path in photographs.iterdir())
    (tmp_path / "list").write_text("\n".join(names))
    command = [photographs, "--out", tmp_path / "out", "--files-from", tmp_path / "list"]
    command += ["--block-size", "2"]
    for name in names[2:4]:
        shutil.move(photographs / name, tmp_path / name)
    status, _, error = run(*command, capsys=capsys)
    assert status == 1
    assert "1 of 3 blocks are finished and kept" in error
    shutil.move(tmp_path / names[2], photographs / names[2])
    status, words, _ = run(*command, capsys=capsys)
    assert status == 3
    assert "1 of them could not even be opened: the same command tries these again" in words
    shutil.move(tmp_path / names[3], photographs / names[3])
    assert run(*command, capsys=capsys)[0] == 0
    for name in names[4:]:
        (photographs / name).unlink()
    command[2] = tmp_path / "other"
    assert run(*command, capsys=capsys)[0] == 1
    assert run(*command, "--allow-missing", capsys=capsys)[0] == 3


def test_retry_failed(photographs, tmp_path, capsys):
    good = (photographs / "03.png").read_bytes()
    (photographs / "03.png").write_bytes(good[:200])
    command = [photographs, "--out", tmp_path / "out"]
    assert run(*command, capsys=capsys)[0] == 3
    (photographs / "03.png").write_bytes(good)
    assert run(*command, capsys=capsys)[0] == 3
    assert run(*command, "--retry-failed", capsys=capsys)[0] == 0
    assert run(*command, capsys=capsys)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["extract", "missing", "--out", "x"], 1, "no folder 'missing'"),
        (["extract", "file", "--out", "x"], 1, "'file' is a file"),
        (["extract", ".", "--out", "x", "--files-from", os.devnull], 1, "it is empty"),
        (["extract", "missing", "--out", "x", "--files-from", os.devnull], 1, "no folder"),
        (["extract", ".", "--out", "x", "--files-from", "gone"], 1, "No such file"),
        (["extract", ".", "--out", "x", "--files-from", "."], 1, "Is a directory"),
        (["extract", ".", "--out", "x"], 1, "no images are in '.', but 1 entries (no suffix: 1)"),
        (["extract", ".", "--out", "x", "--null"], 2, "--files-from"),
        (["extract", ".", "--out", "x", "--block-size", "many"], 2, "invalid int"),
        (["extract"], 2, "required"),
        ([], 2, "required"),
    ],
)
def test_wrong_command_lines(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    try:
        found = main(arguments)
    except SystemExit as error:
        found = error.code
    assert found == status
    assert message in capsys.readouterr().err


def test_help_names_every_option_and_status(capsys):
    for arguments in (["--help"], ["extract", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in ("--out", "--layer", "--n-jobs", "--cache", "--files-from", "--null"):
        assert option in text
    for option in ("--retry-failed", "--allow-missing"):
        assert option in text
    for status in ("0 done", "1 refused", "2 wrong usage", "3 done, but some", "130 stopped"):
        assert status in text
    assert "None" not in text


# Folders ----------------------------------------------------------------------------------------


def test_what_is_left_out_is_said_in_one_line(photographs, tmp_path, capsys):
    for name in ("IMG_1.HEIC", "photo", "b.jpg_large", ".hidden.jpg", "Thumbs.db"):
        (photographs / name).write_text("")
    (photographs / "@eaDir" / "00.png").mkdir(parents=True)
    shutil.copy(photographs / "00.png", photographs / "@eaDir" / "00.png" / "SYNO_M.png")
    (photographs / "lost+found").mkdir()
    shutil.copy(photographs / "00.png", photographs / "x.MPO")
    status, words, _ = run(photographs, "--out", tmp_path / "out", capsys=capsys)
    assert status == 0
    [line] = [line for line in words.splitlines() if "left out" in line]
    assert "3 entries (.heic: 1, .jpg_large: 1, no suffix: 1)" in line
    assert "pillow-heif" in line
    assert "7 images" in words
    for path in photographs.iterdir():
        if path.suffix in (".png", ".MPO"):
            path.unlink()
    status, _, error = run(photographs, "--out", tmp_path / "none", capsys=capsys)
    assert status == 1
    assert "no images" in error
    assert ".heic: 1" in error


def test_a_folder_that_cannot_be_listed(photographs, tmp_path, capsys, monkeypatch):
    """It is named, and the status says that something is missing."""
    for name in ("a", "locked"):
        (photographs / name).mkdir()
        shutil.copy(photographs / "00.png", photographs / name)
    real = os.scandir

    def scandir(path):
        if isinstance(path, str) and os.path.basename(path) == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    status, words, error = run(photographs, "--out", tmp_path / "out", capsys=capsys)
    assert status == 3
    assert "7 images" in words
    assert f"warning: the folder {str(photographs / 'locked')!r} cannot be listed: Perm" in error


def test_links_to_folders(photographs, tmp_path, capsys):
    (tmp_path / "linked").mkdir()
    try:
        (tmp_path / "linked" / "in").symlink_to(photographs)
        (photographs / "loop").symlink_to(tmp_path / "linked")
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    status, words, _ = run(tmp_path / "linked", "--out", tmp_path / "out", capsys=capsys)
    assert status == 0
    assert "6 images" in words
    assert "folders that were listed already (links): 1" in words


def test_a_photograph_was_added(photographs, tmp_path, capsys):
    run(photographs, "--out", tmp_path / "out", capsys=capsys)
    shutil.copy(photographs / "00.png", photographs / "new.png")
    status, _, error = run(photographs, "--out", tmp_path / "out", capsys=capsys)
    assert status == 1
    assert "6 there, 7 now; 1 added: 'new.png'" in error
    assert "--cache" in error


# Lists ------------------------------------------------------------------------------------------


def test_command_line_with_a_list(folder, paths, expected, tmp_path):
    (tmp_path / "list").write_text("\n".join(paths[:3]) + "\n")
    listed = ["--files-from", str(tmp_path / "list")]
    assert main(["extract", str(folder), "--out", str(tmp_path / "out"), *COMMAND, *listed]) == 0
    assert_array_equal(np.load(tmp_path / "out" / "part-000000.npy"), expected[:3])


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff00.png\n01.png\n".encode(),
        "00.png\r\n01.png\r\n".encode("utf-16"),
        b"00.png\r\n01.png",
        "00.png\n01.png\n".encode("utf-16-be"),
        b"./00.png\0./01.png\0",
    ],
)
def test_lists_of_other_programs(photographs, tmp_path, capsys, content, monkeypatch):
    (tmp_path / "list").write_bytes(content)
    options = ["--null"] if b"\0.\x2f" in content else []
    listed = ["--files-from", tmp_path / "list", *options]
    status, words, _ = run(photographs, "--out", tmp_path / "out", *listed, capsys=capsys)
    assert (status, "2 images" in words) == (0, True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    listed = ["--files-from", "-", *(["-0"] if options else [])]
    assert run(photographs, "--out", tmp_path / "piped", *listed, capsys=capsys)[0] == 0
    names = [
        json.loads((tmp_path / out / "part-000000.paths.json").read_text())
        for out in ("out", "piped")
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("00.png 0\n01.png 1\n", "a path and a label"),
        ("gone.png 0\n", "look like a path and a label"),
        ("path,label\n00.png,cat\n", "the list is a table: keep column 1"),
        ("photos/00.png\n", "give '.' as the folder"),
        ("sub\n", "these are folders"),
        ("00.png\0" + "01.png\0", "needs --null"),
        ("\n \n", "it is empty"),
    ],
)
def test_lists_that_are_something_else(photographs, tmp_path, capsys, monkeypatch, content, hint):
    """They are refused before any work."""
    monkeypatch.chdir(tmp_path)
    (photographs / "sub").mkdir()
    (tmp_path / "list").write_text(content)
    status, words, error = run(
        "photos", "--out", tmp_path / "out", "--files-from", "list", capsys=capsys
    )
    assert (status, words) == (1, "")
    assert hint in error
    assert "list 'list'" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_names_that_the_terminal_does_not_know(photographs, tmp_path):
    """Whatever bytes are in names, and in whatever encoding the words are read."""
    out = os.fsencode(tmp_path) + b"/\xff\xc3\xbc"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONIOENCODING": "ascii:strict",
    }
    try:
        os.mkdir(os.fsencode(photographs) + b"/\xfe")
    except OSError:
        pytest.skip("this file system has no such names")
    (photographs / "ü.txt").write_text("")
    shutil.copy(photographs / "00.png", os.fsencode(photographs) + b"/\xfe/\xc3\xa9.png")
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_decaf", "extract", photographs, "--out", out, *COMMAND],
        cwd=tmp_path,
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert b"7 images" in done.stdout
    assert rb"\udcff\xfc" in done.stdout
