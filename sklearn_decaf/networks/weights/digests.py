"""Digests of weights: of all that decides their activations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from ..architecture import Architecture, Preprocessing
from ..architecture_data import plain_fields
from ..layers import Layer


def weights_digest(architecture: Architecture, content: str) -> str:
    """Digest of parameters, given by theirs, and of the architecture that computes with them."""
    described = [content, *_description(architecture)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def architecture_digest(architecture: Architecture) -> str:
    """Digest of an architecture: of all of it that decides an activation."""
    return hashlib.sha256(json.dumps(_description(architecture)).encode()).hexdigest()


def content_digest(parameters: Mapping[str, np.ndarray]) -> str:
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
    return [*map(_described, architecture.layers), _described(architecture.preprocessing)]


def _described(part: Layer | Preprocessing) -> str:
    try:  # numbers of Python and of NumPy are the same there
        return json.dumps([type(part).__name__, plain_fields(part)])
    except TypeError:  # of a kind that is not the package's own
        return repr(part)
