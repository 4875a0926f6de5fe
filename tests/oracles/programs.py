"""Other programs that compute the activations of networks, where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path

import pytest


def oracle(module: str, reason: str):
    """Import another program, or skip the tests that need it.

    With SKLEARN_DECAF_REQUIRE_ORACLES set, they fail instead.
    """
    if os.environ.get("SKLEARN_DECAF_REQUIRE_ORACLES"):
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{reason} (pip install '.[oracles]')")


def import_torchvision():
    """Import torchvision, or skip.

    Beside a torch without CUDA its wheels from PyPI cannot load their compiled operators. The
    networks need none of them, but two have to be declared, or the import fails.
    """
    torch = oracle("torch", "torch is not installed")
    spec = importlib.util.find_spec("torchvision")
    for library in Path(spec.origin).parent.glob("_C.*") if spec is not None else ():
        try:
            torch.ops.load_library(library)
        except OSError:
            global _declared  # it lives as long as it is referred to
            _declared = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                _declared.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")
    return oracle("torchvision", "torchvision is not installed")
