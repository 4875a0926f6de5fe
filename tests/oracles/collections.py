"""Published data sets in their real layouts, with a few tiny images each."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy.io import savemat

from sklearn_decaf.datasets import _caltech101, _cub200, _office31, _sun397
from sklearn_decaf.datasets._collection import Archive


def jpeg(number: int) -> bytes:
    stream = io.BytesIO()
    colour = tuple(37 * number * k % 256 for k in (1, 2, 3))
    Image.new("RGB", (12 + number % 5, 10), colour).save(stream, "JPEG")
    return stream.getvalue()


def tar_gz(files: dict[str, bytes], prefix: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        folders = set()
        for name, content in files.items():
            parent = name.rpartition("/")[0]
            if parent and parent not in folders:
                folders.add(parent)
                folder = tarfile.TarInfo(prefix + parent)
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)  # the same bytes at any time


def zip_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


CALTECH_CLASSES = ["BACKGROUND_Google", "accordion", "airplanes", "yin_yang"]


def caltech101() -> dict[str, bytes]:
    """A zip that holds a tar, as published, with what else is in it."""
    images = {
        f"101_ObjectCategories/{name}/image_{i:04}.jpg": jpeg(10 * c + i)
        for c, name in enumerate(CALTECH_CLASSES)
        for i in range(1, 4)
    }
    images["101_ObjectCategories/BACKGROUND_Google/tmp"] = jpeg(99)
    images["101_ObjectCategories/._accordion"] = b"junk"
    return {
        "caltech-101.zip": zip_of(
            {
                "caltech-101/": b"",
                "caltech-101/101_ObjectCategories.tar.gz": tar_gz(images),
                "__MACOSX/caltech-101/._101_ObjectCategories.tar.gz": b"junk",
                "caltech-101/Annotations.tar": b"",
                "caltech-101/show_annotation.m": b"function",
            }
        )
    }


BIRDS = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
PARTS = ["back", "beak", "left eye"]


def cub200_2011(per_class: int = 4) -> dict[str, bytes]:
    paths = [f"{bird}/{bird[4:]}_{i:04}_{796 + i}.jpg" for bird in BIRDS for i in range(per_class)]
    ids = range(1, len(paths) + 1)
    lines = {
        "images.txt": [f"{i} {path}" for i, path in zip(ids, paths)],
        "classes.txt": [f"{i} {bird}" for i, bird in enumerate(BIRDS, start=1)],
        "image_class_labels.txt": [f"{i} {(i - 1) // per_class + 1}" for i in ids],
        "train_test_split.txt": [f"{i} {i % 2}" for i in ids],
        "bounding_boxes.txt": [f"{i} {i}.0 2.0 5.0 6.5" for i in ids],
        "parts/parts.txt": [f"{i} {part}" for i, part in enumerate(PARTS, start=1)],
        "parts/part_locs.txt": [f"{i} {p} {i}.5 {p}.0 {p % 2}" for i in ids for p in (1, 2, 3)],
        "README": ["=== The Caltech-UCSD Birds-200-2011 Dataset ==="],
    }
    files = {f"CUB_200_2011/{name}": "\n".join(rows).encode() for name, rows in lines.items()}
    files |= {f"CUB_200_2011/images/{path}": jpeg(i) for i, path in enumerate(paths)}
    files["attributes.txt"] = b"1 has_bill_shape::curved"
    return {"CUB_200_2011.tgz": tar_gz(files, "./")}


def cub200_2010() -> dict[str, bytes]:
    paths = [f"{bird}/{bird[4:]}_{i:04}_2950163{i}.jpg" for bird in BIRDS for i in range(4)]
    annotations = {}
    for i, path in enumerate(paths):
        stream = io.BytesIO()
        box = {"left": 1 + i, "top": 2, "right": 8 + i, "bottom": 9}
        savemat(stream, {"bbox": box, "seg": np.zeros((10, 12), bool), "imageurl": "http://x"})
        annotations[f"annotations-mat/{path[:-4]}.mat"] = stream.getvalue()
    lists = {
        "lists/files.txt": "\n".join(paths).encode(),
        "lists/train.txt": "\n".join(paths[::2]).encode() + b"\n",
        "lists/test.txt": "\r\n".join(paths[1::2]).encode() + b"\r\n",
    }
    images = {f"images/{path}": jpeg(i) for i, path in enumerate(paths)}
    images |= {f"images/{bird}/._{bird}": b"junk" for bird in BIRDS}
    return {
        "CUB_200_2010_lists.tgz": tar_gz(lists),
        "CUB_200_2010_annotations.tgz": tar_gz(annotations),
        "CUB_200_2010_images.tgz": tar_gz(images),
    }


SCENES = ["a/abbey", "a/airplane_cabin", "b/bakery/shop"]
SUN_NUMBERS = {"n_classes": 3, "n_per_class": 2}


def sun397() -> dict[str, bytes]:
    names = {scene: [f"sun_{c}{i}.jpg" for i in range(5)] for c, scene in enumerate(SCENES)}
    images = {
        f"SUN397/{scene}/{name}": jpeg(7 * c + i)
        for c, scene in enumerate(SCENES)
        for i, name in enumerate(names[scene])
    }
    class_names = "".join(f"/{scene}\n" for scene in SCENES).encode()
    partitions = {"ClassName.txt": class_names}
    for number in range(1, 11):
        for kind, shift in (("Training", 0), ("Testing", 2)):
            chosen = [
                f"/{scene}/{names[scene][(number + shift + k) % 5]}"
                for scene in SCENES
                for k in range(2)
            ]
            partitions[f"{kind}_{number:02}.txt"] = "\n".join(chosen).encode()
    return {
        "SUN397.tar.gz": tar_gz({"SUN397/ClassName.txt": class_names, **images}),
        "Partitions.zip": zip_of({f"Partitions/{name}": t for name, t in partitions.items()}),
    }


OFFICE = {"amazon": 4, "dslr": 2, "webcam": 3}
THINGS = ["back_pack", "bike"]


def office31() -> dict[str, bytes]:
    files = {
        f"{domain}/images/{thing}/frame_{i:04}.jpg": jpeg(i)
        for domain, n in OFFICE.items()
        for thing in THINGS
        for i in range(1, n + 1)
    }
    return {"domain_adaptation_images.tar.gz": tar_gz(files)}


def published(archive: Archive, content: bytes, url: str) -> Archive:
    """An archive whose checksums and addresses are those of a tiny one."""
    return replace(
        archive,
        urls=(url,),
        size=archive.size and len(content),
        sha256=archive.sha256 and hashlib.sha256(content).hexdigest(),
    )


def shrink(monkeypatch, url_of) -> dict[str, dict[str, bytes]]:
    """Have the fetchers expect the tiny data sets, at addresses made by ``url_of(name)``.

    Returns the archives of each data set, as a dict of contents by name.
    """
    made = {
        "caltech101": caltech101(),
        "sun397": sun397(),
        "office31": office31(),
        "cub200_2011": cub200_2011(),
        "cub200_2010": cub200_2010(),
    }

    def tiny(collection, **numbers):
        contents = made[collection.name]
        archives = tuple(
            published(archive, contents[archive.name], url_of(archive.name))
            for archive in collection.archives
        )
        return replace(collection, archives=archives, **numbers)

    for module, numbers in (
        (_caltech101, {"n_classes": len(CALTECH_CLASSES), "n_images": 12}),
        (_sun397, SUN_NUMBERS),
        (_office31, {"n_classes": 2, "n_images": tuple(2 * n for n in OFFICE.values())}),
    ):
        monkeypatch.setattr(module, "COLLECTION", tiny(module.COLLECTION, **numbers))
    for version, collection in _cub200.COLLECTIONS.items():
        smaller = tiny(collection, n_classes=len(BIRDS), n_images=12)
        monkeypatch.setitem(_cub200.COLLECTIONS, version, smaller)
    return made
