"""Files that cannot be opened or read are told from files that hold no good image."""

from __future__ import annotations

import builtins
import errno
import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from sklearn_decaf import BoundingBoxCropper
from sklearn_decaf.descriptors import GISTTransformer
from sklearn_decaf.exceptions import ImageAccessError, ImageError
from sklearn_decaf.images import find_unreadable, iter_batches, read_image

pytestmark = pytest.mark.filterwarnings("ignore:.*Input/output error:UserWarning")  # Pillow's


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


class FailingFile(io.FileIO):
    """A file whose disk fails after some bytes."""

    error, good = errno.EIO, 0

    def readinto(self, buffer):
        if self.tell() >= self.good:
            raise OSError(self.error, os.strerror(self.error))
        return super().readinto(memoryview(buffer)[: self.good - self.tell()])

    def readall(self):
        raise OSError(self.error, os.strerror(self.error))


def let_files_fail(monkeypatch, error, good):
    failing = type("Failing", (FailingFile,), {"error": error, "good": good})
    monkeypatch.setattr(builtins, "open", lambda path, mode: io.BufferedReader(failing(path), 16))


def is_access(image) -> bool:
    with pytest.raises(ImageError) as raised:
        read_image(image)
    [(_, _, [(_, reason)])] = iter_batches([image], on_error="nan")
    assert reason.is_access == isinstance(raised.value, ImageAccessError)
    assert isinstance(raised.value, OSError) == reason.is_access
    assert pickle.loads(pickle.dumps(reason)).is_access == reason.is_access
    return reason.is_access


@pytest.mark.parametrize("name", ["missing.png", "photo.png/x.png", "", "http://x/y.jpg", "a\0b"])
def test_names_without_a_file(photo, monkeypatch, name):
    monkeypatch.chdir(os.path.dirname(photo))
    assert is_access(name)


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop", "long name"])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / "x.png"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path = tmp_path / ("x" * 1000)
    assert is_access(path)


@pytest.mark.parametrize("where", ["stat", "open"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN])
def test_files_that_cannot_be_opened(photo, monkeypatch, where, number):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os if where == "stat" else builtins, where, fail)
    assert is_access(photo)
    with pytest.raises(ImageAccessError, match=os.strerror(number)):
        read_image(photo)


def test_too_many_open_files(photo):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")), default=0) if os.path.isdir("/proc") else 64
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        with pytest.raises(OSError, match="Too many"):
            while True:
                held.append(open(photo, "rb"))  # noqa: SIM115  closed below
        with pytest.raises(ImageAccessError, match="Too many open files"):
            read_image(photo)
    finally:
        for file in held:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read_image(photo).size == (90, 80)


@pytest.mark.parametrize("format", ["png", "jpeg", "bmp", "gif", "ppm", "webp", "tiff", "tiff_lzw"])
@pytest.mark.parametrize("good", [0, 3, 64, 500])
def test_a_disk_that_fails_while_a_file_is_read(photo, tmp_path, monkeypatch, format, good):
    """It is not called a damaged photograph, by whatever decoder it is read."""
    path = tmp_path / f"x.{format[:4]}"
    options = {"compression": "tiff_lzw"} if format == "tiff_lzw" else {}
    Image.open(photo).save(path, format[:4], **options)
    assert path.stat().st_size > 500
    with monkeypatch.context() as patch:
        let_files_fail(patch, errno.EIO, good)
        assert is_access(path)
        with pytest.raises(ImageAccessError, match="cannot be read: Input/output error"):
            read_image(path)
    assert read_image(path).size == (90, 80)


def test_a_disk_that_fails_where_the_decoder_reads_by_itself(photo, tmp_path, monkeypatch):
    """libtiff reads from the descriptor, and reports any failure as damage."""
    path = tmp_path / "x.tif"
    Image.open(photo).save(path, compression="tiff_lzw")
    descriptors = []

    class FailingLater(FailingFile):
        good = path.stat().st_size

        def fileno(self):
            self.good = 0
            descriptors.append(os.open(os.devnull, os.O_RDONLY))
            return descriptors[-1]

    monkeypatch.setattr(
        builtins, "open", lambda path, mode: io.BufferedReader(FailingLater(path), 16)
    )
    with pytest.raises(ImageAccessError, match="cannot be read: Input/output error"):
        read_image(path)
    assert descriptors
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_files_that_hold_no_image(tmp_path, content):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert not is_access(path)
    assert not is_access(content)


def test_other_things_that_are_no_images():
    for image in (np.zeros((3, 3), np.int64), Image.new("I", (2, 2), -1)):
        assert not is_access(image)


def test_the_kind_reaches_every_caller(photo, tmp_path):
    (tmp_path / "text.png").write_text("text")
    for name, kind in (("missing.png", ImageAccessError), ("text.png", ImageError)):
        images = [photo, str(tmp_path / name)]
        boxes = [(0, 0, 40, 40)] * 2
        crops = BoundingBoxCropper().transform(images, boxes=boxes)
        for read in (
            lambda images=images: list(iter_batches(images)),
            lambda images=images: GISTTransformer().transform(images),
            lambda crops=crops: list(iter_batches(crops)),
        ):
            with pytest.raises(ImageError, match="row 1") as raised:
                read()
            assert type(raised.value) is kind
        for found in (find_unreadable(images), find_unreadable(crops)):
            [(row, reason)] = found
            assert (row, reason.is_access) == (1, kind is ImageAccessError)
