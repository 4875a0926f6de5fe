"""ONNX models and caffemodels whose layers fit together, and others drawn at random."""

from __future__ import annotations

from random import Random

import numpy as np

from . import onnx_models, protobuf_writer
from .onnx_models import tensor
from .protobuf_writer import field, varint

_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 24, 324, -1, -2, -9, 2**31, 2**40, -(2**40), 2**62)


def _value(name: str, *sizes: int) -> bytes:
    """An input or output and its axes."""
    shape = b"".join(field(1, field(1, size)) for size in sizes)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def onnx_model(
    nodes: list[bytes], tensors: list[bytes], outputs: list[str], opset: int = 17
) -> bytes:
    """A model whose input ``x`` is of one picture of 9 x 9 pixels."""
    graph = b"".join([*(field(1, one) for one in nodes), *(field(5, one) for one in tensors)])
    graph += field(11, _value("x", 1, 3, 9, 9))
    graph += b"".join(field(12, _value(name)) for name in outputs)
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, opset))


def _constants() -> list[bytes]:
    rng = np.random.default_rng(0)

    def drawn(name, *shape):
        return tensor(name, rng.standard_normal(shape, np.float32))

    numbers = {"half": 0.5, "six": 6.0, "three": 3.0, "two": 2.0, "little": 1e-5}
    rows = {"hw": [2, 3], "nchw": [0, 4, 9, 9], "flat": [0, -1], "apart": [1, 2, 2, 9, 9]}
    rows |= {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "from": [0], "to": [2], "one": [1], "pick": [1, 0]}
    return [
        drawn("w", 4, 3, 3, 3),
        drawn("square", 4, 4, 1, 1),
        drawn("each", 4, 1, 3, 3),
        drawn("b", 4),
        drawn("apart_b", 4, 1, 1),
        tensor("var", rng.uniform(1, 2, 4).astype(np.float32)),
        drawn("dense", 324, 5),
        drawn("small", 4, 5),
        *(tensor(name, np.array(value, np.float32)) for name, value in numbers.items()),
        *(tensor(name, np.array(values, np.int64), 7) for name, values in rows.items()),
    ]


def good_onnx_graph() -> bytes:
    """Most operators and patterns that become layers."""
    nodes: list[bytes] = []

    def add(kind, *inputs, **attributes):
        out = f"{kind}{len(nodes)}"
        nodes.append(onnx_models.node(kind, *inputs, out=out, **attributes))
        return out

    x = add("Conv", "x", "w", "b", pads=[1, 1, 1, 1])
    x = add("BatchNormalization", x, "b", "b", "b", "var", epsilon=0.01)
    x = add("Mul", x, add("Clip", add("Add", x, "three"), "", "six"))
    y = add("Conv", add("Pad", x, "pads"), "each", group=4)
    y = add("Mul", y, add("Sigmoid", add("Conv", add("GlobalAveragePool", y), "square")))
    y = add("Add", x, y)
    last = add("Transpose", y, perm=[0, 2, 3, 1])
    centred = add("Sub", last, add("ReduceMean", last, axes=[3]))
    variance = add("ReduceMean", add("Pow", centred, "two"), axes=[-1])
    last = add("Div", centred, add("Sqrt", add("Add", variance, "little")))
    y = add("Transpose", add("Add", add("Mul", last, "b"), "b"), perm=[0, 3, 1, 2])
    apart = add("Transpose", add("Reshape", y, "apart"), perm=[0, 2, 1, 3, 4])
    y = add("Reshape", apart, "nchw")
    part = add("Slice", y, "from", "to", "one")
    y = add("Concat", part, add("Gather", y, "pick", axis=1), axis=1)
    y = add("MaxPool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    y = add("AveragePool", y, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    y = add("PRelu", add("LRN", y, size=3, alpha=0.1), "apart_b")
    y = add("LeakyRelu", add("Elu", y, alpha=0.5), alpha=0.2)
    scores = add("MatMul", add("Reshape", y, "flat"), "dense")
    mean = add("Gemm", add("ReduceMean", y, axes=[2, 3], keepdims=0), "small")
    return onnx_model(nodes, _constants(), [add("Softmax", add("Add", scores, mean))])


_OPERATORS = [
    "Conv",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Pad",
    "BatchNormalization",
    "LRN",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sum",
    "Max",
    "Min",
    "Neg",
    "Relu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "Erf",
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Abs",
    "LeakyRelu",
    "Elu",
    "Selu",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Gelu",
    "PRelu",
    "Softmax",
    "Gemm",
    "MatMul",
    "ReduceMean",
    "ReduceMax",
    "LayerNormalization",
    "Identity",
    "CastLike",
    "Dropout",
    "Cast",
    "Shape",
    "Size",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Expand",
    "Concat",
    "Split",
    "SplitToSequence",
    "SequenceAt",
    "Slice",
    "Gather",
    "Constant",
    "ConstantOfShape",
    "Range",
    "ReduceProd",
    "ReduceSum",
    "Mod",
    "Floor",
    "Equal",
    "Not",
    "And",
    "Where",
    "ArgMax",
    "If",
    "Resize",
]
_LISTS = ("pads", "strides", "dilations", "kernel_shape", "perm", "axes", "split", "value_ints")
_NUMBERS = ("axis", "group", "keepdims", "size", "to", "allowzero", "transB", "count_include_pad")
_NUMBERS += ("ceil_mode", "value_int", "start", "end", "training_mode")
_REALS = ("alpha", "beta", "epsilon", "bias", "value_float", "gamma")


# Nodes that fit maps of four channels: operator, inputs besides the map, attributes.
_FITTING: tuple[tuple[str, tuple[str, ...], dict], ...] = (
    ("Conv", ("square", "b"), {}),
    ("Conv", ("each",), {"group": 4, "pads": [1, 1, 1, 1]}),
    ("BatchNormalization", ("b", "b", "b", "var"), {}),
    ("Relu", (), {}),
    ("Clip", ("", "six"), {}),
    ("Sigmoid", (), {}),
    ("HardSwish", (), {}),
    ("Gelu", (), {}),
    ("Add", ("three",), {}),
    ("Add", ("apart_b",), {}),
    ("Mul", ("half",), {}),
    ("Mul", ("apart_b",), {}),
    ("Pow", ("two",), {}),
    ("Pad", ("pads",), {}),
    ("MaxPool", (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", (), {"kernel_shape": [2, 2], "strides": [1, 1]}),
    ("Transpose", (), {"perm": [0, 2, 3, 1]}),
    ("Transpose", (), {"perm": [0, 3, 1, 2]}),
    ("Reshape", ("nchw",), {}),
    ("Reshape", ("flat",), {}),
    ("ReduceMean", (), {"axes": [2, 3]}),
    ("ReduceMean", (), {"axes": [-1]}),
    ("GlobalAveragePool", (), {}),
    ("Flatten", (), {}),
    ("Gather", ("pick",), {"axis": 1}),
    ("Slice", ("from", "to", "one"), {}),
    ("Split", (), {"axis": 1}),
)


def random_onnx_graph(chance: Random) -> bytes:
    """Nodes of any operators, whose inputs are mostly what there is."""
    names = [
        "x",
        "w",
        "square",
        "each",
        "b",
        "apart_b",
        "var",
        "dense",
        "small",
        "half",
        "six",
        "three",
        "two",
        "little",
        "hw",
        "nchw",
    ]
    names += ["flat", "apart", "pads", "from", "to", "one", "pick"]
    nodes, made = [], ["x"]
    wild = chance.choice((0.0, 0.05, 0.3, 1.0))  # share of nodes that fit by chance alone
    for i in range(chance.randint(1, 20)):
        if chance.random() >= wild:
            kind, others, fitting = chance.choice(_FITTING) if i else ("Conv", ("w", "b"), {})
            first = chance.choice(made[-2:]) if chance.random() < 0.3 else made[-1]
            if chance.random() < 0.2 and i:  # with another map
                kind, fitting = chance.choice(("Add", "Mul", "Sub", "Concat")), {"axis": 1}
                others = (chance.choice(made[1:] or made),)
            nodes.append(onnx_models.node(kind, first, *others, out=f"y{i}", **fitting))
            made.append(f"y{i}")
            continue
        inputs = [
            chance.choice(made[-3:] if place == 0 or chance.random() < 0.3 else names)
            for place in range(chance.choice((1, 1, 2, 2, 2, 3, 5)))
        ]
        attributes: dict[str, object] = {}
        for name in chance.sample(_LISTS, chance.choice((0, 0, 1, 2))):
            sides = chance.choice((1, 2, 2, 4, 4, 5))
            small = chance.random() < 0.8
            attributes[name] = [
                chance.randint(0, 3) if small else chance.choice(_SIZES) for _ in range(sides)
            ]
        if chance.random() < 0.2:
            attributes["perm"] = chance.sample(range(4), 4)
        for name in chance.sample(_NUMBERS, chance.choice((0, 0, 1))):
            attributes[name] = chance.choice((0, 1, 2, 3, chance.choice(_SIZES)))
        for name in chance.sample(_REALS, chance.choice((0, 0, 1))):
            attributes[name] = chance.choice((0.0, 0.5, -1.0, 1e30, float("inf"), float("nan")))
        if chance.random() < 0.1:
            sizes = np.array([chance.choice(_SIZES) for _ in range(chance.randint(0, 5))], np.int64)
            attributes["value"] = tensor("", sizes, 7)
        outputs = [f"y{i}"] + [f"y{i}_{k}" for k in range(chance.choice((0, 0, 0, 1, 2)))]
        one = onnx_models.node(chance.choice(_OPERATORS), *inputs, out=outputs[0], **attributes)
        nodes.append(one + b"".join(field(2, name) for name in outputs[1:]))
        made += outputs
    if chance.random() < 0.3:
        chance.shuffle(nodes)
    return onnx_model(nodes, _constants(), [made[-1]], chance.choice((1, 7, 11, 13, 18, 22)))


# -- Caffe --

_BLOB_SHAPES = ((4, 3, 3, 3), (4, 4, 1, 1), (4, 1, 3, 3), (4,), (1,), (5, 324), (5, 4), (3,))


def _blob(*shape: int) -> bytes:
    size = int(np.prod(shape))
    return protobuf_writer.blob((np.arange(size, dtype=np.float32).reshape(shape) + 1) / 7)


def good_caffe_layers(*, v1: bool = False) -> bytes:
    """Most types of layers that become layers."""
    layers = [
        ("data", "Data", [], ["data", "label"], [], {"transform": {1: 0.5, 3: 9, 5: [104.0]}}),
        (
            "conv1",
            "Convolution",
            ["data"],
            ["c"],
            [(4, 3, 3, 3), (4,)],
            {"convolution": {3: 1, 4: 3}},
        ),
        ("relu1", "ReLU", ["c"], ["c"], [], {"relu": {1: 0.1}}),
        ("pool1", "Pooling", ["c"], ["p"], [], {"pooling": {2: 3, 3: 2, 4: 1}}),
        ("norm1", "LRN", ["p"], ["n"], [], {"lrn": {1: 5, 2: 0.5, 3: 0.75, 5: 2.0}}),
        ("sum", "Eltwise", ["p", "n"], ["s"], [], {"eltwise": {1: 1}}),
        ("both", "Concat", ["s", "n"], ["b"], [], {"concat": {1: 1}}),
        ("part", "Slice", ["b"], ["b1", "b2"], [], {}),
        ("tanh", "TanH", ["b1"], ["t"], [], {}),
        ("power", "Power", ["t"], ["t"], [], {}),
        ("fc", "InnerProduct", ["t"], ["f"], [(5, 100), (5,)], {"inner_product": {1: 5}}),
        ("loss", "SoftmaxWithLoss", ["f", "label"], ["loss"], [], {}),
    ]
    if not v1:
        layers[9:9] = [
            ("bn", "BatchNorm", ["t"], ["t"], [(4,), (4,), (1,)], {}),
            ("scale", "Scale", ["t"], ["t"], [(4,), (4,)], {}),
            ("prelu", "PReLU", ["t"], ["t"], [(4,)], {}),
            ("elu", "ELU", ["t"], ["t"], [], {}),
        ]
    return b"".join(
        protobuf_writer.layer(*rest[:4], [_blob(*shape) for shape in shapes], options, v1=v1)
        for *rest, shapes, options in layers
    )


def random_caffe_layers(chance: Random) -> bytes:
    """Layers of any type, whose bottoms are mostly what there is."""
    types = [
        "Convolution",
        "InnerProduct",
        "Pooling",
        "LRN",
        "ReLU",
        "PReLU",
        "ELU",
        "Sigmoid",
        "TanH",
        "BatchNorm",
        "Scale",
        "Bias",
        "Power",
        "Eltwise",
        "Concat",
        "Softmax",
        "Slice",
        "Dropout",
        "Flatten",
        "Reshape",
        "Split",
        "Deconvolution",
    ]
    made, parts = ["data"], [protobuf_writer.layer("data", "Data", [], ["data"])]
    if chance.random() < 0.8:
        parts = [field(4, varint(1) + varint(3) + varint(9) + varint(9)), *parts]
    for i in range(chance.randint(1, 12)):
        kind = chance.choice(types) if i or chance.random() < 0.1 else "Convolution"
        bottoms = [chance.choice(made[-3:]) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
        tops = [chance.choice((bottoms[0], f"t{i}"))]
        tops += [f"t{i}_{k}" for k in range(chance.choice((0, 0, 1)))]
        shapes = [chance.choice(_BLOB_SHAPES) for _ in range(chance.choice((0, 1, 2, 3)))]
        if chance.random() < 0.8:  # those that it should have
            first = (4, 3, 3, 3) if i == 0 else (4, 4, 1, 1)
            right = {"Convolution": (first, (4,)), "BatchNorm": ((4,), (4,), (1,))}
            shapes = list(right.get(kind, ((4,),) * (kind in ("PReLU", "Bias", "Scale"))))
            bottoms = bottoms[:1] if kind not in ("Eltwise", "Concat") else bottoms
        option = chance.choice(list(protobuf_writer.OPTIONS))
        own = {"Convolution": "convolution", "Pooling": "pooling", "LRN": "lrn"}.get(kind, option)
        numbers = {
            chance.randint(1, 18): chance.choice(
                (chance.randint(0, 4), chance.randint(0, 4), chance.choice(_SIZES), 0.5, 1e30)
            )
            for _ in range(chance.choice((0, 0, 1, 4)))
        }
        if kind == "Pooling":
            numbers = {1: chance.randint(0, 1), 2: 2, 3: 1, 4: chance.randint(0, 1), **numbers}
        blobs = [_blob(*shape) for shape in shapes]
        parts.append(protobuf_writer.layer(f"l{i}", kind, bottoms, tops, blobs, {own: numbers}))
        made += tops
    return b"".join(parts)
