"""Fetching published data sets, in their real layouts, from a server that misbehaves."""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import shutil
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from oracles import collections as tiny
from oracles.file_server import FileServer, in_turn, serve, status
from PIL import Image

from sklearn_decaf.datasets import (
    _archives,
    _caltech101,
    _installation,
    fetch_caltech101,
    fetch_cub200,
    fetch_office31,
    fetch_sun397,
)
from sklearn_decaf.datasets._cub200 import read_2011
from sklearn_decaf.exceptions import ArchiveError, DownloadError
from sklearn_decaf.model_selection import PerClassShuffleSplit

FETCHERS = {
    "caltech101": partial(fetch_caltech101, delay=0),
    "sun397": partial(fetch_sun397, delay=0),
    "office31": partial(fetch_office31, delay=0),
    "cub200_2011": partial(fetch_cub200, version="2011", delay=0),
    "cub200_2010": partial(fetch_cub200, version="2010", delay=0),
}
every = pytest.mark.parametrize("name", FETCHERS)
fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FileServer() as server:
        yield server


@pytest.fixture
def made(monkeypatch, server):
    """The tiny archives, which the server serves."""
    made = tiny.shrink(monkeypatch, lambda name: server(f"/{name}", status(404)))
    for archives in made.values():
        for name, content in archives.items():
            server(f"/{name}", serve(content))
    return made


def write(folder, archives):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    return folder


def check_images(data):
    assert data.filenames.dtype == object and data.target.dtype == np.intp
    assert len(data.filenames) == len(data.target) > 0
    for path in data.filenames:
        assert isinstance(path, str)
        with Image.open(path) as image:
            image.load()
    assert data.target.max() < len(data.target_names)
    assert "Licence" in data.DESCR and "Cite" in data.DESCR
    assert pickle.loads(pickle.dumps(data)).filenames.tolist() == data.filenames.tolist()


# -- what each data set gives --


@pytest.mark.slow
def test_caltech101(made, tmp_path):
    data = fetch_caltech101(data_home=tmp_path)
    check_images(data)
    assert data.target_names.tolist() == tiny.CALTECH_CLASSES
    assert np.bincount(data.target).tolist() == [3, 3, 3, 3]  # without "tmp"
    assert Path(data.filenames[3]).parts[-3:] == (
        "101_ObjectCategories", "accordion", "image_0001.jpg",
    )  # fmt: skip
    objects = fetch_caltech101(data_home=tmp_path, background=False)
    assert objects.target_names.tolist() == tiny.CALTECH_CLASSES[1:]
    X, y = fetch_caltech101(data_home=tmp_path, return_X_y=True)
    assert X.tolist() == data.filenames.tolist() and y.tolist() == data.target.tolist()


def test_sun397(made, tmp_path):
    data = fetch_sun397(data_home=tmp_path)
    check_images(data)
    assert data.target_names.tolist() == ["abbey", "airplane_cabin", "bakery/shop"]
    assert np.bincount(data.target).tolist() == [5, 5, 5]
    assert len(data.splits) == 10
    for number, (train, test) in enumerate(data.splits, start=1):
        assert np.bincount(data.target[train]).tolist() == [2, 2, 2]
        assert np.bincount(data.target[test]).tolist() == [2, 2, 2]
        assert not set(train) & set(test)
        assert data.filenames[train[0]].endswith(f"a/abbey/sun_0{number % 5}.jpg")


@pytest.mark.parametrize("version", ["2010", "2011", 2011])
def test_cub200(made, tmp_path, version):
    data = fetch_cub200(version=version, data_home=tmp_path)
    check_images(data)
    assert data.target_names.tolist() == tiny.BIRDS
    assert data.target.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for path, target in zip(data.filenames, data.target):
        assert Path(path).parent.name == tiny.BIRDS[target]
    assert data.split.tolist() == ["train", "test"] * 6
    (train, test), = data.splits  # fmt: skip
    assert (data.split[train] == "train").all() and (data.split[test] == "test").all()
    if version == "2010":
        assert data.boxes[3].tolist() == [4, 2, 11, 9] and data.parts is None
    else:
        # x, y, width, height in the file; 1-based ids
        assert data.boxes[3].tolist() == [4, 2, 9, 8.5]
        assert data.parts.shape == (12, 3, 3) and data.part_names.tolist() == tiny.PARTS
        assert data.parts[3, 1].tolist() == [4.5, 2, 0]
    some = fetch_cub200(version=version, subset="test", data_home=tmp_path)
    assert some.filenames.tolist() == data.filenames[test].tolist() and some.splits == []
    assert np.array_equal(some.boxes, data.boxes[test])


def test_office31(made, tmp_path):
    data = fetch_office31(data_home=tmp_path)
    check_images(data)
    assert data.domain_names == {1: "amazon", 2: "dslr", -3: "webcam"}
    assert data.target_names.tolist() == tiny.THINGS
    domains, counts = np.unique(data.sample_domain, return_counts=True)
    assert dict(zip(domains, counts)) == {1: 8, 2: 4, -3: 6}
    X, y, domain = fetch_office31(
        domains=["dslr", "amazon"], target="dslr", data_home=tmp_path, return_X_y=True
    )
    assert domain.tolist() == [-2] * 4 + [1] * 8 and len(X) == len(y) == 12
    with pytest.raises(ValueError, match="'caltech' is no domain"):
        fetch_office31(domains="caltech", data_home=tmp_path)
    with pytest.raises(ValueError, match="'webcam' is not among the chosen"):
        fetch_office31(domains="amazon", target="webcam", data_home=tmp_path)


def test_wrong_parameters(made, tmp_path):
    with pytest.raises(ValueError, match="version='2012': it must be '2010' or '2011'"):
        fetch_cub200(version="2012", data_home=tmp_path)
    with pytest.raises(ValueError, match="subset='val': it must be 'all', 'train' or 'test'"):
        fetch_cub200(subset="val", data_home=tmp_path)


# -- fetching --


@pytest.mark.slow
@every
def test_the_second_time_nothing_is_asked_for(name, made, server, tmp_path):
    first = FETCHERS[name](data_home=tmp_path)
    asked = len(server.requests)
    assert asked == len(made[name])
    second = FETCHERS[name](data_home=tmp_path, download_if_missing=False)
    assert len(server.requests) == asked
    assert first.filenames.tolist() == second.filenames.tolist()
    assert os.listdir(tmp_path) == [name]  # no archive, part, lock or folder in the making


@every
def test_nothing_is_downloaded_unasked(name, made, server, tmp_path):
    with pytest.raises(FileNotFoundError, match="download_if_missing is False"):
        FETCHERS[name](data_home=tmp_path / "none", download_if_missing=False)
    assert server.requests == [] and os.listdir(tmp_path) == []


@every
def test_a_server_that_cuts_and_fails(name, made, server, tmp_path):
    for archive, content in made[name].items():
        cut = len(content) // 2
        server(f"/{archive}", in_turn(status(503), serve(content, cut=cut), serve(content)))
    data = FETCHERS[name](data_home=tmp_path)
    check_images(data)
    if name != "office31":  # which nobody publishes a checksum of
        archive, content = next(iter(made[name].items()))
        assert server.ranges(f"/{archive}")[-1] == f"bytes={len(content) // 2}-"


@every
def test_a_server_without_the_file(name, made, server, tmp_path):
    for archive in made[name]:
        server(f"/{archive}", status(404))
    with pytest.raises(DownloadError, match="404"):
        FETCHERS[name](data_home=tmp_path, n_retries=0)
    assert not (tmp_path / name).exists()


@every
def test_another_file_than_published(name, made, server, tmp_path):
    for archive in made[name]:
        server(f"/{archive}", serve(tiny.tar_gz({"101_ObjectCategories/cat/1.jpg": b"evil"})))
    with pytest.raises((DownloadError, ArchiveError)):
        FETCHERS[name](data_home=tmp_path, n_retries=0)
    assert not (tmp_path / name).exists()
    assert not list(tmp_path.glob(".*partial"))


def test_an_archive_without_checksum_has_to_hold_everything(made, server, tmp_path):
    url = "/domain_adaptation_images.tar.gz"
    server(url, serve(tiny.tar_gz({"amazon/images/bike/frame_0001.jpg": b""})))
    with pytest.raises(ArchiveError, match="amazon has 1 images of 1 classes, published are 8"):
        fetch_office31(data_home=tmp_path)
    assert not (tmp_path / "office31").exists()
    server(url, serve(tiny.tar_gz({"../amazon/images/bike/frame_0001.jpg": b""})))
    (tmp_path / "domain_adaptation_images.tar.gz").unlink()
    with pytest.raises(ArchiveError, match="leads out of the folder"):
        fetch_office31(data_home=tmp_path)
    assert not (tmp_path / "office31").exists()


# -- copies that are there --


@every
def test_archives_that_are_there_are_used_and_kept(name, made, server, tmp_path):
    write(tmp_path, made[name])
    check_images(FETCHERS[name](data_home=tmp_path, download_if_missing=False))
    assert server.requests == []
    assert sorted(os.listdir(tmp_path)) == sorted([name, *made[name]])


@every
def test_local_archives(name, made, server, tmp_path):
    mine = write(tmp_path / "mine", made[name])
    check_images(FETCHERS[name](local=mine, data_home=tmp_path / "home"))
    assert server.requests == [] and sorted(os.listdir(mine)) == sorted(made[name])
    if len(made[name]) == 1:
        (archive,) = made[name]
        check_images(FETCHERS[name](local=mine / archive, data_home=tmp_path / "other"))


def test_local_archives_by_their_published_names(made, tmp_path):
    archives = {
        name.removeprefix("CUB_200_2010_"): content for name, content in made["cub200_2010"].items()
    }
    mine = write(tmp_path / "mine", archives)
    check_images(fetch_cub200(version="2010", local=mine, data_home=tmp_path / "home"))


def test_the_archive_in_the_archive(made, tmp_path, monkeypatch):
    """Before 2022, Caltech-101 was published without the zip archive around it."""
    with zipfile.ZipFile(io.BytesIO(made["caltech101"]["caltech-101.zip"])) as outer:
        inner = outer.read("caltech-101/101_ObjectCategories.tar.gz")
    path = tmp_path / "101_ObjectCategories.tar.gz"
    path.write_bytes(inner)
    with pytest.raises(ArchiveError, match="is not the published file"):
        fetch_caltech101(local=path, data_home=tmp_path / "home")
    (archive,) = _caltech101.COLLECTION.archives
    archive = replace(archive, inner_sha256=hashlib.sha256(inner).hexdigest())
    monkeypatch.setattr(
        _caltech101, "COLLECTION", replace(_caltech101.COLLECTION, archives=(archive,))
    )
    check_images(fetch_caltech101(local=path, data_home=tmp_path / "home"))


@every
def test_a_local_archive_with_another_content(name, made, tmp_path):
    archives = {key: content[:-10] + b"0123456789" for key, content in made[name].items()}
    mine = write(tmp_path / "mine", archives)
    with pytest.raises(ArchiveError, match=r"not the published file|damaged"):
        FETCHERS[name](local=mine, data_home=tmp_path / "home")
    assert not (tmp_path / "home" / name).exists()


@every
def test_folders_that_are_there(name, made, server, tmp_path):
    """Unpacked by hand, so without a manifest."""
    FETCHERS[name](data_home=tmp_path / "home")
    mine = tmp_path / "mine"
    shutil.copytree(tmp_path / "home" / name, mine)
    (mine / _installation.MANIFEST).unlink()
    asked = len(server.requests)
    data = FETCHERS[name](local=mine, data_home=tmp_path / "none")
    check_images(data)
    assert all(path.startswith(str(mine)) for path in data.filenames)
    os.rename(mine, tmp_path / "none")  # the layout right in data_home
    check_images(FETCHERS[name](data_home=tmp_path / "none"))
    assert len(server.requests) == asked

    Path(data.filenames[0].replace(str(mine), str(tmp_path / "none"))).unlink()
    with pytest.raises(ValueError, match=r"is not complete: .* allow_incomplete=True"):
        FETCHERS[name](data_home=tmp_path / "none")
    rest = FETCHERS[name](local=tmp_path / "none", allow_incomplete=True)
    assert len(rest.filenames) == len(data.filenames) - 1
    check_images(rest)


@every
def test_copies_on_a_network_drive(name, made, tmp_path):
    """Such a drive keeps thumbnails and deleted files in folders of its own."""
    FETCHERS[name](data_home=tmp_path / "home")
    mine = tmp_path / "home" / name
    (mine / _installation.MANIFEST).unlink()
    expected = FETCHERS[name](local=mine)
    image = Path(expected.filenames[0])
    folders = {folder for path in expected.filenames for folder in Path(path).parents}
    for folder in folders:
        if folder.is_relative_to(mine):
            for junk in ("@eaDir/x.jpg/SYNO.jpg", "#recycle/old.jpg", "._x.jpg", "Thumbs.db"):
                (folder / junk).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(image, folder / junk)
    found = FETCHERS[name](local=mine)
    assert found.filenames.tolist() == expected.filenames.tolist()
    assert found.target.tolist() == expected.target.tolist()
    assert list(found.target_names) == list(expected.target_names)


@every
def test_copies_a_folder_further_down(name, made, tmp_path):
    """One is found, of two the user has to say which."""
    FETCHERS[name](data_home=tmp_path / "home")
    (tmp_path / "home" / name / _installation.MANIFEST).unlink()
    for folder in ("first", "second"):
        (tmp_path / "local" / "other").mkdir(parents=True, exist_ok=True)
        shutil.copytree(tmp_path / "home" / name, tmp_path / "local" / folder)
        if folder == "first":
            data = FETCHERS[name](local=tmp_path / "local", data_home=tmp_path / "none")
            check_images(data)
            assert str(tmp_path / "local" / "first") in data.filenames[0]
    with pytest.raises(ValueError, match=r"holds 2 copies of .*first.* and .*second.*: name one"):
        FETCHERS[name](local=tmp_path / "local")
    check_images(FETCHERS[name](local=tmp_path / "local" / "second"))


def test_other_layouts_of_office31(made, tmp_path):
    """In "Original_images", as one archive has it, and without "images" below the domains."""
    expected = FETCHERS["office31"](data_home=tmp_path / "home")
    (tmp_path / "home" / "office31" / _installation.MANIFEST).unlink()
    mine = tmp_path / "mine" / "Original_images"
    shutil.copytree(tmp_path / "home" / "office31", mine)
    check_images(FETCHERS["office31"](local=tmp_path / "mine"))
    for domain in ("amazon", "dslr", "webcam"):
        for entry in (mine / domain / "images").iterdir():
            entry.rename(mine / domain / entry.name)
        (mine / domain / "images").rmdir()
    for local in (tmp_path / "mine", mine):
        data = FETCHERS["office31"](local=local)
        check_images(data)
        for attribute in ("target", "sample_domain", "target_names"):
            np.testing.assert_array_equal(data[attribute], expected[attribute])


def test_the_folder_sun397_itself(made, tmp_path):
    """With the partitions beside it or in it."""
    FETCHERS["sun397"](data_home=tmp_path / "home")
    (tmp_path / "home" / "sun397" / _installation.MANIFEST).unlink()
    mine = tmp_path / "mine"
    shutil.copytree(tmp_path / "home" / "sun397", mine)
    check_images(FETCHERS["sun397"](local=mine / "SUN397"))
    (mine / "Partitions").rename(mine / "SUN397" / "Partitions")
    check_images(FETCHERS["sun397"](local=mine / "SUN397"))


@every
def test_what_is_no_copy(name, made, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no copy of"):
        FETCHERS[name](local=tmp_path)
    with pytest.raises(FileNotFoundError, match="there is nothing of that name"):
        FETCHERS[name](local=tmp_path / "missing")
    (tmp_path / "file.zip").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="holds no copy of"):
        FETCHERS[name](local=tmp_path / "file.zip")


@every
def test_files_that_got_lost_or_cut_off_later(name, made, tmp_path):
    data = FETCHERS[name](data_home=tmp_path)
    with open(data.filenames[1], "ab") as stream:
        stream.truncate(5)
    with pytest.raises(ValueError, match=r"1 of \d+ files .* remove the folder"):
        FETCHERS[name](data_home=tmp_path)
    Path(data.filenames[0]).unlink()
    with pytest.raises(ValueError, match=r"2 of \d+ files .* are missing"):
        FETCHERS[name](data_home=tmp_path)
    (tmp_path / name / _installation.MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        FETCHERS[name](data_home=tmp_path)


def test_a_folder_in_the_way(made, tmp_path):
    (tmp_path / "caltech101" / "mine").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="is in the way"):
        fetch_caltech101(data_home=tmp_path)
    assert (tmp_path / "caltech101" / "mine").is_dir()


# -- interruptions --


def start_slow_fetch(home):
    """Fetch in a process of its own, which says when a member of the archive is written."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def fetch():
        write = _archives._Writer.write

        def slow(*arguments):
            send.send("member")
            time.sleep(0.02)
            write(*arguments)

        _archives._Writer.write = slow
        send.send(len(fetch_caltech101(data_home=home, download_if_missing=False).filenames))

    process = context.Process(target=fetch)
    process.start()
    send.close()
    return process, receive


def received(pipe):
    """All that was sent until the other end was closed."""
    messages = []
    with contextlib.suppress(EOFError):
        while True:
            messages.append(pipe.recv())
    return messages


@fork
def test_kill_while_extracting(made, tmp_path):
    """Wherever it is killed: no folder by the final name, and the next fetch is right."""
    write(tmp_path, made["caltech101"])
    for members in (1, 9):
        process, pipe = start_slow_fetch(tmp_path)
        for _ in range(members):
            assert pipe.recv() == "member"
        process.kill()
        process.join()
        assert not (tmp_path / "caltech101").exists()
        (partial,) = tmp_path.glob(".caltech101.*.partial")  # that of the last one is gone
        with pytest.raises((ValueError, FileNotFoundError)):
            fetch_caltech101(local=partial)
    check_images(fetch_caltech101(data_home=tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["caltech-101.zip", "caltech101"]


def test_an_exception_while_extracting(made, tmp_path, monkeypatch):
    write(tmp_path, made["caltech101"])

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_installation, "atomic_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_caltech101(data_home=tmp_path)
    assert os.listdir(tmp_path) == ["caltech-101.zip"]


@fork
def test_two_processes_fetch_once(made, tmp_path):
    write(tmp_path, made["caltech101"])
    started = [start_slow_fetch(tmp_path) for _ in range(2)]
    outputs = [received(pipe) for _, pipe in started]
    for process, _ in started:
        process.join()
        assert process.exitcode == 0
    assert [output[-1] for output in outputs] == [12, 12]
    assert sorted("member" in output for output in outputs) == [False, True]
    assert sorted(os.listdir(tmp_path)) == ["caltech-101.zip", "caltech101"]


def test_no_room(made, tmp_path, monkeypatch):
    write(tmp_path, made["caltech101"])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(OSError, match="no room to extract") as caught:
        fetch_caltech101(data_home=tmp_path)
    assert caught.value.errno == 28
    assert os.listdir(tmp_path) == ["caltech-101.zip"]


def test_a_manifest_names_all_files(made, tmp_path):
    fetch_caltech101(data_home=tmp_path)
    manifest = json.loads((tmp_path / "caltech101" / _installation.MANIFEST).read_text())
    found = [
        path.relative_to(tmp_path / "caltech101").as_posix()
        for path in (tmp_path / "caltech101").rglob("*")
        if path.is_file()
    ]
    assert sorted(manifest["files"]) == sorted(set(found) - {_installation.MANIFEST})


# -- real data --


def test_a_part_of_caltech101(shared_data):
    folder = shared_data / "caltech101_20x60"
    with pytest.raises(ValueError, match="1200 images of 20 classes, published are 9144 of 102"):
        fetch_caltech101(local=folder)
    data = fetch_caltech101(local=folder, allow_incomplete=True)
    assert np.bincount(data.target).tolist() == [60] * 20
    splitter = PerClassShuffleSplit(30, n_splits=1, random_state=0)
    (train, test), = splitter.split(data.filenames, data.target)  # fmt: skip
    assert len(train) == len(test) == 600


@pytest.mark.slow
def test_the_real_lists_of_cub200(shared_data):
    folder = shared_data / "cub200_2011_metadata"
    data = read_2011(folder)
    assert len(data["paths"]) == 11_788 and len(data["classes"]) == 200
    assert data["train"].sum() == 5994
    assert data["boxes"][0].tolist() == [60, 27, 385, 331]
    assert (data["boxes"][:, 2:] > data["boxes"][:, :2]).all()
    assert data["target"].max() == 199 and data["classes"][0] == "001.Black_footed_Albatross"
    for path, target in zip(data["paths"], data["target"]):
        assert path.parent.name == data["classes"][target]
    with pytest.raises(ValueError, match="11788 of 11788 images are missing"):
        fetch_cub200(local=folder)
