"""Lists of paths: every encoding that programs write, and words about what is no list."""

from __future__ import annotations

import codecs
import io
import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_decaf._extraction.path_lists import explain_missing, read_paths

LISTS = [
    ["cat/1.jpg"],
    ["cat/1.jpg", "dog/a b.png", "ü/é.jpg"],
    ["写真/家族旅行/一.jpg", "写真/二.jpg"],
    ["写真家族旅行二〇二三年/一月一日元旦.jpg"],
    ["Ā/Ȁ.jpg", "Ԁ.jpg"],  # characters whose low byte is zero
    [f"folder/{i:06}.jpg" for i in range(6_000)],  # longer than the sample
    ["\U0001f415.jpg", "x.jpg"],
]
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def read(content, **options):
    return list(read_paths(io.BytesIO(content), **options))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("paths", LISTS, ids=range(len(LISTS)))
def test_encodings_with_a_mark(paths, encoding, ending):
    for last in (ending, "", ending * 3):
        text = ending.join(paths) + last
        assert read(MARKS[encoding] + text.encode(encoding)) == paths


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("paths", LISTS, ids=range(len(LISTS)))
def test_encodings_without_a_mark(paths, encoding, ending):
    text = ending.join(paths)
    assert read((text + ending).encode(encoding)) == paths
    if len(paths) > 1 or paths[0].isascii() or encoding == "utf-8":
        assert read(text.encode(encoding)) == paths
    else:  # one line without an end, in which most characters are other than Latin ones
        with pytest.raises(ValueError, match="zero byte"):
            read(text.encode(encoding))


def test_empty_lists_and_lines():
    for content in (b"", b"\n\n", b"\r\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b" \n\t\n"):
        assert read(content) == []
    assert read(b"\n a.jpg \n\nb.jpg") == [" a.jpg ", "b.jpg"]


names = st.lists(
    st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name), max_size=30
)


@given(names)
def test_any_names_with_zero_bytes_between(names):
    expected = list(map(os.fsdecode, names))
    content = b"".join(name + b"\0" for name in names)
    assert read(content, null=True) == expected
    if names and not names[-1].endswith(b"\n"):
        assert read(content[:-1], null=True) == expected


@given(names)
def test_any_names_on_lines(names):
    """Bytes as the system has them, whatever the encoding; not so odd as to be a mark."""
    names = [name.translate(None, b"\r\n\xff\xfe\xef").strip() for name in names]
    names = [name for name in names if name and os.fsdecode(name).strip()]
    assert read(b"\n".join(names)) == list(map(os.fsdecode, names))


@pytest.mark.skipif(os.name != "posix", reason="needs find")
def test_find(tmp_path):
    for name in ("a.jpg", "two\nlines.jpg", os.fsdecode(b"\xef\xbb\xbf\xff.jpg")):
        try:
            (tmp_path / name).write_bytes(b"")
        except OSError:
            pytest.skip("this file system has no such names")
    found = subprocess.run(
        ["find", ".", "-name", "*.jpg", "-print0"], cwd=tmp_path, capture_output=True, check=True
    )
    expected = sorted(f"./{name}" for name in os.listdir(tmp_path))
    assert sorted(read(found.stdout, null=True)) == expected
    with pytest.raises(ValueError, match=r"line 1 holds a zero byte.*print0.*--null"):
        read(found.stdout)


def test_what_is_no_list():
    many = b"x" * 70_000
    with pytest.raises(ValueError, match="line 2 is longer than any path"):
        read(b"a.jpg\n" + many + many)
    with pytest.raises(ValueError, match="path 1 is longer than any path"):
        read(many * 3, null=True)
    with pytest.raises(ValueError, match=r"no zero byte in it.*leave --null out"):
        read(b"a.jpg\nb.jpg\n", null=True)
    with pytest.raises(ValueError, match="line 2 holds a zero byte"):
        read(b"a.jpg\nb\0.jpg\n")
    lone = "a.jpg\n\ud800.".encode("utf-16-be", "surrogatepass")
    for content in (b"\xff\xfea\0b", codecs.BOM_UTF16_BE + lone):
        with pytest.raises(ValueError, match=r"starts as utf-16-.e, and goes on as something"):
            read(content)


def test_only_what_is_needed_is_read():
    class Endless(io.RawIOBase):
        n_read = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.n_read += len(buffer)
            buffer[:] = (b"a.jpg\n" * len(buffer))[: len(buffer)]
            return len(buffer)

    stream = Endless()
    paths = read_paths(io.BufferedReader(stream))
    assert [next(paths) for _ in range(100)] == ["a.jpg"] * 100
    assert stream.n_read < 2**20


# Names that do not exist --------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/cat/1.jpg", "photos/cat/a b.jpg", "photos/é.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return "photos"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cat/1.jpg 0", "'cat/1.jpg' is; these are a path and a label"),
        ("cat/1.jpg\t0", "a table: keep column 1"),
        ("cat/1.jpg,cat", "a table: keep column 1"),
        ('"cat/1.jpg","cat"', "a table: keep column 1"),
        ("0;cat/1.jpg;x", "a table: keep column 2"),
        ("17 cat/1.jpg", "a number and a path"),
        ("cat/a b.jpg 3 1", "'cat/a b.jpg' is; these are a path and a label"),
        ("cat\\1.jpg", "write / for"),
        ("'cat/1.jpg'", "leave out the quotes"),
        (" cat/1.jpg ", "spaces around"),
        ("photos/cat/1.jpg", r"there without 'photos' before them: give '\.'"),
        ("cat", "these are folders .'cat', ...."),
        ("e\u0301.jpg", "another form of Unicode"),
        # where the path is not there either
        ("dog/1.jpg 0", "'dog/1.jpg 0' look like a path and a label: .*cut"),
        ("dog/1.jpg,dog", "a CSV table: .*cut -d,"),
        ("dog/1.JPG;dog", "a CSV table"),
        ("dog/1.jpg\tdog", "a table: .*cut -f1"),
        ("https://example.org/1.jpg", "is an address: download"),
    ],
)
def test_hints(root, name, hint):
    assert re.search(hint, explain_missing([name, name], root)), explain_missing([name], root)


def test_addresses_of_files(root, tmp_path):
    address = (tmp_path / "photos" / "cat" / "a b.jpg").as_uri()
    assert "pass paths, not addresses" in explain_missing([address], root)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["cat/1.jpg", "x.jpg 0"],  # one is there: the list is right
        ["gone.jpg"],
        ["my photo.jpg copy.jpg"],
        ["a\0b.jpg"],
        ["x" * 5000],
        [os.fsdecode(b"\xff.jpg")],
    ],
)
def test_no_hint(root, names):
    assert explain_missing(names, root) == ""


@pytest.mark.slow
@given(st.lists(st.text(max_size=40), max_size=3))
def test_any_names_are_looked_at(names):
    assert isinstance(explain_missing(names, "nowhere"), str)
