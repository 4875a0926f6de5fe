"""Blocks of networks, the layers that are trained, and the layer below them all."""

import pytest

from sklearn_decaf.networks import get_architecture
from sklearn_decaf.networks.architectures import ARCHITECTURES
from sklearn_decaf.training._trainable import (
    check_trainable,
    find_cut,
    head_layers,
    network_blocks,
    trainable_layers,
)

LITE = get_architecture("efficientnet_lite0")


def test_blocks_of_efficientnet_lite():
    outputs = [block.output for block in network_blocks(LITE)]
    expected = ["stem", *(LITE.aliases.get(f"block{i}", f"block{i}") for i in range(1, 17)), "head"]
    assert outputs == expected


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_blocks_have_all_parameters_below_layer_7_once(name):
    net = get_architecture(name)
    top = head_layers(net)[0]
    blocks = network_blocks(net)
    found = [layer for block in blocks for layer in block.trainable]
    assert len(found) == len(set(found))
    below = [one.name for one in net.ancestors([top]) if net.layer_parameter_shapes(one.name)]
    assert set(below) <= set(found)
    outputs = [block.output for block in blocks]
    for number in (5, 6, 7):
        if number in net.decaf_layers:
            assert net.decaf_layers[number] in outputs


def test_last_blocks_of_efficientnet_lite():
    chosen = trainable_layers(LITE, "last:6", "head")
    assert chosen[0] == "block12.expand.conv"
    assert chosen[-1] == "head.conv"
    assert find_cut(LITE, chosen, "head") == "block11"
    assert LITE.shapes()["block11"] == (14, 14, 112)
    assert trainable_layers(LITE, "last:1", "head") == ("head.conv",)
    assert trainable_layers(LITE, "last:18", "head") == trainable_layers(LITE, "all", "head")
    assert trainable_layers(LITE, "head", "head") == ()


def test_names_of_layers_and_blocks():
    named = trainable_layers(LITE, ("head", "block16", "block3.depthwise.conv"), "head")
    assert named == (
        "block3.depthwise.conv",
        *(f"block16.{part}.conv" for part in ("expand", "depthwise", "project")),
        "head.conv",
    )


def test_cut_is_on_all_paths():
    """A layer within a block with a residual: what passes it by has to be known too."""
    assert find_cut(LITE, ["block11.project.conv"], "head") == LITE.resolve("block10")
    assert find_cut(LITE, ["stem.conv"], "head") == "data"
    dense = get_architecture("densenet121")
    chosen = trainable_layers(dense, "last:1", dense.decaf_layers[7])
    cut = find_cut(dense, chosen, dense.decaf_layers[7])
    assert cut in dense.layer_names
    assert not {one.name for one in dense.ancestors([cut])} & set(chosen)


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        ("last:19", "has 18 blocks below the head: stem, block1"),
        (("nothing",), "'nothing' is not a layer"),
        (("pool",), "neither a layer of efficientnet_lite0 with parameters below 'head'"),
        (("fc",), "neither a layer"),
    ],
)
def test_what_is_not_there_is_named(trainable, message):
    with pytest.raises(ValueError, match=message):
        trainable_layers(LITE, trainable, "head")


@pytest.mark.parametrize("trainable", ["last:0", "last", "last:-1", "fc6", (), (3,), 5, None])
def test_what_no_network_understands(trainable):
    with pytest.raises(ValueError, match="it must be 'head', 'last:k'"):
        check_trainable(trainable)


def test_head_layers_without_numbers():
    from dataclasses import replace

    from oracles.striped_images import NETWORK

    unnumbered = replace(NETWORK, decaf_layers={})
    assert head_layers(unnumbered) == head_layers(NETWORK) == ("relu4", "relu3")
