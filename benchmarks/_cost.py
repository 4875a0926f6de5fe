"""What features cost: operations of a network, and CPU time of a transformer."""

from __future__ import annotations

import time

from sklearn_decaf import DeCAFTransformer

ROUNDS = 5


def multiply_adds(transformer: DeCAFTransformer) -> int:
    """Multiply-adds for one image up to the last of the layers that a transformer gives."""
    net = transformer._network().architecture
    names = [net.resolve(layer) for layer in transformer._layers()]
    shapes = {"data": net.input_shape, **net.shapes()}
    return sum(
        layer.multiply_adds(*(shapes[name] for name in net.inputs(layer.name)))
        for layer in net.ancestors(names)
    )


def seconds_per_image(transformers: list[DeCAFTransformer], filenames) -> list[float]:
    """CPU seconds an image of each, the best of some rounds in which all take turns."""
    best = [float("inf")] * len(transformers)
    for transformer in transformers:
        transformer.transform(filenames[:2])  # makes its plan
    for _ in range(ROUNDS):
        for i, transformer in enumerate(transformers):
            start = time.process_time()
            transformer.transform(filenames)
            best[i] = min(best[i], (time.process_time() - start) / len(filenames))
    return best
