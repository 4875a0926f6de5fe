"""Small ONNX models, written field by field."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .protobuf_writer import field


def node(kind: str, *inputs: str, out: str = "y", domain: str = "", **attributes) -> bytes:
    """A node; attributes are numbers, lists of integers, text, or tensors as bytes."""
    parts = [field(1, name) for name in inputs] + [field(2, out), field(4, kind)]
    parts += [field(7, domain)] if domain else []
    for name, value in attributes.items():
        if isinstance(value, list):
            content = b"".join(field(8, one) for one in value)
        else:
            content = field({float: 2, int: 3, str: 4, bytes: 5}[type(value)], value)
        parts.append(field(5, field(1, name) + content))
    return b"".join(parts)


def tensor(name: str, values: np.ndarray, number: int = 1, raw_field: int = 9) -> bytes:
    """A tensor with its numbers; `number` is that of its type."""
    axes = b"".join(field(1, int(n)) for n in values.shape)
    return axes + field(2, number) + field(8, name) + field(raw_field, values.tobytes())


def external(name: str, values: np.ndarray, **entries: object) -> bytes:
    """A tensor whose numbers are where the entries say."""
    axes = b"".join(field(1, int(n)) for n in values.shape)
    where = b"".join(
        field(13, field(1, key) + field(2, str(value))) for key, value in entries.items()
    )
    return axes + field(2, 1) + field(8, name) + where + field(14, 1)


def model(nodes: list[bytes], tensors: list[bytes]) -> bytes:
    """A model of one graph."""
    graph = b"".join([*(field(1, one) for one in nodes), *(field(5, one) for one in tensors)])
    return field(1, 8) + field(7, graph)


def external_model(
    parameters: Mapping[str, np.ndarray], location: str = "model.onnx.data"
) -> tuple[bytes, bytes]:
    """The first layer of torchvision's AlexNet, and a file with its numbers."""
    kernel, bias = parameters["conv1.kernel"].transpose(3, 2, 0, 1), parameters["conv1.bias"]
    raw = np.ascontiguousarray(kernel).tobytes()
    where = {"location": location}
    tensors = [
        external("w", kernel, **where, offset=0, length=len(raw)),
        external("b", bias, **where, offset=len(raw), length=bias.nbytes),
    ]
    conv = node("Conv", "x", "w", "b", strides=[4, 4], pads=[2] * 4)
    return model([conv], tensors), raw + bias.tobytes()
