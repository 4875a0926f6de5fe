"""``.npz`` archives."""

import io
import struct
import zipfile

import numpy as np
import pytest

from sklearn_decaf.exceptions import WeightsError
from sklearn_decaf.networks.formats import npz
from sklearn_decaf.networks.formats._zip import Archive

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def read(content):
    found = npz.read(Archive(memoryview(content)))
    return found.tensors, found.metadata


def save(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version)
    return stream.getvalue()


def zipped(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "<i8", "|b1"])
def test_reads_what_numpy_saves(compressed, order, dtype):
    kernel = np.asarray(KERNEL, dtype, order=order)
    content = save(compressed, kernel=kernel, scalar=kernel[0, 0, 1], empty=kernel[:0])
    tensors, metadata = read(content)
    assert metadata == {}
    np.testing.assert_array_equal(tensors["kernel"], kernel)
    assert tensors["scalar"].shape == ()
    assert tensors["empty"].shape == (0, 3, 4)
    assert not tensors["kernel"].flags.writeable


def test_text_is_metadata():
    tensors, metadata = read(save(x=KERNEL, architecture="caffenet", empty=""))
    assert list(tensors) == ["x"]
    assert metadata == {"architecture": "caffenet", "empty": ""}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_the_header(version):
    tensors, _ = read(zipped([("x.npy", npy(KERNEL, version))]))
    np.testing.assert_array_equal(tensors["x"], KERNEL)


NPY = npy(KERNEL)


def header(text):
    raw = text.encode("latin-1").ljust(118 - len("\n")) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + KERNEL.tobytes()


def in_npz(content):
    return zipped([("x.npy", content)])


def encrypted():
    content = bytearray(in_npz(NPY))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def overlapping():
    """Two entries of the directory that point at one member."""
    content = zipped([("a.npy", NPY), ("b.npy", NPY)])
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    return content[: second + 42] + bytes(4) + content[second + 46 :]


def twice():
    content = zipped([("a.npy", NPY), ("b.npy", NPY)])
    return content.replace(b"b.npy", b"a.npy")


FORMAT = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"
BAD = {
    "an array of objects": (
        save(x=np.array([{}, 1], object)),
        "'x': the pickle holds no arrays of",
    ),
    "text array": (save(x=np.array(["a", "b"])), "not one short string"),
    "long text": (save(x="a" * 2000), "not one short string"),
    "structured": (save(x=np.zeros(2, "f4,f4")), "not one that NumPy writes"),
    "dates": (save(x=np.zeros(2, "M8[s]")), "of type '<M8\\[s\\]'"),
    "complex": (save(x=np.zeros(2, "c8")), "of type '<c8'"),
    "long double": (save(x=np.zeros(2, "g")), "of type '<f16'"),
    "code in the header": (in_npz(header("__import__('os').system('true')")), "NumPy writes"),
    "an expression for a shape": (in_npz(header(FORMAT % ("<f4", "(2,)*12"))), "NumPy writes"),
    "nested header": (in_npz(header("(" * 100)), "NumPy writes"),
    "a negative shape": (in_npz(header(FORMAT % ("<f4", "(-24,)"))), "NumPy writes"),
    # a careless pattern tries every way to cut the digits up, and never ends
    "a shape of many digits": (in_npz(header(FORMAT % ("<f4", "(" + "1" * 60))), "NumPy writes"),
    "another shape": (in_npz(header(FORMAT % ("<f4", "(2, 3, 5)"))), "takes 120 bytes, but 96"),
    "a huge shape": (in_npz(header(FORMAT % ("<f4", "(99999999999, 9)"))), "takes|entries"),
    "many axes": (in_npz(header(FORMAT % ("<f4", "(24,%s)" % ("1," * 9)))), "at most 8"),
    "a long header": (in_npz(NPY[:8] + b"\xff\xff" + NPY[10:]), "header of 65535"),
    "another version": (in_npz(NPY[:6] + b"\x09" + NPY[7:]), "version 9.0"),
    "no npy": (in_npz(b"hello, this is text"), "not in NumPy's .npy format"),
    "an empty member": (in_npz(b""), "not in NumPy's .npy format"),
    "another suffix": (zipped([("x.txt", NPY)]), "'x.txt', which is no .npy member"),
    "short data": (in_npz(NPY[:-1]), "takes 96 bytes, but 95"),
    "long data": (in_npz(NPY + b"\0"), "takes 96 bytes, but 97"),
    "another compression": (zipped([("x.npy", NPY)], zipfile.ZIP_BZIP2), "unknown compression"),
    "encrypted": (encrypted(), "encrypted"),
    "overlapping members": (overlapping(), "overlap|damaged"),
    "one name twice": (twice(), "two members of one name"),
    "a wrong checksum": (in_npz(NPY).replace(KERNEL.tobytes(), bytes(96)), "damaged"),
    "many members": (zipped([(f"{i}.npy", b"") for i in range(10_001)]), "10001 members"),
    "no directory": (in_npz(NPY)[:100], "damaged zip archive"),
    "no zip": (b"PK\x03\x04", "damaged zip archive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_an_error(case):
    content, message = BAD[case]
    with pytest.raises(WeightsError, match=message):
        read(content)


def test_a_zip_bomb_is_not_unpacked():
    content = save(compressed=True, x=np.zeros(2_000_000, np.float32))
    with pytest.raises(WeightsError, match="zip bomb"):
        read(content)


def test_a_bomb_that_lies_about_its_size():
    content = bytearray(save(compressed=True, x=np.zeros(2_000_000, np.float32)))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = (96).to_bytes(4, "little")
    with pytest.raises(WeightsError, match="damaged"):
        read(bytes(content))


def test_a_list_of_members_that_would_fill_the_memory():
    """Of zip archives the standard library reads the whole list before anything can be counted."""
    entry = b"PK\x01\x02" + bytes(24) + (1).to_bytes(2, "little") + bytes(16) + b"x"
    directory = entry * 100_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 0, 0)
    with pytest.raises(WeightsError, match="4,194,304 bytes would be read"):
        Archive(memoryview(directory + end))


def test_every_truncation_is_noticed():
    content = save(x=KERNEL)
    for n in range(len(content)):
        with pytest.raises(WeightsError):
            read(content[:n])
