"""From JPEG files to features: this package, torch's DataLoader, sessions with threads that decode.

All do the same: decode, resize to a square, cut out the centre, subtract and divide, compute the
network. Engines as in `_peers.py`; their tasks have ``paths`` instead of a batch size.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _peers import Engine, OnnxRuntime, OpenVino, Torch
from PIL import Image

BATCH = 32
AHEAD = 2  # batches that are decoded before they are needed

PIPELINES = {  # name -> (class below, modules it needs)
    "ours": ("OursFromFiles", ["sklearn_decaf"]),
    "torch": ("TorchFromFiles", ["torch"]),
    "onnxruntime": ("OnnxRuntimeFromFiles", ["onnx", "onnxruntime"]),
    "openvino": ("OpenVinoFromFiles", ["onnx", "openvino"]),
}


def read_pixels(path: str, facts: dict) -> np.ndarray:
    """The network's input square (crop, crop, 3), uint8, channels in the network's order."""
    size, crop = facts["resize"], facts["crop"]
    first = (size - crop) // 2
    with Image.open(path) as image:
        image = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.crop((first, first, first + crop, first + crop)))
    return pixels[..., ::-1] if facts["bgr"] else pixels


def normalise(pixels: np.ndarray, facts: dict) -> np.ndarray:
    mean, std = (np.asarray(facts[key], np.float32) for key in ("mean", "std"))
    return (pixels - mean) / std


class OursFromFiles(Engine):
    """`DeCAFTransformer` as it is, with as many threads as the others have cores."""

    def prepare(self, task, variant):
        from sklearn_decaf import DeCAFTransformer

        transformer = DeCAFTransformer(
            self.facts["layer"],
            weights=self.facts["weights"],
            pooling="avg",
            dropout=False,
            n_jobs=self.threads,
        )
        paths = task["paths"]
        return lambda: transformer.transform(paths)


class _Files:
    """A data set in torch's sense. Pixels stay 8-bit on their way between processes."""

    def __init__(self, paths, facts):
        self.paths, self.facts = paths, facts

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        return np.array(read_pixels(self.paths[i], self.facts))  # torch wants a writable one


class TorchFromFiles(Torch):
    """DataLoader workers decode, and stay alive from call to call; the network runs meanwhile."""

    channels_last = True

    def variants(self, task):
        if self.threads == 1:
            return [{"workers": 0, "threads": 1}, {"workers": 1, "threads": 1}]
        return [{"workers": 0, "threads": self.threads}] + [
            {"workers": workers, "threads": threads}
            for workers in (1, self.threads)
            for threads in (1, self.threads)
        ]

    def prepare(self, task, variant):
        torch = self._torch
        torch.set_num_threads(variant["threads"])
        workers = variant["workers"]
        loader = torch.utils.data.DataLoader(
            _Files(task["paths"], self.facts), BATCH, num_workers=workers,
            persistent_workers=workers > 0,
        )  # fmt: skip
        mean, std = (
            torch.tensor(self.facts[key], dtype=torch.float32).reshape(-1, 1, 1)
            for key in ("mean", "std")
        )

        def call():
            rows = []
            for pixels in loader:  # (n, h, w, 3), uint8
                x = pixels.permute(0, 3, 1, 2).float()
                rows.append(self.run(x.sub_(mean).div_(std)))
            return np.concatenate(rows)

        return call


class _Session(Engine):
    """Threads decode and preprocess the next batches while the network computes this one.

    With `alone`, each thread decodes and computes batches of its own, as this package does.
    """

    channels_last = False
    concurrent = False  # whether several threads may run the network at the same time

    def variants(self, task):
        counts = (1, self.threads) if self.threads > 1 else (1,)
        variants = [{"decoders": i, "threads": k} for i in counts for k in counts]
        if self.concurrent and self.threads > 1:
            variants.append({"decoders": self.threads, "threads": 1, "alone": True})
        return variants

    def network(self, threads: int):
        """A function of a full batch of inputs."""
        raise NotImplementedError

    def prepare(self, task, variant):
        network, decoders = self.network(variant["threads"]), variant["decoders"]
        paths, crop = task["paths"], self.facts["crop"]
        shape = (crop, crop, 3) if self.channels_last else (3, crop, crop)
        starts = range(0, len(paths), BATCH)

        def fill(batch, i, path):
            x = normalise(read_pixels(path, self.facts), self.facts)
            batch[i] = x if self.channels_last else x.transpose(2, 0, 1)

        def alone(start):
            batch = np.zeros((BATCH, *shape), np.float32)
            files = paths[start : start + BATCH]
            for i, path in enumerate(files):
                fill(batch, i, path)
            return network(batch)[: len(files)]

        def call():
            if variant.get("alone"):
                with ThreadPoolExecutor(decoders) as pool:
                    return np.concatenate(list(pool.map(alone, starts)))
            rows = []
            with ThreadPoolExecutor(decoders) as pool:

                def submit(start):
                    batch = np.zeros((BATCH, *shape), np.float32)
                    files = enumerate(paths[start : start + BATCH])
                    return batch, [pool.submit(fill, batch, i, path) for i, path in files]

                waiting = [submit(start) for start in starts[:AHEAD]]
                for k in range(len(starts)):
                    batch, futures = waiting.pop(0)
                    for future in futures:
                        future.result()
                    if k + AHEAD < len(starts):
                        waiting.append(submit(starts[k + AHEAD]))
                    rows.append(network(batch)[: len(futures)])
            return np.concatenate(rows)

        return call


class OnnxRuntimeFromFiles(_Session, OnnxRuntime):
    concurrent = True

    def network(self, threads):
        self.threads = threads
        # threads that spin would take the cores from those that decode
        session = self.session(BATCH, spin=False)
        return lambda x: session.run(["features"], {"data": x})[0]


class OpenVinoFromFiles(_Session, OpenVino):
    channels_last = True

    def network(self, threads):
        self.threads = threads
        bind = self.requests(BATCH, channels_last=True, streams=1)
        return lambda x: bind(x)()
