"""A fresh process: one image file to its features, with the times until then.

    python benchmarks/_startup.py PROGRAM FOLDER IMAGE SECONDS

SECONDS is ``time.time()`` at the start of the process. The folder is one of `_networks.py`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def start_ours(folder, facts, path):
    from sklearn_decaf import DeCAFTransformer

    yield
    transformer = DeCAFTransformer(
        facts["layer"], weights=facts["weights"], pooling="avg", dropout=False
    )
    yield transformer.transform([path])


def start_scikit_learn(folder, facts, path):
    """Nothing but the import that whoever uses this package makes anyway."""
    import sklearn.base  # noqa: F401

    yield
    yield None


def start_torch(folder, facts, path):
    import torch
    from _pipelines import normalise, read_pixels
    from _torch_graph import torch_module

    yield
    state = torch.load(folder / "weights.pt", mmap=True, weights_only=True)
    arrays = {name: values.numpy() for name, values in state.items()}
    module = torch_module(facts["nodes"], arrays).to(memory_format=torch.channels_last)
    x = torch.from_numpy(normalise(read_pixels(path, facts), facts)[None])
    with torch.inference_mode():
        yield module(x.permute(0, 3, 1, 2)).numpy()


def start_onnxruntime(folder, facts, path):
    import onnxruntime
    from _pipelines import normalise, read_pixels

    yield
    session = onnxruntime.InferenceSession(
        str(folder / "network.onnx"), providers=["CPUExecutionProvider"]
    )
    x = normalise(read_pixels(path, facts), facts)[None].transpose(0, 3, 1, 2)
    yield session.run(["features"], {"data": x})[0]


def start_openvino(folder, facts, path):
    import openvino
    from _pipelines import normalise, read_pixels

    yield
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().read_model(folder / "network.onnx")
    model.reshape({"data": [1, 3, facts["crop"], facts["crop"]]})
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    x = normalise(read_pixels(path, facts), facts)[None].transpose(0, 3, 1, 2)
    yield compiled(x.copy())[0]


STARTS = {  # name -> (function, modules it needs)
    "ours": (start_ours, ["sklearn_decaf"]),
    "scikit-learn alone": (start_scikit_learn, ["sklearn"]),
    "torch": (start_torch, ["torch"]),
    "onnxruntime": (start_onnxruntime, ["onnx", "onnxruntime"]),
    "openvino": (start_openvino, ["onnx", "openvino"]),
}


def write_torch(folder) -> None:
    """Save the weights as torch itself does, in the file that it loads fastest."""
    import torch
    from _peers import load_arrays

    arrays = load_arrays(folder / "weights.npz")
    state = {name: torch.from_numpy(values) for name, values in arrays.items()}
    torch.save(state, folder / "weights.pt")


def main() -> None:
    program, folder, path, begun = sys.argv[1:]
    folder, begun = Path(folder), float(begun)
    if program == "write torch":
        write_torch(folder)
        print("{}")
        return
    facts = json.loads((folder / "network.json").read_text())
    stages = STARTS[program][0](folder, facts, path)
    next(stages)
    imports = time.time() - begun
    features = next(stages)
    first = time.time() - begun
    from _workers import peak_memory

    row = None if features is None else features[0].tolist()
    result = {"imports": imports, "first": first, "memory": peak_memory(), "features": row}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
