"""The networks whose speed is measured, and the folders from which all engines read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from _graphs import graph
from _onnx_graph import onnx_model
from _peers import missing_modules
from PIL import Image

from sklearn_decaf.datasets import load_sample_photos
from sklearn_decaf.images import iter_batches
from sklearn_decaf.networks import Weights, get_architecture, load_weights, reference, save_weights
from sklearn_decaf.networks.features import feature_blocks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from oracles.calibrated_networks import calibrate

NETWORKS = {  # name -> layers that are measured
    "caffenet": (6,),
    "alexnet": (6,),
    "squeezenet1_1": (6, 7),
    "efficientnet_lite0": (6, 7),
    "vgg16": (6,),
    "resnet18": (7,),
    "resnet34": (7,),
    "resnet50": (7,),
    "mobilenet_v2": (7,),
    "densenet121": (7,),
    "mobilenet_v3_large": (7,),
    "efficientnet_b0": (7,),
    "convnext_tiny": (7,),
}
EMBEDDED = ("squeezenet1_1", "efficientnet_lite0")
CHECKED = 4  # images whose features are compared with float64


def layers_of(name: str) -> tuple[int, ...]:
    """The layers of a network that are measured unless others are asked for."""
    return NETWORKS.get(name, (7,))


def sample_images(n: int, crop: int) -> np.ndarray:
    """RGB images (n, crop, crop, 3), uint8: crops of the sample photographs, all different."""
    photos = load_sample_photos().images
    step = max(1, len(photos) // n)
    chosen = [photos[i * step % len(photos)] for i in range(n)]
    batches = iter_batches([Image.fromarray(photo) for photo in chosen], crop=crop)
    return np.concatenate([batch for _, batch, _ in batches])


def file_images(paths, crop: int) -> np.ndarray:
    """The same of image files."""
    return np.concatenate([batch for _, batch, _ in iter_batches(paths, crop=crop)])


def write_network(folder: Path, name: str, layer: int, images: np.ndarray, *, peers: bool):
    """Write network and images as every engine reads them.

    Returns
    -------
    ndarray of shape (m, n_features), float64
        Features of the first images.
    """
    architecture, (block,) = feature_blocks(get_architecture(name), (layer,), "avg")
    (output,) = block.outputs
    preprocessing = architecture.preprocessing
    facts = {
        "architecture": name,
        "layer": layer,
        "weights": name,
        "resize": preprocessing.resize,
        "crop": preprocessing.crop,
        "bgr": preprocessing.channel_order == "bgr",
        "mean": preprocessing.mean,
        "std": preprocessing.std,
    }
    if name in EMBEDDED:
        parameters = load_weights(name).parameters
    else:
        steps = architecture.ancestors([output])
        keys = {key for step in steps for key in architecture.layer_parameter_shapes(step.name)}
        # of the whole network, as a file holds them; those of later layers are left out
        parameters, _ = calibrate(get_architecture(name), images[:CHECKED])
        parameters = {key: values for key, values in parameters.items() if key in keys}
        facts["weights"] = str(folder / "weights.safetensors")
        save_weights(Weights(get_architecture(name), parameters, name, ""), facts["weights"])
    np.save(folder / "images.npy", images)
    if peers:
        nodes, arrays = graph(architecture, parameters, output)
        facts["nodes"] = nodes
        np.savez(folder / "weights.npz", **arrays)
        np.save(folder / "inputs.npy", reference.preprocess(images, preprocessing))
        if not missing_modules(["onnx"]):
            model = onnx_model(nodes, arrays, preprocessing.crop)
            (folder / "network.onnx").write_bytes(model)
    (folder / "network.json").write_text(json.dumps(facts))
    checked = images[:CHECKED]
    return reference.forward(architecture, parameters, checked, [output], np.float64)[output]


def error_of(features: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference in parts of the largest value."""
    exact = exact[: len(features)]
    return float(np.abs(features - exact).max() / np.abs(exact).max())
