"""Intact image files of kinds that Pillow, or this package, does not read.

Those of JPEG, JPEG XL and their kin were written by imagecodecs from 8 x 8 grey pixels, the TIFF
files are written by tifffile, and the rest has the first bytes of such files.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import tifffile
from oracles.bad_images import encode, photo, png, png_chunk

_WRITTEN = {
    "12-bit JPEG": (
        b"|JeWF01!$>Nk#wx0RR9200961|JwjV00IF40RaI50RaI50s;a81OoyB0s;jD1Oo&H1qKEN1qKEN2MGuU2MGrT1_%"
        b"oX2?`1d3JL}Y3k(Yi3<(Mf3je_X3k(1V00;pA5di<h02BZL0000000000000000000A|HJ?k5CH%H000000000000"
        b"0000095m00;pA002J#Kkxt9"
    ),
    "JPEG-LS": (
        b"|JeWN03cIPNk&Eh0ssI300008000083J3-P0003j0003j|L6b+00001|JeWc01F5J2mlBH0TBTI+5iXv0RR9100001"
        b"?v?ZZfB)G"
    ),
    "JPEG XL": b"{|Z4sBnSin06YLo7>gBv9n}8-7|^epzyS",
    "JPEG XL container": (
        b"0000CN?1%F4GM<}0000KW^{RQYItlQ00000YItlQ0000YYItm8{|Z4sBnSin06YLo7>gBv9n}8-7|^epzyS"
    ),
    "QOI": b"ac^m600008000080|5SbczFH50000000001",
}
WRITTEN = {name: base64.b85decode(content) for name, content in _WRITTEN.items()}

JPEG_ARITHMETIC = base64.b85decode(  # by cjpeg -arithmetic, from 8 x 8 pixels of (120, 120, 120)
    b"|JeWF01!$>Nk#wx0RR9200961|JwjV00;&K2L=TQ2L}fU2?z=d6b%du3k(?&6Au&}8Xq1V8XO!TBrYc)A}k{u94I#_EHE"
    b")NG&CP4IXyTsJT5adGXL8ELjeg12@DGi7!3^=G9erxGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqUGBPqU"
    b"GBPqUGBPqUGBW?k01*fP2mlBJ0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zfx_CWvH"
)


def tiff(pixels, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def with_tag(file: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF file with another value of a tag that it has once, as 16 bits."""
    start = int.from_bytes(file[4:8], "little")
    for entry in range(start + 2, start + 2 + 12 * file[start], 12):
        if int.from_bytes(file[entry : entry + 2], "little") == tag:
            value = value.to_bytes(4, "little")
            return file[: entry + 8] + value + file[entry + 12 :]
    raise ValueError(f"no tag {tag}")


def with_frame_marker(jpeg: bytes, marker: int) -> bytes:
    """A JPEG file that says its frame is coded in another way."""
    start = jpeg.index(b"\xff\xc0")
    return jpeg[:start] + bytes([0xFF, marker]) + jpeg[start + 2 :]


def raw_photograph() -> bytes:
    """A TIFF file as cameras write them: a preview first, and the photograph below it."""
    preview = np.zeros((12, 16, 3), np.uint8)
    sensor = np.zeros((64, 96), np.uint16)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(preview, photometric="rgb", subifds=1, subfiletype=1)
        writer.write(
            sensor, photometric=32803, subfiletype=0, extratags=[(50706, 1, 4, b"\1\4\0\0")]
        )
    return buffer.getvalue()


def unread_kinds() -> dict[str, tuple[bytes, str]]:
    """Files by their names, with a pattern of what is said of them."""
    pixels = photo(40, 60)
    floats = (pixels / 255).astype(np.float32)
    jpeg = encode(pixels, "JPEG")
    planes = np.moveaxis(pixels, 2, 0)
    eight = np.dstack([pixels, pixels, pixels[..., :2]])
    apple = png_chunk(b"CgBI", b"P\0 \6")
    bmp = bytearray(encode(pixels, "BMP"))
    bmp[30] = 4  # compression: a JPEG file inside
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.jpg", jpeg)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    rgb_tiff = tiff(pixels, photometric="rgb")
    sensor = tiff(pixels[..., 0], photometric=32803)
    kinds = {
        "12-bit JPEG": (WRITTEN["12-bit JPEG"], "a JPEG image of 12-bit values, which Pillow"),
        "JPEG-LS": (WRITTEN["JPEG-LS"], "a JPEG-LS image, which Pillow does not read: convert"),
        "hierarchical JPEG": (
            with_frame_marker(jpeg, 0xC5),
            "JPEG image with hierarchical coding, which this build of Pillow does not read, unless",
        ),
        "JPEG of 2 colours": (
            jpeg[: jpeg.index(b"\xff\xc0") + 9] + b"\2" + jpeg[jpeg.index(b"\xff\xc0") + 10 :],
            "a JPEG image of 2 colours, which Pillow does not read",
        ),
        "JPEG XL": (WRITTEN["JPEG XL"], "^a JPEG XL image: convert it"),
        "JPEG XL in a container": (WRITTEN["JPEG XL container"], "^a JPEG XL image: convert it"),
        "JPEG 2000": (encode(pixels, "JPEG2000"), r"^a JPEG 2000 image: open it with PIL\.Image"),
        "JPEG 2000, codestream": (
            encode(pixels, "JPEG2000", no_jp2=True),
            "^a JPEG 2000 image: open it",
        ),
        "JPEG XR": (b"II\xbc\1" + bytes(60), "^a JPEG XR image: convert"),
        "QOI": (WRITTEN["QOI"], "^a QOI image: open it"),
        "PSD": (b"8BPS\0\1" + bytes(60), r"^a Photoshop image \(PSD\): open it"),
        "ICO": (encode(pixels, "ICO"), "^an icon or a TGA image: open it"),
        "HEIC": (b"\0\0\0\x18ftypheic" + bytes(40), "^a HEIC image: .*pillow-heif"),
        "PAM": (b"P7\nWIDTH 1\n", "^a PAM image"),
        "DICOM": (bytes(128) + b"DICM" + bytes(9), "^a DICOM image: pass pydicom"),
        "OpenEXR": (b"v/1\1\2\0\0\0", "^an OpenEXR image"),
        "float32 RGB TIFF": (
            tiff(floats, photometric="rgb"),
            "a TIFF image of 3 x 32-bit floats a pixel, which Pillow does not read: read it with",
        ),
        "float64 TIFF": (tiff(floats[..., 0].astype(float)), "1 x 64-bit floats a pixel"),
        "uint32 RGB TIFF": (
            tiff(pixels.astype(np.uint32), photometric="rgb"),
            "3 x 32-bit integers a pixel",
        ),
        "TIFF of 8 bands": (
            tiff(eight, photometric="minisblack", planarconfig="contig"),
            "a TIFF image of 8 x 8-bit integers a pixel, which Pillow does not read",
        ),
        "TIFF of 8 planes": (
            tiff(np.moveaxis(eight, 2, 0), photometric="minisblack", planarconfig="separate"),
            "a TIFF image of 8 x 8-bit integers a pixel, which Pillow does not read",
        ),
        "complex TIFF": (tiff(floats[..., 0].astype(np.complex64)), "1 x 64-bit complex a pixel"),
        "JPEG 2000 in TIFF": (
            with_tag(rgb_tiff, 259, 34712),
            "a TIFF image compressed with JPEG 2000, which Pillow does not read",
        ),
        "unknown method in TIFF": (
            with_tag(rgb_tiff, 259, 12345),
            "a TIFF image compressed with method 12345, which Pillow",
        ),
        "WebP in TIFF": (
            with_tag(rgb_tiff, 259, 50001),
            "a TIFF image compressed with WebP, which this build of Pillow does not read, unless",
        ),
        "16-bit planes in TIFF": (
            tiff(planes.astype(np.uint16) * 257, photometric="rgb", planarconfig="separate"),
            "a TIFF image of 3 x 16-bit integers a pixel in planes, which Pillow misreads",
        ),
        "DNG": (raw_photograph(), r"^a raw photograph of a camera: develop it, with rawpy"),
        "sensor data in TIFF": (sensor, "^a raw photograph of a camera"),
        "CR2": (
            rgb_tiff[:8] + b"CR\2\0" + rgb_tiff[12:],
            "^a raw photograph of a camera",
        ),
        "RAF": (b"FUJIFILMCCD-RAW 0201", "^a raw photograph of a camera"),
        "CR3": (b"\0\0\0\x18ftypcrx " + bytes(40), "^a raw photograph of a camera"),
        "PNG of Xcode": (
            png(60, 40, 8, 2, bytes(40 * 181), before=apple, wbits=-15),
            "a PNG image as Xcode packs it for iPhones, which Pillow does not read",
        ),
        "JPEG in BMP": (bytes(bmp), r"a kind of BMP image that Pillow does not read \(Unsupported"),
        "gzip": (gzip.compress(jpeg), "^not an image but gzip data: decompress it"),
        "bzip2": (bz2.compress(jpeg), "^not an image but bzip2 data"),
        "xz": (lzma.compress(jpeg), "^not an image but xz data"),
        "LZMA": (lzma.compress(jpeg, lzma.FORMAT_ALONE), "^not an image but LZMA data"),
        "Zstandard": (b"\x28\xb5\x2f\xfd" + bytes(9), "^not an image but Zstandard data"),
        "zip": (zipped.getvalue(), "^not an image but a zip archive: unpack it"),
        "tar": (tarred.getvalue(), "^not an image but a tar archive"),
        "PDF": (b"%PDF-1.7\n\0\1" + bytes(99), "^not an image but a PDF document: render it"),
        "EPS": (encode(pixels, "EPS"), "^not an image but a PostScript document"),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "^not an image but an SVG drawing"),
        "SVG after an XML header": (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
        "MP4": (b"\0\0\0\x18ftypmp42" + bytes(40), "^not an image but a video: pass single frames"),
        "AVI": (b"RIFF\0\0\0\0AVI LIST", "^not an image but a video"),
        "Parquet": (b"PAR1" + bytes(20), "^not an image but a Parquet file"),
        "base64": (base64.b64encode(jpeg), r"base64 text: pass what base64\.b64decode"),
        "zeros": (bytes(5000), r"^not an image but zero bytes \(512 of them, or more\)"),
        "AppleDouble": (b"\0\5\x16\7\0\2\0\0" + bytes(90), "what macOS keeps beside a file"),
        "pickle": (b"\x80\4\x95" + bytes(9), "a Python pickle"),
    }  # fmt: skip
    return kinds
