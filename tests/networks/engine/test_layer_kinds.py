"""Every kind of layer in the engine, against float64: alone, fused, and read by others."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.layer_examples import EXAMPLES, IDS
from oracles.random_networks import assert_close

from sklearn_decaf import _kernels
from sklearn_decaf.networks import reference
from sklearn_decaf.networks.architecture import INPUT, Architecture, Preprocessing
from sklearn_decaf.networks.engine import Plan
from sklearn_decaf.networks.engine.lowering import lower
from sklearn_decaf.networks.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    Identity,
    Layer,
    Multiply,
    ReLU,
    Scale,
    Sigmoid,
    SiLU,
    Softmax,
)


def network(*layers):
    preprocessing = Preprocessing(crop=(6, 5), mean=(100.0, 120.0, 140.0), std=(50.0, 60.0, 70.0))
    return Architecture("small", layers, preprocessing, {})


def random_parameters(architecture, seed=0):
    rng = np.random.default_rng(seed)
    parameters = {}
    for name, shape in architecture.parameter_shapes().items():
        values = rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1])))
        if name.endswith(".variance"):
            values = np.abs(values) + 0.5
        parameters[name] = values.astype(np.float32)
    return parameters


def check(architecture, outputs=None, tolerance=2e-6, **options):
    """Compare values with the reference, and bits over batches and threads."""
    outputs = architecture.layer_names if outputs is None else outputs
    parameters = random_parameters(architecture)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (5, *architecture.input_shape), dtype=np.uint8)
    expected = reference.forward(
        architecture, parameters, images, architecture.layer_names, np.float64
    )
    plan = Plan(architecture, parameters, outputs, **options)
    actual = plan.run(images)
    shapes = architecture.shapes()
    assert [values.shape for values in actual] == [(5, *shapes[name]) for name in outputs]
    assert_close(architecture, dict(zip(outputs, actual)), expected, tolerance, random=True)
    for part, n_threads in ((slice(0, 5), 3), (slice(2, 3), 1), (slice(1, 4), 2)):
        for whole, values in zip(actual, plan.run(images[part], n_threads)):
            np.testing.assert_array_equal(values, whole[part])
    return plan


def sources(shapes):
    """Layers that make inputs of these shapes from the image, and their names."""
    layers, names = [Conv("image", (INPUT,), filters=8), ReLU("start")], []
    for i, shape in enumerate(shapes):
        layers.append(Conv(f"in{i}", ("start",), filters=shape[-1]))
        if len(shape) == 1:
            layers.append(GlobalAveragePool(f"in{i}.mean"))
        names.append(layers[-1].name)
    return layers, tuple(names)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_values_and_bits(layer, shapes, exact):
    layers, names = sources(shapes)
    architecture = network(*layers, replace(layer, inputs=names))
    check(architecture, exact=exact)
    check(architecture, [layer.name], exact=exact)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "shapes"), EXAMPLES, ids=IDS)
def test_read_by_others(layer, shapes):
    """By a convolution with a border, a sum, and a concatenation: fused or not, as it comes."""
    layers, names = sources(shapes)
    layers.append(replace(layer, inputs=names))
    last, shape = layer.name, layer.output_shape(*shapes)
    if len(shape) == 3:
        layers += [
            Conv("after", (last,), filters=shape[-1], kernel_size=3, padding="same"),
            SiLU("active"),
            Add("sum", ("active", last)),
            Concat("both", ("sum", "after")),
            Conv("end", filters=2, kernel_size=(1, 2), padding="same"),
        ]
    else:
        layers += [Dense("after", (last,), units=4), Sigmoid("active"), Softmax("end")]
    architecture = network(*layers)
    if isinstance(layer, Softmax) and len(shape) == 3:
        with pytest.raises(TypeError, match="it comes after a Dense or a Softmax layer"):
            check(architecture, ["end"])
        return
    check(architecture, ["end"], tolerance=5e-6)
    check(architecture, tolerance=5e-6)


# -- rewriting --


def names_of(architecture, outputs):
    return lower(architecture, {}, outputs).architecture.layer_names


NORMALISED = network(
    Conv("conv", filters=4, kernel_size=3, padding=1), BatchNorm("norm"), SiLU("active")
)


@pytest.mark.skipif(_kernels.KERNEL_SET is None, reason="no compiled kernels, no steps")
def test_a_normalisation_becomes_part_of_the_convolution():
    assert names_of(NORMALISED, ["active"]) == ("norm", "active")
    check(NORMALISED, ["active"])
    plan = check(NORMALISED, ["norm"])
    steps = [layers for _, layers, _ in plan.profile(np.zeros((1, 6, 5, 3), np.uint8))]
    assert ("conv", "norm") in steps


@pytest.mark.parametrize("outputs", [["conv"], ["conv", "active"], ["conv", "norm", "active"]])
def test_not_where_the_convolution_itself_is_wanted(outputs):
    assert "conv" in names_of(NORMALISED, outputs)
    check(NORMALISED, outputs)


def test_not_where_others_read_the_convolution():
    architecture = network(*NORMALISED.layers, Add("sum", ("active", "conv")))
    assert names_of(architecture, ["sum"]) == ("conv", "norm", "active", "sum")
    check(architecture, ["sum"])


def test_several_scales_in_a_row():
    architecture = network(
        Conv("conv", filters=4, kernel_size=3, padding=1, groups=1),
        BatchNorm("norm"),
        Scale("scale"),
        Identity("nothing"),
        Scale("again", has_shift=False),
        ReLU("relu"),
    )
    assert names_of(architecture, ["relu"]) == ("again", "relu")
    check(architecture, ["relu"])
    check(architecture)


@pytest.mark.parametrize(
    "first",
    [
        [BatchNorm("norm")],
        [Identity("same"), Conv("conv", filters=3, kernel_size=3)],
        [Identity("same")],
        [ReLU("relu"), Conv("conv", filters=2)],
        [GlobalAveragePool("mean"), Dense("fc", units=3)],
        [Dense("fc", units=3)],
        [Conv("c", filters=3), Add("s", ("c", INPUT))],
        [Conv("a", (INPUT,), filters=2), Conv("b", (INPUT,), filters=3), Concat("c", ("a", "b"))],
    ],
    ids=lambda layers: "-".join(layer.name for layer in layers),
)
def test_who_reads_the_image(first):
    check(network(*first))


def test_the_image_in_bgr_upside_down():
    architecture = network(BatchNorm("norm"), Conv("conv", filters=2, kernel_size=2))
    turned = replace(architecture.preprocessing, channel_order="bgr", flip_vertical=True)
    check(replace(architecture, preprocessing=turned))


def squeeze_and_excite(name, source, channels):
    return [
        GlobalAveragePool(f"{name}.mean", (source,)),
        Dense(f"{name}.fc1", units=3),
        SiLU(f"{name}.act"),
        Dense(f"{name}.fc2", units=channels),
        Sigmoid(f"{name}.gate"),
        Multiply(name, (source, f"{name}.gate")),
    ]


def test_vectors_that_act_on_maps_again():
    architecture = network(
        Conv("conv", filters=8, kernel_size=3, padding=1),
        *squeeze_and_excite("first", "conv", 8),
        Conv("project", filters=8),
        *squeeze_and_excite("second", "project", 8),
        Add("sum", ("second", "conv")),
        GlobalAveragePool("pool"),
        # the gate of the first is read by the end as well
        Concat("vectors", ("pool", "first.gate")),
        Dense("fc", units=5),
        Softmax("prob"),
    )
    check(architecture, ["prob"])
    check(architecture)
    check(architecture, ["first.gate", "first.fc1", "sum"])


def test_a_dense_layer_on_a_map_in_the_middle():
    architecture = network(
        Conv("conv", filters=4, kernel_size=3),
        Dense("fc", units=4),
        Sigmoid("gate"),
        Multiply("times", ("conv", "gate")),
    )
    check(architecture)


def test_a_kind_of_ones_own_is_refused_when_the_plan_is_made():
    class Mystery(Layer):
        def forward(self, inputs, parameters=()):
            return inputs[0]

    architecture = network(Conv("conv", filters=2), Mystery("what"), ReLU("relu"))
    with pytest.raises(TypeError, match=r"layer 'what' of type Mystery: the engine has no step"):
        Plan(architecture, random_parameters(architecture), ["relu"])
