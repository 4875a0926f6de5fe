"""The networks of `_graphs.py` as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

INPUT = "data"
OPSET = 20  # the first with Gelu
TO_CHANNELS_LAST, TO_CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class OnnxWriter:
    """Collects operators and constants."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self.weights = weights
        self.nodes: list = []
        self.constants = dict(weights)

    def make(self, operator: str, inputs: list[str], output: str, **attributes) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, values) -> str:
        self.constants[name] = np.asarray(values)
        return name

    def add(self, node: dict) -> None:
        """Write one node."""
        name, inputs = node["name"], node["inputs"]
        own = [key for key in self.weights if key.rpartition(".")[0] == name]
        match node["op"]:
            case "Conv":
                group, dilations = node["groups"], node["dilation"]
                windows = {**self._windows(node), "dilations": dilations}
                self.make("Conv", [*inputs, *own], name, group=group, **windows)
            case "Dense":
                rows = self.make("Flatten", inputs, f"{name}.rows")
                self.make("Gemm", [rows, *own], name, transB=1)
            case "MaxPool":
                self.make(
                    "MaxPool", inputs, name, ceil_mode=int(node["ceil"]), **self._windows(node)
                )
            case "AveragePool":
                modes = {"ceil_mode": node["ceil"], "count_include_pad": node["count_padding"]}
                modes = {key: int(value) for key, value in modes.items()}
                self.make("AveragePool", inputs, name, **modes, **self._windows(node))
            case "LRN":
                keys = {"size": "size", "alpha": "alpha", "beta": "beta", "bias": "k"}
                self.make("LRN", inputs, name, **{key: node[value] for key, value in keys.items()})
            case "ReLU" if node["maximum"] is None:
                self.make("Relu", inputs, name)
            case "ReLU":
                low = self.constant(f"{name}.minimum", np.float32(0))
                high = self.constant(f"{name}.maximum", np.float32(node["maximum"]))
                self.make("Clip", [*inputs, low, high], name)
            case "SiLU":
                factor = self.make("Sigmoid", inputs, f"{name}.sigmoid")
                self.make("Mul", [*inputs, factor], name)
            case "HardSigmoid":
                self.make("HardSigmoid", inputs, name, alpha=1 / 6, beta=0.5)
            case "GELU":
                form = "tanh" if node["approximate"] else "none"
                self.make("Gelu", inputs, name, approximate=form)
            case "Sigmoid" | "Tanh" | "HardSwish" as operator:
                self.make(operator, inputs, name)
            case "Add":
                self.make("Add", inputs, name)
            case "Multiply":
                self.make("Mul", inputs, name)
            case "Scale":  # as exporters write what is left of a batch normalisation
                scale, *shift = own
                zeros = self.constant(f"{name}.mean", np.zeros_like(self.weights[scale]))
                ones = self.constant(f"{name}.variance", np.ones_like(self.weights[scale]))
                parts = [scale, *(shift or [zeros]), zeros, ones]
                self.make("BatchNormalization", [*inputs, *parts], name, epsilon=0.0)
            case "LayerNorm" if node["map"]:
                last = self.make("Transpose", inputs, f"{name}.last", perm=TO_CHANNELS_LAST)
                epsilon = node["epsilon"]
                done = f"{name}.done"
                self.make("LayerNormalization", [last, *own], done, axis=-1, epsilon=epsilon)
                self.make("Transpose", [done], name, perm=TO_CHANNELS_FIRST)
            case "LayerNorm":
                epsilon = node["epsilon"]
                self.make("LayerNormalization", [*inputs, *own], name, axis=-1, epsilon=epsilon)
            case "Concat":
                self.make("Concat", inputs, name, axis=1)
            case "ChannelSlice":
                numbers = {"start": 0, "stop": 0, "axis": 1, "step": 0}
                numbers |= {key: node[key] for key in ("start", "stop", "step")}
                places = [
                    self.constant(f"{name}.{key}", np.array([value], np.int64))
                    for key, value in numbers.items()
                ]
                self.make("Slice", [*inputs, *places], name)
            case "ChannelShuffle":
                h, w, c = node["shape"]
                groups = node["groups"]
                apart = self.constant(f"{name}.apart", [0, groups, c // groups, h, w])
                back = self.constant(f"{name}.back", [0, c, h, w])
                split = self.make("Reshape", [*inputs, apart], f"{name}.split")
                turned = self.make("Transpose", [split], f"{name}.turned", perm=[0, 2, 1, 3, 4])
                self.make("Reshape", [turned, back], name)
            case "GlobalAveragePool" if node["keep_sides"]:
                self.make("GlobalAveragePool", inputs, name)
            case "GlobalAveragePool":
                pooled = self.make("GlobalAveragePool", inputs, f"{name}.map")
                self.make("Flatten", [pooled], name)
            case operator:
                raise TypeError(f"no ONNX operators for {operator}")

    @staticmethod
    def _windows(node: dict) -> dict:
        return {"kernel_shape": node["size"], "strides": node["stride"], "pads": node["pads"]}


def onnx_model(nodes: list[dict], weights: Mapping[str, np.ndarray], crop: int) -> bytes:
    """An ONNX model: ``data`` (N, 3, crop, crop) to ``features`` (N, d)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    writer = OnnxWriter(weights)
    for node in nodes:
        writer.add(node)
    writer.make("Identity", [nodes[-1]["name"]], "features")
    constants = [numpy_helper.from_array(array, key) for key, array in writer.constants.items()]
    number = TensorProto.FLOAT
    data = helper.make_tensor_value_info(INPUT, number, ["N", 3, crop, crop])
    features = helper.make_tensor_value_info("features", number, ["N", None])
    whole = helper.make_graph(writer.nodes, "network", [data], [features], constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(whole, opset_imports=opset, ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()
