"""Signatures of files that are no images, or in an image format that is not read.

The first bytes of a file give its name and what to do about it, for the message of an error.
"""

from __future__ import annotations

import re

#: Bytes at the beginning of a file that are enough to name it.
ENOUGH = 512

_OPEN = "open it with PIL.Image.open and pass the PIL image"
_CONVERT = "convert it to PNG or JPEG, or decode it and pass its pixels as an array"
_DEVELOP = "develop it, with rawpy.imread(path).postprocess(), say, and pass the array"
_RENDER = "render it to PNG"
_DECOMPRESS = "decompress it, and pass the file or the bytes that come out"
_UNPACK = "unpack it, and pass the images in it"
_FRAMES = "pass single frames, as arrays or image files"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

RAW_PHOTOGRAPH = f"a raw photograph of a camera: {_DEVELOP}"

# Names, with the bytes by which a file is known and where they stand.
_IMAGES = {
    f"a JPEG 2000 image: {_OPEN}": [(0, b"\0\0\0\x0cjP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")],
    f"a JPEG XL image: {_CONVERT}": [(0, b"\0\0\0\x0cJXL \r\n\x87\n"), (0, b"\xff\x0a")],
    f"a JPEG XR image: {_CONVERT}": [(0, b"II\xbc")],
    "a HEIC image: pass a PIL image (with pillow-heif, Pillow opens it), or convert it to JPEG": [
        (4, b"ftyp" + brand) for brand in _HEIF_BRANDS
    ],
    f"an AVIF image, which this build of Pillow does not read: {_CONVERT}": [
        (4, b"ftypavif"),
        (4, b"ftypavis"),
    ],
    RAW_PHOTOGRAPH: [
        *[(0, magic) for magic in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")],
        *[(0, b"FOVb"), (0, b"\0MRM"), (6, b"HEAPCCDR"), (4, b"ftypcrx ")],
    ],
    f"a Photoshop image (PSD): {_OPEN}": [(0, b"8BPS")],
    f"a GIMP image (XCF): {_CONVERT}": [(0, b"gimp xcf")],
    f"an icon or a TGA image: {_OPEN}": [
        *[(0, magic) for magic in (b"\0\0\1\0", b"\0\0\2\0", b"\0\0\3\0\0\0", b"\0\0\x0a\0\0\0")],
        (0, b"icns"),
    ],
    f"a QOI image: {_OPEN}": [(0, b"qoif")],
    f"a DDS image: {_OPEN}": [(0, b"DDS ")],
    f"an SGI image: {_OPEN}": [(0, b"\x01\xda")],
    f"a PAM image: {_CONVERT}": [(0, b"P7\n")],
    f"a PFM image: {_CONVERT}": [(0, b"PF\n")],
    f"an OpenEXR image: {_CONVERT}": [(0, b"v/1\x01")],
    f"a Radiance HDR image: {_CONVERT}": [(0, b"#?RADIANCE"), (0, b"#?RGBE")],
    f"a DPX image: {_CONVERT}": [(0, b"SDPX"), (0, b"XPDS")],
    f"a BPG image: {_CONVERT}": [(0, b"BPG\xfb")],
    f"a FLIF image: {_CONVERT}": [(0, b"FLIF")],
    "a FITS image: pass astropy.io.fits.getdata(path), scaled to [0, 1]": [(0, b"SIMPLE  =")],
    "a DICOM image: pass pydicom.dcmread(path).pixel_array, scaled to [0, 1]": [(128, b"DICM")],
}
_OTHERS = {
    f"a PDF document: {_RENDER}": [(0, b"%PDF")],
    f"a PostScript document: {_RENDER}": [(0, b"%!PS"), (0, b"\xc5\xd0\xd3\xc6")],
    f"a DjVu document: {_RENDER}": [(0, b"AT&TFORM")],
    f"a drawing of Windows (EMF, WMF): {_RENDER}": [(40, b" EMF"), (0, b"\xd7\xcd\xc6\x9a")],
    "a Microsoft Office document, or a Thumbs.db": [(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")],
    f"gzip data: {_DECOMPRESS}": [(0, b"\x1f\x8b")],
    f"bzip2 data: {_DECOMPRESS}": [(0, b"BZh")],
    f"xz data: {_DECOMPRESS}": [(0, b"\xfd7zXZ\0")],
    f"LZMA data: {_DECOMPRESS}": [(0, b"]\0\0")],
    f"Zstandard data: {_DECOMPRESS}": [(0, b"\x28\xb5\x2f\xfd")],
    f"LZ4 data: {_DECOMPRESS}": [(0, b"\x04\x22\x4d\x18")],
    f"lzip data: {_DECOMPRESS}": [(0, b"LZIP")],
    f"compressed data (.Z): {_DECOMPRESS}": [(0, b"\x1f\x9d")],
    f"a zip archive: {_UNPACK}": [(0, b"PK\x03\x04"), (0, b"PK\x05\x06")],
    f"a 7z archive: {_UNPACK}": [(0, b"7z\xbc\xaf\x27\x1c")],
    f"a RAR archive: {_UNPACK}": [(0, b"Rar!\x1a\x07")],
    f"a tar archive: {_UNPACK}": [(257, b"ustar")],
    f"a video: {_FRAMES}": [
        *[(4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI LIST")],
        *[
            (0, b"\0\0\x01\xba"),
            (0, b"\0\0\x01\xb3"),
            (0, b"0&\xb2u\x8ef\xcf\x11"),
            (0, b"FLV\x01"),
        ],
    ],
    "sound": [(8, b"WAVE"), (0, b"OggS"), (0, b"ID3"), (0, b"fLaC")],
    "a NumPy file: pass the array, np.load(path)": [(0, b"\x93NUMPY")],
    "a MATLAB file: pass the arrays in it, scipy.io.loadmat(path)": [(0, b"MATLAB 5.0")],
    "an HDF5 file: pass the arrays in it": [(0, b"\x89HDF\r\n\x1a\n")],
    "a Parquet file: pass the column that holds the images": [(0, b"PAR1")],
    "an Arrow file: pass the column that holds the images": [(0, b"ARROW1")],
    "an SQLite database": [(0, b"SQLite format 3\0")],
    "a Python pickle": [(0, b"\x80\x04\x95"), (0, b"\x80\x05\x95")],
    "what macOS keeps beside a file ('._name'): pass the file itself": [(0, b"\0\x05\x16\x07")],
    "a shortcut of Windows: pass the file that it stands for": [(0, b"L\0\0\0\x01\x14\x02\0")],
}
# Beginnings of JPEG, PNG, GIF and WebP files in base64.
_BASE64 = re.compile(rb"(/9j/|iVBORw0KGgo|R0lGOD|UklGR)[A-Za-z0-9+/=_-]{8}")


def name_foreign_file(start: bytes, formats: str, *, in_memory: bool) -> str:
    """Say what a file is that has none of the formats that are read, and what to do about it.

    Parameters
    ----------
    start : bytes
        The first `ENOUGH` bytes of the file, or all that there are.
    formats : str
        The formats that are read.
    in_memory : bool
        Whether the file was passed as bytes.
    """
    name = _find_signature(_IMAGES, start)
    if name is not None:
        return name
    name = _find_signature(_OTHERS, start) or _name_text(start, formats, in_memory)
    return f"not an image but {name or f'data in a format other than {formats}'}"


def _find_signature(signatures, start: bytes) -> str | None:
    for name, places in signatures.items():
        if any(start.startswith(signature, offset) for offset, signature in places):
            return name
    return None


def _name_text(start: bytes, formats: str, in_memory: bool) -> str | None:
    if not any(start):
        return (
            f"zero bytes ({len(start)} of them, or more), as a crash or a copy that was broken off "
            "leaves them: fetch it again"
        )
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, such as servers send when a download fails"
    if text.startswith((b"<svg", b"<!doctype svg")) or (
        text.startswith(b"<?xml") and b"<svg" in text
    ):
        return f"an SVG drawing: {_RENDER}"
    if text.startswith(b"<?xml"):
        return "XML, such as servers send when a download fails"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer to one, which `git lfs pull` replaces by the file"
    if b"/annex/objects/" in text:
        return "a git-annex pointer to one, which `git annex get` replaces by the file"
    if _BASE64.match(start):
        return "base64 text: pass what base64.b64decode makes of it"
    if not start.isascii() or b"\0" in start:
        return None
    if in_memory:
        return "text: bytes must be the contents of an image file, and a path a str"
    return f"text, where files may be {formats}"
