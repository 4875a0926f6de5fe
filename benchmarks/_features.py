"""Features of photographs, computed once per network and kept in a folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from sklearn_decaf import BoundingBoxCropper, DeCAFTransformer
from sklearn_decaf.networks import load_weights


def reachable_layers(weights, layers=(5, 6, 7)) -> list[int]:
    """Those of the layers that the weight file reaches; convolutional layers alone give 5."""
    loaded = load_weights(weights)
    reachable = loaded.available_layers()
    return [layer for layer in layers if loaded.architecture.resolve(layer) in reachable]


def image_features(
    filenames, layers, weights, *, boxes=None, pooling="auto", resize="warp", cache=None
) -> dict:
    """Features of each layer, without dropout: {layer: (n, n_features)}, from a single pass.

    With `boxes`, of the regions 1.5 times their size. With a folder as `cache` the features stay
    in it, and are mapped to memory from there; what was computed before an interruption is kept.
    """
    network = DeCAFTransformer(
        tuple(layers), dropout=False, weights=weights, pooling=pooling, resize=resize, verbose=True,
        cache=None if cache is None else Path(cache) / "activations",
    )  # fmt: skip

    def compute():
        if boxes is None:
            return network.transform(filenames)
        return network.transform(BoundingBoxCropper().transform(filenames, boxes=boxes))

    if cache is None:
        features = compute()
    else:
        path = Path(cache) / f"features-{_fingerprint(filenames, network, boxes)}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            with open(partial, "wb") as stream:
                np.save(stream, compute())
            os.replace(partial, path)
        features = np.load(path, mmap_mode="r")
    names = network.get_feature_names_out().astype(str)
    blocks = {}
    for layer in layers:
        prefix = f"decaf{layer}_" if isinstance(layer, int) else f"{layer}_"
        columns = np.flatnonzero(np.char.startswith(names, prefix))
        blocks[layer] = features[:, columns[0] : columns[-1] + 1]
    return blocks


def _fingerprint(filenames, network, boxes) -> str:
    """Of everything that the features depend on; of a file its path, size and time."""
    status = [os.stat(path) for path in filenames]
    key = {
        "weights": load_weights(network.weights).sha256,
        "network": [network.layer, network.pooling, network.resize],
        "before": None if boxes is None else np.asarray(boxes).tolist(),
        "files": [(str(path), s.st_size, s.st_mtime_ns) for path, s in zip(filenames, status)],
    }
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
