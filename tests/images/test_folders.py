"""The walk over folders: what it finds, in which order, and what it says of the rest."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sklearn_decaf.images import _reading
from sklearn_decaf.images._folders import (
    Entry,
    Kind,
    LeftOut,
    describe_unlisted,
    find_images,
    list_folder,
    walk_folder,
)
from sklearn_decaf.images._reading import IMAGE_EXTENSIONS

posix = pytest.mark.skipif(os.name != "posix", reason="such files are POSIX's")


def make_files(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def walk(root):
    """Names by kind."""
    found = {}
    for entry in walk_folder(str(root)):
        found.setdefault(entry.kind, []).append(entry.name)
    return found


@contextmanager
def unlisted_folders(denied, error=errno.EACCES):
    """Let the listing of some folders fail; the superuser, who may run tests, is refused none."""
    real = os.scandir

    def scandir(path="."):
        if isinstance(path, str) and os.path.realpath(path) in denied:
            raise OSError(error, os.strerror(error), path)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield


# Suffixes ---------------------------------------------------------------------------------------


def test_every_suffix_of_a_format_that_is_read_is_listed():
    """Pillow's own table of suffixes is the oracle; what is called JPEG elsewhere comes on top."""
    Image.init()
    readable = {*_reading.READERS, "MPO"}
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in readable}
    assert known <= set(IMAGE_EXTENSIONS)
    assert {".mpo", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".jpe"} <= set(IMAGE_EXTENSIONS)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_EXTENSIONS)
    assert len(set(IMAGE_EXTENSIONS)) == len(IMAGE_EXTENSIONS)


def test_what_is_left_out_is_counted_by_kind(tmp_path):
    """Downloads and telephones give such names."""
    names = ["a.jpg", "IMG_1.HEIC", "photo", "b.jpg_large", "notes.txt", ".hidden.jpg", "Thumbs.db"]
    make_files(tmp_path, *names)
    left_out = LeftOut()
    assert list(find_images(str(tmp_path), left_out)) == ["a.jpg"]
    assert len(left_out) == 4
    for words in ("4 entries", ".heic: 1", "no suffix: 1", ".jpg_large: 1", "'IMG_1.HEIC'"):
        assert words in str(left_out)
    assert "pillow-heif" in left_out.advice
    assert "\n" not in f"{left_out}{left_out.advice}"


def test_the_account_is_short():
    left_out = LeftOut()
    assert (len(left_out), left_out.advice, left_out.unlisted) == (0, "", [])
    for i in range(1000):
        left_out.add(Entry(f"x.{'y' * 300}{i % 10}", Kind.OTHER_SUFFIX))
        left_out.add(Entry(f"x.{i % 10}", Kind.OTHER_SUFFIX))
    assert "other kinds: 600" in str(left_out)
    assert len(str(left_out).partition(", the first")[0]) < 150


# Order ------------------------------------------------------------------------------------------


@posix
def test_the_order_is_that_of_the_bytes_folder_by_folder(tmp_path):
    """As extractions have had it from the beginning, so that they can be taken up again."""
    names = ["b.jpg", "b/1.jpg", "B/1.jpg", "b.d/1.jpg", "a.png", "é/1.jpg", "\U0001f415.jpg"]
    try:
        make_files(tmp_path, *names, os.fsdecode(b"\xff.jpg"), os.fsdecode(b"\xee\x80\x80.jpg"))
    except OSError:
        pytest.skip("this file system has no such names")
    found = list(find_images(str(tmp_path)))
    expected = sorted(found, key=lambda name: [os.fsencode(part) for part in name.split("/")])
    assert found == expected
    assert len(found) == 9
    assert found[:5] == ["B/1.jpg", "a.png", "b/1.jpg", "b.d/1.jpg", "b.jpg"]


def test_relative_folders(tmp_path, monkeypatch):
    make_files(tmp_path, "x/a/1.jpg", "x/2.jpg")
    monkeypatch.chdir(tmp_path)
    expected = ["2.jpg", os.path.join("a", "1.jpg")]
    for folder in ("x", f"x{os.sep}", f".{os.sep}x", str(tmp_path / "x")):
        assert list(find_images(folder)) == expected


# Names of systems -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "@__thumb"),
        *("$RECYCLE.BIN", "System Volume Information", "lost+found", "RECYCLER", "FOUND.000"),
        *("__MACOSX", "Network Trash Folder", "Temporary Items", "LOST.DIR", "~snapshot"),
        *(".Trash-1000", ".thumbnails", ".@__thumb", ".AppleDouble", ".git"),
    ],
)
def test_folders_of_systems_and_network_drives(tmp_path, name):
    make_files(tmp_path, "cat/1.jpg", f"cat/{name}/1.jpg/X.jpg", f"{name}/old.jpg")
    found = walk(tmp_path)
    kind = Kind.HIDDEN if name.startswith(".") else Kind.SYSTEM
    assert found == {
        Kind.IMAGE: [os.path.join("cat", "1.jpg")],
        kind: sorted([name, os.path.join("cat", name)]),
    }
    left_out = LeftOut()
    list(find_images(str(tmp_path), left_out))
    assert len(left_out) == 0


@pytest.mark.parametrize("name", ["recycled", "snapshot", "@home", "#1", "trash", "found", "lost"])
def test_names_that_may_be_classes(tmp_path, name):
    make_files(tmp_path, f"{name}/1.jpg")
    assert list(find_images(str(tmp_path))) == [os.path.join(name, "1.jpg")]


# Links ------------------------------------------------------------------------------------------


@posix
def test_links_are_followed_and_loops_end(tmp_path):
    make_files(tmp_path, "store/deep/1.jpg", "store/2.jpg", "data/a/0.jpg", "data/b/0.jpg")
    data = tmp_path / "data"
    links = {
        "a/in": "store",  # into another tree
        "a/again": "store/deep",  # which "in" leads to, too
        "a/self": "data/a",
        "a/up": "data",
        "a/over": "data/b",  # each folder of the first level has its own account
        "b/file.jpg": "store/2.jpg",
        "b/gone.jpg": "nowhere.jpg",
        "root": "",
    }
    for name, target in links.items():
        (data / name).symlink_to(tmp_path / target)
    (data / "b" / "round.jpg").symlink_to(data / "b" / "round.jpg")
    (tmp_path / "store" / "back").symlink_to(data)
    os.mkfifo(data / "b" / "pipe.jpg")
    assert walk(data) == {
        Kind.IMAGE: [
            *("a/0.jpg", "a/again/1.jpg", "a/in/2.jpg", "a/over/0.jpg", "a/over/file.jpg"),
            *("b/0.jpg", "b/file.jpg"),
        ],
        Kind.REPEATED: ["a/in/back", "a/in/deep", "a/self", "a/up", "root"],
        Kind.BROKEN_LINK: ["a/over/gone.jpg", "a/over/round.jpg", "b/gone.jpg", "b/round.jpg"],
        Kind.SPECIAL: ["a/over/pipe.jpg", "b/pipe.jpg"],
    }
    left_out = LeftOut()
    list(find_images(str(data), left_out))
    assert "folders that were listed already (links): 5" in str(left_out)
    assert "broken links: 4" in str(left_out)


@posix
def test_file_systems_without_numbers_for_folders(tmp_path, monkeypatch):
    make_files(tmp_path, "a/b/1.jpg", "a/c/2.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    real = os.stat

    def stat(path, **options):
        fields = list(real(path, **options))
        fields[1] = 0  # st_ino
        return os.stat_result(fields)

    monkeypatch.setattr(os, "stat", stat)
    assert walk(tmp_path) == {
        Kind.IMAGE: ["a/b/1.jpg", "a/c/2.jpg"],
        Kind.REPEATED: ["a/loop"],
    }


@pytest.mark.slow
@posix
def test_very_deep_folders(tmp_path):
    """Deeper than Python calls functions; and deeper than a path can name, 4096 bytes."""
    inside, path, names = os.open(tmp_path, os.O_RDONLY), "", []
    for name in ["d"] * 1100 + ["long" * 50] * 20:
        os.mkdir(name, dir_fd=inside)
        inner = os.open(name, os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside, path = inner, f"{path}{name}/"
        os.close(os.open("1.jpg", os.O_CREAT, dir_fd=inside))
        names.append(f"{path}1.jpg")
    os.close(inside)
    found = walk(tmp_path)
    n_found = len(found[Kind.IMAGE])
    assert 1100 < n_found < 1120
    assert sorted(found[Kind.IMAGE], key=len) == names[:n_found]
    assert len(found[Kind.UNLISTED]) == 1
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # Python's own cannot


# Folders that cannot be listed ------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_folders_that_cannot_be_listed_are_named(tmp_path, error):
    make_files(tmp_path, "a/1.jpg", "a/locked/2.jpg", "b/3.jpg", "c.jpg")
    denied = {os.path.realpath(tmp_path / name) for name in ("a/locked", "b")}
    left_out = LeftOut()
    with unlisted_folders(denied, error):
        assert list(find_images(str(tmp_path), left_out)) == [os.path.join("a", "1.jpg"), "c.jpg"]
    assert [entry.name for entry in left_out.unlisted] == [os.path.join("a", "locked"), "b"]
    text = describe_unlisted(left_out.unlisted[1], str(tmp_path))
    assert text == f"the folder {str(tmp_path / 'b')!r} cannot be listed: {os.strerror(error)}"
    assert "folders that cannot be listed: 2" in str(left_out)


def test_a_listing_that_fails_in_the_middle_is_not_taken_for_the_whole(tmp_path, monkeypatch):
    make_files(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.jpg")
    real = os.scandir

    class Failing:
        def __init__(self, path):
            self.path, self.entries = path, real(path)

        def __enter__(self):
            yield next(self.entries)
            if self.path.endswith("a"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield from self.entries

        def __exit__(self, *error):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Failing)
    assert walk(tmp_path) == {Kind.UNLISTED: ["a"], Kind.IMAGE: [os.path.join("b", "1.jpg")]}


UNPRIVILEGED = """
    import os, sys
    from pathlib import Path
    from sklearn_decaf.images._folders import walk_folder
    root = Path(sys.argv[1])
    for name in ("a/1.jpg", "locked/2.jpg", "blind/3.jpg", "store/x/4.jpg"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"")
    os.symlink(root / "store" / "x" / "4.jpg", root / "a" / "5.jpg")
    os.chmod(root, 0o755)
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        os.setgid(65534)
        os.setuid(65534)
    os.chmod(root / "locked", 0)
    os.chmod(root / "store", 0)
    os.chmod(root / "blind", 0o444)  # can be listed, but nothing in it be looked at
    for entry in walk_folder("."):
        print(entry.kind.name, entry.name)
    for name in ("locked", "store", "blind"):
        os.chmod(root / name, 0o755)
"""


@pytest.mark.slow
@posix
def test_permissions_of_the_system(tmp_path):
    """As somebody who is not the superuser."""
    root = Path(tempfile.mkdtemp())  # pytest's own folders are for its user alone
    code = "\n".join(line[4:] for line in UNPRIVILEGED.splitlines())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        capture_output=True,
        text=True,
        cwd=root,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *("IMAGE a/1.jpg", "BROKEN_LINK a/5.jpg", "IMAGE blind/3.jpg"),
        *("UNLISTED locked", "UNLISTED store"),
    ]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [("gone", FileNotFoundError, "no folder.*gone"), ("1.jpg", NotADirectoryError, "is a file")],
)
def test_what_is_no_folder(tmp_path, name, error, message):
    make_files(tmp_path, "1.jpg")
    with pytest.raises(error, match=message):
        list(walk_folder(str(tmp_path / name)))


def test_a_folder_that_cannot_be_listed_itself(tmp_path):
    with unlisted_folders({os.path.realpath(tmp_path)}), pytest.raises(PermissionError):
        list(walk_folder(str(tmp_path)))


# Any folder -------------------------------------------------------------------------------------

NAMES = ["a", "b", "c.jpg", "2.JPG", "x.Jpeg", "photo", "i.HEIC", ".h.jpg", "@eaDir", "ü.png", "\n"]
folder_names = st.sampled_from(NAMES)
paths = st.lists(folder_names, min_size=1, max_size=4).map("/".join)


@pytest.mark.slow
@posix
@settings(max_examples=60)
@given(
    files=st.lists(paths, max_size=12),
    links=st.lists(st.tuples(paths, st.one_of(paths, st.just(""), st.just(".."))), max_size=6),
    denied=st.sets(paths, max_size=2),
)
def test_every_image_that_can_be_reached_is_found(files, links, denied):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "above", "root")
        root.mkdir(parents=True)
        for name in files:
            try:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(b"")
            except OSError:  # a part of it is a file, or it is a folder
                pass
        for name, target in links:
            try:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).symlink_to(root / target)
            except OSError:
                pass
        refused = {os.path.realpath(root / name) for name in denied} - {os.path.realpath(root)}
        with unlisted_folders(refused):
            entries = list(walk_folder(str(root)))
        names = [entry.name for entry in entries]
        assert len(set(names)) == len(names)
        assert all(os.path.lexists(root / name) for name in names)
        images = [entry.name for entry in entries if entry.kind is Kind.IMAGE]
        above = {os.path.realpath(path) for path in (root, *root.parents)}
        expected = set()
        for top in os.listdir(root):
            expected |= {(top, *found) for found in reachable(root / top, above, refused)}
        found = [
            (name.split("/")[0], os.path.realpath((root / name).parent), os.path.basename(name))
            for name in images
        ]
        assert len(set(found)) == len(found)  # each folder once
        assert set(found) == expected


def reachable(path, above, refused):
    """Images below a path, as (folder, name), by real paths alone: a closure, not a walk."""
    wanted = lambda name: not name.startswith(".") and name != "@eaDir"  # noqa: E731
    is_image = lambda name: name.lower().endswith((".jpg", ".jpeg", ".png"))  # noqa: E731
    if not wanted(path.name):
        return set()
    if not path.is_dir():
        here = (os.path.realpath(path.parent), path.name)
        return {here} if path.is_file() and is_image(path.name) else set()
    found, seen, waiting = set(), set(above), [os.path.realpath(path)]
    while waiting:
        folder = waiting.pop()
        if folder in seen or folder in refused:
            continue
        seen.add(folder)
        for name in filter(wanted, os.listdir(folder)):
            inner = os.path.join(folder, name)
            if os.path.isdir(inner):
                waiting.append(os.path.realpath(inner))
            elif os.path.isfile(inner) and is_image(name):
                found.add((folder, name))
    return found


def test_one_folder_is_listed_in_little_memory(tmp_path):
    """Names are kept, not what the system says of each file."""
    make_files(tmp_path, *(f"{i}.jpg" for i in range(50)))
    listed = list_folder(str(tmp_path), IMAGE_EXTENSIONS)
    assert iter(listed) is listed
    assert len(list(listed)) == 50
