"""Files of Office-Caltech10: their sources, their checksums, and their download.

There is no official archive. The files come from the repositories of people who worked with them,
at fixed commits; their checksums were taken from copies that agree with the published numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .._utils.download import download
from ._collection import Archive, Collection
from ._installation import MANIFEST, install, verify_installed
from ._layout import first_with, is_junk, keep_below

# Of the features of amazon and caltech no copy was at hand: what their commit says has to do.
_CHECKSUMS = {
    "{}_SURF_L10.mat": {
        "Caltech10": "4f9334c8ced489d5054de97a5fd51a61f017f3bcd1f38c9a85c6d78cb9d7bda5",
        "amazon": "df32548b994e18d364c99e1f317e1fae100597259f0423a41b90f4f68187bb1f",
        "dslr": "44d673c68e1d07b837893aa74dba3b986e4a6cc3fd66f0dd357683bdef059216",
        "webcam": "a6a9c78b4b7181dfbb58bcfd351d4ebd737f171c31247b8884948aa156d3f700",
    },
    "{}_SURF_L10_imgs.mat": {
        "Caltech10": "9f11333e518aa550464464dc0490576d9779ef7d18b9cbbab5195526d8de5ee5",
        "amazon": "6d1624443b99f69a2f80bdfea25800f49c339db2f702ce06328618ae7e3b7e59",
        "dslr": "ef8db1910ca89c717b8c992de1c4a1923694e6f2138465cee8483924c9aaef45",
        "webcam": "35a6b38a2df34af6f7a34e0030e89f71540aefac84f0ea8645b3a85d57c9e6be",
    },
    "{}_decaf.mat": {
        "dslr": "42443f5e82e98cbe6304cacdba905e24c8430ed977b3d6b7b279f088b76e108f",
        "webcam": "e42207580fb1fadd3adba2504e1d8cff9620f464fca7536f9d7093f84c1459a3",
    },
    "SameCategory_{}_20RandomTrials_10Categories.mat": {
        "amazon-caltech": "f590fa2d221f5cac87c6e8aa0e5d3bd47935adb4a57da690f713e9eea7a798f4",
        "amazon-dslr": "695dce0bc9916ca11d335d585dbfe06cb2f90f6f2d6902c9299926ca17f59a36",
        "amazon-webcam": "df7262cba677c072b7b75cee3fce1801a7c473cd5cdd59bd02f6c84f76e24d99",
        "caltech-amazon": "d1cc45576e5cc002a15c606bdd10aa3f2bf51f932aabfc9f02306eab384bcb88",
        "caltech-dslr": "e0cb33f24a7b33c0241a6f96e430e7a394b85bee0469aab54f09caec43db435f",
        "caltech-webcam": "4e1aab9f29b60021c53dc66b0f168a06ad4de0df1945a02ed092f2738b80a719",
        "dslr-amazon": "045df06cda6b9e80009e0cc97996fc36f638544feb1c06cfdbf648b198ce0212",
        "dslr-caltech": "6dae6b1be9e919db827b2e464c46af82cadf5bbfd924de955800b7fab31611b2",
        "dslr-webcam": "c0f4c6adae5fa73bef2c82d1352aeb28c459593c69d864196577d9f41320fa29",
        "webcam-amazon": "d7baf91c1847c0563be5432fcff3434cf257c1616b4b49d00767ddee77f07dba",
        "webcam-caltech": "995142da1f0b4d011ced76c5419e429c56bfee86d7542bd1e600741ae3ee9f48",
        "webcam-dslr": "0c26db13cd74be9766ef7e9c480eb210dd7e3a1281e37556db88939e2e8e7f10",
    },
}


def _checksums(*patterns: str) -> dict[str, str]:
    return {
        pattern.format(domain): sha256
        for pattern in patterns
        for domain, sha256 in _CHECKSUMS[pattern].items()
    }


@dataclass(frozen=True)
class Source:
    """Source of the files of one kind, and the folder that they are kept in.

    Parameters
    ----------
    folder : str
        Name of their folder below the data home.
    published : str
        Their origin, for messages.
    url : str or None
        Address to which the name of a file is added. None for the images, which are an archive.
    sha256 : mapping of str to str
        The checksums that are known, by the names of the files.
    """

    folder: str
    published: str
    url: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)


_RAW = "https://raw.githubusercontent.com/"

SOURCES = {
    "images": Source(
        "office_caltech10_images", "github.com/LeoGautheron/OfficeCaltechDomainAdaptation, images/"
    ),
    "surf": Source(
        "office_caltech10_surf",
        "GFK_v1.zip at www-scf.usc.edu/~boqinggo/domain_adaptation/, or "
        "github.com/viggin/domain-adaptation-toolbox, ToRelease_GFK/data/",
        f"{_RAW}viggin/domain-adaptation-toolbox/2a991816a0ac39043b526c2b0cbe01bc844d8890/"
        "ToRelease_GFK/data/",
        _checksums("{}_SURF_L10.mat", "{}_SURF_L10_imgs.mat"),
    ),
    "decaf6": Source(
        "office_caltech10_decaf6",
        "github.com/LeiTian-qj/CMMS, data/Office-Caltech10/",
        f"{_RAW}LeiTian-qj/CMMS/1c7c45b858bd400b25c132d178c8e2f603074afc/data/Office-Caltech10/",
        _checksums("{}_decaf.mat"),
    ),
    "splits": Source(
        "office_caltech10_mmdt_splits",
        "github.com/jhoffman/MaxMarginDomainTransforms, DataSplitsOfficeCaltech/",
        f"{_RAW}jhoffman/MaxMarginDomainTransforms/73fed23388ea8c0794976cf0d5f908637502ca1a/"
        "DataSplitsOfficeCaltech/",
        _checksums("SameCategory_{}_20RandomTrials_10Categories.mat"),
    ),
}


@dataclass(frozen=True)
class _Images(Collection):
    n_images: int = 2533
    # of the lines "<sha256>  images/<domain>/<class>/<name>.jpg", in the order of the paths
    sha256: str = "16511c6d0cd0d830033589bf2c5586c17060cf9d71c2900d61866e600738077f"

    def find(self, folder: Path) -> Path | None:
        return first_with("images", folder)

    def check(self, root: Path) -> None:
        digest = hashlib.sha256()
        paths = {path.relative_to(root).as_posix(): path for path in root.glob("images/*/*/*")}
        paths = {name: path for name, path in paths.items() if not is_junk(PurePosixPath(name))}
        for name in sorted(paths):
            content = hashlib.sha256(paths[name].read_bytes()).hexdigest()
            digest.update(f"{content}  {name}\n".encode())
        if digest.hexdigest() != self.sha256:
            raise ValueError(f"its {len(paths)} images are not the {self.n_images} expected")


_COMMIT = "0bcf68398284dbef34b04b70e5b897815b11147b"

IMAGES = _Images(
    name=SOURCES["images"].folder,
    title="Office-Caltech10",
    layout="images/<domain>/<class>/*.jpg",
    archives=(
        # packed anew for each download, so without a checksum: the images are compared
        Archive(
            name="office_caltech10_images.tar.gz",
            urls=(
                "https://codeload.github.com/LeoGautheron/OfficeCaltechDomainAdaptation/tar.gz/"
                + _COMMIT,
            ),
            max_size=2_000_000_000,
            max_files=50_000,
            max_bytes=4_000_000_000,
            place=keep_below("images"),
        ),
    ),
)


class Files:
    """Files below `data_home`, which are fetched where they are missing, if that is allowed."""

    def __init__(self, home: Path, download_if_missing: bool, n_retries: int, delay: float):
        self.home = home
        self._download = download_if_missing
        self._options: dict[str, Any] = {"n_retries": n_retries, "delay": delay}

    def path(self, kind: str, name: str) -> Path:
        """Return the path of a file, which may be missing if nothing may be downloaded."""
        source = SOURCES[kind]
        path = self.home / source.folder / name
        if not path.is_file() and self._download:
            assert source.url is not None  # only the images, an archive, have none
            download(
                source.url + name,
                path,
                sha256=source.sha256.get(name),
                max_size=500_000_000,
                **self._options,
            )
        return path

    def image_folder(self) -> Path:
        """Return the folder of the images, which may be missing if nothing may be downloaded."""
        folder = self.home / SOURCES["images"].folder
        if (folder / MANIFEST).is_file():
            return verify_installed(IMAGES, folder)
        if not folder.is_dir() and self._download:
            return install(IMAGES, self.home, {}, **self._options)
        return folder
