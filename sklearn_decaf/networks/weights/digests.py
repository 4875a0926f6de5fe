"""Digests of weights: of all that decides their activations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..architecture import Architecture
from .parameters import FileParameters


def weights_digest(architecture: Architecture, parameters: Mapping[str, np.ndarray]) -> str:
    """Digest of parameters and of the architecture that computes with them."""
    known = parameters.identity if isinstance(parameters, FileParameters) else None
    content = known or _content_digest(parameters)
    described = [content, *_description(architecture)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _content_digest(parameters: Mapping[str, np.ndarray]) -> str:
    """Digest of names, shapes and numbers, in any order of the names."""
    digest = hashlib.sha256()
    for name in sorted(parameters):
        array = np.ascontiguousarray(parameters[name])
        header = json.dumps([name, array.dtype.str, array.shape])
        digest.update(header.encode() + b"\n")
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _description(architecture: Architecture) -> list[str]:
    """The layers and the preprocessing; names of layers by number decide no activation."""
    image = architecture.preprocessing.mean_image
    preprocessing = replace(architecture.preprocessing, mean_image=None)
    mean = "" if image is None else hashlib.sha256(image.pixels.data).hexdigest()
    return [*map(repr, architecture.layers), repr(preprocessing), mean]
