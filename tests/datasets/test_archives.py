"""Archives that are good, damaged, or made to do harm."""

import bz2
import contextlib
import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_decaf.datasets import _archives
from sklearn_decaf.datasets._archives import extract_archive
from sklearn_decaf.exceptions import ArchiveError

LIMITS = {"max_files": 100, "max_bytes": 1_000_000}
FILES = {"a/1.jpg": b"one", "a/b/2.jpg": b"two" * 1000, "c/empty": b""}


def tar_member(name, content=b"", **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in attributes.items():
        setattr(member, key, value)
    return member, content


def tar_bytes(members, mode="w:gz", **options):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, **options) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def tar_of(files, mode="w:gz"):
    return tar_bytes([tar_member(name, content) for name, content in files.items()], mode)


def zip_of(files, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


MAKERS = {
    "tar": lambda files: tar_of(files, "w"),
    "tar.gz": tar_of,
    "tar.bz2": lambda files: tar_of(files, "w:bz2"),
    "tar.xz": lambda files: tar_of(files, "w:xz"),
    "zip": zip_of,
    "zip stored": lambda files: zip_of(files, zipfile.ZIP_STORED),
}


def extract(data, folder, **options):
    folder.mkdir(exist_ok=True)
    return extract_archive(io.BytesIO(data), folder, **{**LIMITS, **options})


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def check_refused(data, tmp_path, pattern, **options):
    """Refused, and nothing lies outside of the folder."""
    folder = tmp_path / "folder"
    before = contents(tmp_path)
    with pytest.raises(ArchiveError, match=pattern):
        extract(data, folder, **options)
    outside = {
        name: content
        for name, content in contents(tmp_path).items()
        if not name.startswith("folder/")
    }
    assert outside == before
    assert not any(path.is_symlink() for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", MAKERS)
def test_all_kinds(kind, tmp_path):
    sizes = extract(MAKERS[kind](FILES), tmp_path / "folder")
    assert contents(tmp_path / "folder") == FILES
    assert sizes == {name: len(content) for name, content in FILES.items()}


def test_a_path_and_placement(tmp_path):
    path = tmp_path / "x.tgz"
    path.write_bytes(tar_of({"./top/a/1.jpg": b"1", "top/._1.jpg": b"junk", "other": b"2"}))
    (tmp_path / "folder").mkdir()

    def place(member):
        below = member.parts[0] == "top" and not member.name.startswith("._")
        return PurePosixPath(*member.parts[1:]) if below else None

    assert extract_archive(path, tmp_path / "folder", place=place, **LIMITS) == {"a/1.jpg": 1}
    assert contents(tmp_path / "folder") == {"a/1.jpg": b"1"}


def test_permissions_are_plain(tmp_path):
    data = tar_bytes([tar_member("x", b"1", mode=0o6777, uid=0, uname="root")])
    extract(data, tmp_path / "folder")
    assert (tmp_path / "folder" / "x").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "//x", "a\\..\\x", "..\\x", "a/\x01", "x\n", "a/.."]
)
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_paths_that_lead_out(name, kind, tmp_path):
    check_refused(MAKERS[kind]({"fine": b"1", name: b"evil"}), tmp_path, "leads out of the folder")


def test_zero_byte_in_a_name(tmp_path):
    # tar and zip end a name there by themselves
    extract(tar_bytes([tar_member("a\0/../../x", b"1")]), tmp_path / "folder")
    assert set(contents(tmp_path)) == {"folder/a"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "1.jpg"},
        {"type": tarfile.LNKTYPE, "linkname": "1.jpg"},
        {"type": tarfile.LNKTYPE, "linkname": "../outside"},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0},
    ],
    ids=["symlink out", "symlink", "hardlink", "hardlink out", "fifo", "device", "disk"],
)
def test_tar_members_that_are_no_files(attributes, tmp_path):
    (tmp_path / "outside").write_bytes(b"mine")
    members = [tar_member("1.jpg", b"1"), tar_member("link", **attributes)]
    members.append(tar_member("link/x", b"evil"))
    check_refused(tar_bytes(members), tmp_path, "'link', no plain file")


def test_zip_symlink(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
        archive.writestr("link/x", "evil")
    check_refused(stream.getvalue(), tmp_path, "'link', no plain file")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_file_twice(kind, tmp_path):
    twice = [tar_member("a", b"1"), tar_member("./a", b"2")]
    if kind == "tar":
        data = tar_bytes(twice)
    else:
        data = zip_of({"a": b"1", "./a": b"2"})
    check_refused(data, tmp_path, "'./a' more than once")


def test_a_file_that_is_a_folder_too(tmp_path):
    check_refused(tar_of({"a": b"1", "a/b": b"2"}), tmp_path, "more than once")


@pytest.mark.parametrize("kind", MAKERS)
def test_too_many_files(kind, tmp_path):
    data = MAKERS[kind]({str(i): b"" for i in range(101)})
    check_refused(data, tmp_path, "more than 100 members")


@pytest.mark.parametrize("kind", MAKERS)
def test_too_many_bytes(kind, tmp_path):
    data = MAKERS[kind]({"a": bytes(600_000), "b": bytes(600_000)})
    check_refused(data, tmp_path, "more than 1,000,000 bytes")
    assert sum(map(len, contents(tmp_path).values())) <= 1_000_000


def test_a_bomb_stops_early(tmp_path):
    """10 GB are announced: nothing of them is written or read."""
    header = tar_member("zeros")[0]
    header.size = 10**10
    data = gzip.compress(header.tobuf()) + gzip.compress(bytes(10**7), 1) * 3
    check_refused(data, tmp_path, "more than 1,000,000 bytes")


def test_a_bomb_in_what_is_left_out(tmp_path):
    data = tar_of({"left out": bytes(2_000_000)})
    check_refused(data, tmp_path, "more than 1,000,000 bytes", place=lambda path: None)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory(kind, tmp_path):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 2**31
    data = gzip.compress(header.tobuf() + bytes(1_000_000))
    check_refused(data, tmp_path, "header of 2147483648 bytes")


def test_a_list_of_members_that_would_fill_the_memory(tmp_path):
    """Of zip archives the standard library reads the whole list before anything can be counted."""
    start = zip_of({"a": b"a"})
    entry = b"PK\x01\x02" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"x"
    directory = entry * 100_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), len(start), 0)
    check_refused(start + directory + end, tmp_path, "4,194,304 bytes would be read")


def test_many_headers(tmp_path):
    """Records of attributes are no members, and yet they count."""
    record = b"30 comment=" + b"x" * 18 + b"\n"
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 2**20
    one = header.tobuf() + record * (2**20 // len(record)) + bytes(2**20 % len(record))
    data = gzip.compress(one * 20)
    check_refused(data, tmp_path, "bomb|damaged")


def test_sparse_member(tmp_path):
    header = tarfile.TarInfo("sparse")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"00000100000\0"  # the size that it expands to
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    check_refused(bytes(block) + bytes(1024), tmp_path, "'sparse', no plain file|damaged")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip", "zip stored"])
def test_damage_anywhere_is_found_or_harmless(kind, tmp_path):
    """Cut after every few bytes, or with a byte changed: refused, or the very same content."""
    data = MAKERS[kind](FILES)
    folder = 0
    for at in range(0, len(data), max(1, len(data) // 40)):
        changed = bytearray(data)
        changed[at] ^= 0x55
        for bad in (data[:at], bytes(changed)):
            folder += 1
            try:
                extract(bad, tmp_path / str(folder))
            except ArchiveError:
                continue
            found = sorted(contents(tmp_path / str(folder)).values())
            if "zip" in kind:  # whose list of members has no checksum
                assert set(found) <= set(FILES.values()), at
            elif kind != "tar":  # which has no checksum of the content
                assert found == sorted(FILES.values()), at


def test_cut_off_between_two_members(tmp_path):
    data = tar_of(FILES, "w")
    check_refused(data[:1024], tmp_path, "no end mark")


def test_damaged_header_in_the_middle(tmp_path):
    data = bytearray(tar_of(FILES, "w"))
    data[1024 + 10] ^= 1
    check_refused(bytes(data), tmp_path, "no end mark")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"<html>not found</html>"])
def test_no_archive(data, tmp_path):
    check_refused(data, tmp_path, "damaged, or no tar or zip archive|no end mark")


def test_encrypted_zip(tmp_path):
    data = bytearray(zip_of({"a": b"1"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    check_refused(bytes(data), tmp_path, "'a' is encrypted")


def test_zip_member_larger_than_declared(tmp_path):
    """What a member declares is not believed: the counting stops it."""
    data = bytearray(zip_of({"a": bytes(500_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 10)
    check_refused(bytes(data), tmp_path, "damaged|should have 10 bytes")


def test_long_names(tmp_path):
    check_refused(tar_of({"x" * 256: b"1"}), tmp_path, "a path of 256 characters")
    check_refused(zip_of({"x/" * 501: b""}), tmp_path, "a path of 1002 characters")


def test_a_full_disk_is_no_damage(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_archives, "open", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        extract(tar_of(FILES), tmp_path / "folder")
    assert not isinstance(caught.value, ArchiveError)


def test_without_safe_extraction_nothing_is_extracted(tmp_path, monkeypatch):
    monkeypatch.delattr(_archives.tarfile, "data_filter")
    with pytest.raises(RuntimeError, match="PEP 706"):
        extract(tar_of(FILES), tmp_path / "folder")
    assert contents(tmp_path) == {}


@settings(max_examples=150)
@given(st.data())
def test_random_damage_never_surprises(tmp_path_factory, data):
    original = data.draw(st.sampled_from(ORIGINALS))
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    top = tmp_path_factory.mktemp("fuzz")
    with contextlib.suppress(ArchiveError):
        extract(bytes(changed), top / "folder")
    assert os.listdir(top) == ["folder"]


ORIGINALS = [make(FILES) for make in MAKERS.values()] + [bz2.compress(tar_of(FILES, "w"))]
