"""Other programs that compute the activations of networks, where they are installed."""

from __future__ import annotations

import importlib
import os

import pytest


def oracle(module: str, reason: str):
    """Import another program, or skip the tests that need it.

    With SKLEARN_DECAF_REQUIRE_ORACLES set, they fail instead.
    """
    if os.environ.get("SKLEARN_DECAF_REQUIRE_ORACLES"):
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{reason} (pip install '.[oracles]')")
