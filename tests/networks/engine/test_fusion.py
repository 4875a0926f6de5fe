"""Which layers are computed together, and where their results are written."""

from __future__ import annotations

import pytest
from oracles.random_networks import he_parameters, random_images
from oracles.small_networks import NETWORKS

from sklearn_decaf import _kernels
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.engine.fusion import FusedConv, fuse

compiled = pytest.mark.skipif(
    _kernels.KERNEL_SET is None, reason="no compiled kernels: plans run the reference itself"
)


def steps_of(architecture, outputs):
    """What is left after fusion: the name of each step's output, and of what it holds."""
    steps = fuse(architecture, architecture.ancestors(outputs), outputs)
    return [step.name for step in steps]


def test_nothing_wanted_is_fused_away():
    architecture = get_architecture("efficientnet_lite0")
    names = architecture.layer_names[:-2]
    assert steps_of(architecture, names) == list(names)


def test_residuals_and_activations_are_fused():
    architecture = get_architecture("efficientnet_lite0")
    steps = fuse(architecture, architecture.ancestors(["head"]), ["head"])
    assert all(isinstance(step, FusedConv) for step in steps)
    with_residual = [step.name for step in steps if step.residual is not None]
    assert with_residual == [f"block{i}" for i in (3, 5, 7, 8, 10, 11, 13, 14, 15)]
    # stem and head, an expansion in all blocks but the first, and a depthwise one in each
    assert sum(step.activation is not None for step in steps) == 2 + 15 + 16


def test_concatenations_are_written_in_place():
    architecture = get_architecture("squeezenet1_1")
    steps = fuse(architecture, architecture.ancestors(["relu10"]), ["relu10"])
    into = [step.concat for step in steps if isinstance(step, FusedConv) and step.concat]
    assert into == [f"fire{i}" for i in range(2, 10) for _ in range(2)]


@compiled
def test_borders_are_written_in_place(monkeypatch):
    """No step copies a map only to put zeros around it."""
    copies, bind_copy = [], _kernels.kernels.bind_copy
    monkeypatch.setattr(
        _kernels.kernels, "bind_copy", lambda *given: copies.append(given) or bind_copy(*given)
    )
    architecture = NETWORKS["border written at once"]
    plan = Plan(architecture, he_parameters(architecture), ["f"])
    plan.run(random_images(architecture, 1))
    ((program,),) = plan.stages[0].idle.values()
    borders = {name: maps.pads for name, maps in program.maps.items()}
    assert borders["s"] == ((2, 2), (2, 2))
    # the depthwise one copies its input, as it cannot write into a border
    assert len(copies) <= 1
