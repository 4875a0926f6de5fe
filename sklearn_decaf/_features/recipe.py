"""From images to rows of features: all that decides an image's row, and the loop over batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from .._utils.work_ahead import work_ahead
from ..images._batches import BatchReader
from ..images._inputs import ImageInputs
from ..images._warnings import warn_of_ignored_transparency
from ..networks.features import FeatureExtractor, Pooling, feature_blocks, get_extractor
from ..networks.weights.weights import Weights

# Batches a thread whose features wait to be taken, at most: so long may the other side be busy.
_AHEAD = 2


@dataclass(frozen=True)
class Recipe:
    """All that decides the features of an image, the image itself aside.

    The parameters are those of :class:`~sklearn_decaf.DeCAFTransformer`, but for `pooling`, which
    may be a tuple with one for each layer, and `with_mirror`: the columns are then followed by as
    many, the features of the image's mirror image, left to right.
    """

    weights: Weights
    layers: tuple[int | str, ...]
    pooling: Pooling
    resize: str | None = "warp"
    ten_crop: bool = False
    exif_transpose: bool = True
    exact: bool = False
    draft: bool = False
    max_pixels: int | None = None
    with_mirror: bool = False

    def extractor(self) -> FeatureExtractor:
        """The network, ready to run; the same object for the same recipe."""
        return get_extractor(self.weights, self.layers, self.pooling, self.exact)

    def output_columns(self) -> dict[str, slice]:
        """Find the columns of each output: a layer or a pooling of it, of a mirror image or not."""
        columns: dict[str, slice] = {}
        for block in feature_blocks(self.weights.architecture, self.layers, self.pooling)[1]:
            width = block.width // len(block.outputs)
            for i, output in enumerate(block.outputs):
                start = block.columns.start + i * width
                columns[output] = slice(start, start + width)
        if self.with_mirror:
            width = max(own.stop for own in columns.values())
            for output, own in list(columns.items()):
                columns[f"{output}|mirror"] = slice(own.start + width, own.stop + width)
        return columns

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return max(columns.stop for columns in self.output_columns().values())

    def widened(self) -> Recipe:
        """The same with all numbered layers within reach, if one of them is wanted.

        The layers of a network are computed one from another, so the others cost little more,
        and a search over layers then needs one pass for all of them. Those of mirror images are
        wanted by nobody else.
        """
        if self.with_mirror:
            return self
        architecture = self.weights.architecture
        wanted = {architecture.resolve(layer) for layer in self.layers}
        numbered = architecture.decaf_layers.values()
        if wanted.isdisjoint(numbered):
            return self
        reachable = self.weights.available_layers()
        others = tuple(name for name in numbered if name in reachable and name not in wanted)
        pooling = self.pooling
        if isinstance(pooling, tuple):
            pooling += ("auto",) * len(others)
        return replace(self, layers=self.layers + others, pooling=pooling)

    def reader(
        self, images: ImageInputs, on_error: str = "raise", *, uncropped: bool = False
    ) -> BatchReader:
        """What reads images as the network sees them, or with the borders that are cut off.

        Photographs that are not resized have a border of any width, which is always cut off.
        """
        preprocessing = self.weights.architecture.preprocessing
        whole = uncropped and self.resize is not None
        return BatchReader(
            images,
            size=preprocessing.resize,
            crop=preprocessing.resize if whole else preprocessing.crop,
            resize=self.resize,
            ten_crop=self.ten_crop,
            upside_down=preprocessing.flip_vertical,
            exif_transpose=self.exif_transpose,
            on_error=on_error,
            draft=self.draft,
            max_pixels=self.max_pixels,
        )

    def iter_rows(
        self,
        images: ImageInputs,
        *,
        batch_size: int,
        n_threads: int,
        on_error: str,
        opaque: list[tuple[int, str]] | None = None,
    ) -> Iterator[tuple[int, np.ndarray, list[tuple[int, str]]]]:
        """Compute features batch by batch.

        Each of several threads takes a batch, reads its images and runs the network on them: some
        decode while others compute, and nobody waits for anybody. Fewer images than threads are
        computed one after another, by all threads together.

        Images that are transparent everywhere, and were read as opaque, are added to `opaque`, as
        (row, name), before their batch comes. Without it, one warning lists them all.

        Yields
        ------
        start : int
            Row of the first image of the batch.
        rows : ndarray of shape (m, n_features), float32
            NaN for an image that failed.
        failed : list of (row, message)
        """
        reader = self.reader(images, on_error)
        if opaque is not None:
            reader.opaque = opaque
        with closing(self._iter_read(reader, batch_size, n_threads)) as batches:
            for start, rows, failed in batches:
                is_last = start + len(rows) == len(reader)
                if is_last and opaque is None:  # now, since nobody may ask for more
                    warn_of_ignored_transparency(reader.opaque, len(reader))
                yield start, rows, failed

    def _iter_read(self, reader: BatchReader, batch_size: int, n_threads: int):
        extractor = self.extractor()
        preprocessing = self.weights.architecture.preprocessing
        n = len(reader)
        if n == 0:
            return

        def compute(start, batch, failed, n_threads):  # (m, h, w, 3) or (m, 10, h, w, 3)
            if self.ten_crop:
                batch = preprocessing.level_crops(batch)
            rows = extractor(batch.reshape(-1, *batch.shape[-3:]), n_threads)
            if self.ten_crop:
                rows = rows.reshape(len(batch), -1, rows.shape[1]).mean(axis=1)
            if self.with_mirror:
                rows = np.hstack([rows, extractor(batch[..., ::-1, :], n_threads)])
            rows[[row - start for row, _ in failed]] = np.nan
            return start, rows, failed

        if n < n_threads or n_threads == 1:
            for start, batch, failed in reader.batches(batch_size, min(n, n_threads)):
                yield compute(start, batch, failed, n_threads)
            return

        # as many for each thread, and equal in size
        n_batches = min(n, n_threads * math.ceil(n / (n_threads * batch_size)))

        def read_and_compute(i, check):
            start, stop = (n * k // n_batches for k in (i, i + 1))
            return compute(start, *reader.read(start, stop, check), 1)

        yield from work_ahead(read_and_compute, n_batches, n_threads, (1 + _AHEAD) * n_threads)
