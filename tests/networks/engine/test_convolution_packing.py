"""The weights that each algorithm of a convolution is given."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.random_networks import he_parameters

from sklearn_decaf import _kernels
from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.engine import Limits
from sklearn_decaf.networks.engine.convolutions import pack_convolutions
from sklearn_decaf.networks.layers import Conv

pytestmark = pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="no compiled kernels")


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", ["caffenet", "alexnet", "squeezenet1_1", "efficientnet_lite0"])
def test_the_convolutions_of_published_networks(name, exact):
    """All are packed; the number of bytes is that of the arrays, and filters are all there."""
    architecture = get_architecture(name)
    parameters = he_parameters(architecture)
    packed = pack_convolutions(
        architecture, parameters, architecture.layers, exact=exact, limits=Limits()
    )
    convolutions = [layer for layer in architecture.layers if isinstance(layer, Conv)]
    assert list(packed) == [layer.name for layer in convolutions]
    for layer in convolutions:
        one = packed[layer.name]
        bias = np.concatenate([part[: one.filters] for part in one.bias])
        if one.algorithm.kind == "depthwise":
            bias = one.bias[0]
            assert one.nbytes == parameters[f"{layer.name}.kernel"].nbytes
        else:
            assert len(one.kernels) == len(one.bias) == layer.groups
            assert one.filters * layer.groups == layer.filters
            assert one.nbytes == sum(p.nbytes for group in one.kernels for _, p in group)
        np.testing.assert_array_equal(bias, parameters[f"{layer.name}.bias"])
        if exact:
            assert one.algorithm.kind != "winograd"
