"""What tests of `extract` share: a cheap transformer, photographs, and what an output holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from sklearn_decaf import DeCAFTransformer

CHEAP = DeCAFTransformer("pool1", weights="squeezenet1_1", pooling="avg")
#: the same on the command line
COMMAND = ["--layer", "pool1", "--weights", "squeezenet1_1", "--pooling", "avg", "--quiet"]
N_FEATURES = 64


def changed(**parameters) -> DeCAFTransformer:
    """The cheap transformer with other parameters."""
    return DeCAFTransformer(**{**CHEAP.get_params(), **parameters})


def write_photographs(folder: Path, n: int) -> list[str]:
    """Different photographs, ``0.png`` and so on; return their paths."""
    pair = load_sample_image("china.jpg"), load_sample_image("flower.jpg")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(pair[i % 2][4 * i : 4 * i + 60, 9 * i : 9 * i + 70]).save(path)
    return [str(path) for path in paths]


def contents(out) -> dict[str, bytes]:
    """All files of an output."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(Path(out).rglob("*"))
        if path.is_file()
    }


def read_npy(result) -> np.ndarray:
    """Features of all parts."""
    return np.concatenate([np.load(path) for path in result.files])
