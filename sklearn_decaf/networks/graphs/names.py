"""Names of layers from those that exporters give to nodes."""

from __future__ import annotations

import re

from ..architecture import INPUT

MAX_NAME = 80
_PARAMETER = re.compile(
    r"(?P<module>.*[A-Za-z].*?)[._/](weight|kernel|gamma|W|depthwise_kernel|weights)(:0)?"
)
# tf2onnx's own words, which say nothing
_WRAPPERS = re.compile(r"^(StatefulPartitionedCall|PartitionedCall|main_graph|model(_\d+)?)[/.]")


class Names:
    """Hands out names that no two layers share."""

    def __init__(self):
        self._used = {INPUT, ""}

    def unique(self, wanted: str) -> str:
        """The name, with a number if it is taken."""
        wanted = wanted[:MAX_NAME]
        name, number = wanted, 1
        while name in self._used:
            name, number = f"{wanted}_{number}", number + 1
        self._used.add(name)
        return name


def clean(text: str) -> str:
    """Letters, digits, points and hyphens of a name."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")


def name_of_node(kind: str, node: str, output: str, weight: str = "") -> str:
    """What a layer is called: its module if the weight says so, or else the node.

    Names such as ``/layer1/layer1.0/conv1/Conv`` repeat the modules around: ``layer1.0.conv1``.
    """
    module = _PARAMETER.fullmatch(weight)
    if module is not None and "::" not in weight:
        return clean(_WRAPPERS.sub("", module["module"].replace("/", "."))) or kind
    text = _WRAPPERS.sub("", (node or output).removeprefix("node_"))
    parts = [part for part in text.split("/") if part]
    kept = [
        part
        for part, following in zip(parts, [*parts[1:], ""])
        if not following.startswith(f"{part}.")
    ]
    if len(kept) > 1 and re.fullmatch(rf"{re.escape(kind)}(_\d+)?", kept[-1]):
        number = kept[-1][len(kind) :]
        if weight or kind.lower() in re.sub(r"[_.\d]", "", kept[-2].lower()):
            kept[-2:] = [kept[-2] + number]
    return clean(".".join(kept)) or kind
