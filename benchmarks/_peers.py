"""The package and the programs it is compared with, each at its best settings, behind one face.

An engine is made in a process of its own (`_workers.py`) from a folder that `_networks.py` filled.
``variants(task)`` names the settings worth trying, ``prepare(task, variant)`` returns a function
without arguments that computes the features of the task's batch.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ENGINES = {  # name -> (class below, modules it needs)
    "ours": ("Ours", ["sklearn_decaf"]),
    "torch": ("Torch", ["torch"]),
    "torch channels_last": ("TorchChannelsLast", ["torch"]),
    "onnxruntime": ("OnnxRuntime", ["onnx", "onnxruntime"]),
    "openvino": ("OpenVino", ["onnx", "openvino"]),
    "openvino as it is": ("OpenVinoDefault", ["onnx", "openvino"]),
}
LESS_PRECISE = ("openvino as it is",)  # shown, but never the peer to be compared with


def missing_modules(modules) -> list[str]:
    return [module for module in modules if find_spec(module) is None]


def load_arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive}


class Engine:
    """What all share: the folder of the network, the number of threads, the inputs."""

    def __init__(self, folder: str, threads: int):
        self.folder, self.threads = Path(folder), threads
        self.facts = json.loads((self.folder / "network.json").read_text())

    def variants(self, task: dict) -> list[dict]:
        """Settings to choose from by a trial; the first are the program's own."""
        return [{}]

    def images(self, batch: int) -> np.ndarray:
        """RGB images (n, h, w, 3), uint8."""
        return np.array(np.load(self.folder / "images.npy", mmap_mode="r")[:batch])

    def inputs(self, batch: int, *, channels_last: bool) -> np.ndarray:
        """Preprocessed images, float32: (n, h, w, 3) or (n, 3, h, w)."""
        x = np.array(np.load(self.folder / "inputs.npy", mmap_mode="r")[:batch])
        return x if channels_last else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


class Ours(Engine):
    """This package. It alone gets 8-bit images, and preprocesses them in the time it is given."""

    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        from sklearn_decaf.networks import load_weights
        from sklearn_decaf.networks.engine import Plan
        from sklearn_decaf.networks.features import feature_blocks

        weights = load_weights(self.facts["weights"])
        layers = (self.facts["layer"],)
        architecture, (block,) = feature_blocks(weights.architecture, layers, "avg")
        self._plan = Plan(architecture, weights.parameters, block.outputs)

    def prepare(self, task, variant):
        images = self.images(task["batch"])
        return lambda: self._plan.run(images, self.threads)[0]


class Torch(Engine):
    """torch, eager, in inference mode."""

    channels_last = False

    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        import torch
        from _torch_graph import torch_module

        self._torch = torch
        torch.set_num_threads(threads)
        module = torch_module(self.facts["nodes"], load_arrays(self.folder / "weights.npz"))
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        self._module = module.to(memory_format=layout)

    def prepare(self, task, variant):
        x = self._torch.from_numpy(self.inputs(task["batch"], channels_last=self.channels_last))
        if self.channels_last:
            x = x.permute(0, 3, 1, 2)  # the layout that torch calls channels_last
        return lambda: self.run(x)

    def run(self, x) -> np.ndarray:
        with self._torch.inference_mode():
            return self._module(x).numpy()


class TorchChannelsLast(Torch):
    channels_last = True


class OnnxRuntime(Engine):
    """ONNX Runtime: all graph optimisations, nodes one after another, the batch size fixed."""

    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        import onnxruntime

        self._ort = onnxruntime

    def variants(self, task):
        return [{"spin": True}, {"spin": False}] if self.threads > 1 else [{"spin": True}]

    def session(self, batch: int, spin: bool):
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_free_dimension_override_by_name("N", batch)
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        path = str(self.folder / "network.onnx")
        return self._ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def prepare(self, task, variant):
        session = self.session(task["batch"], **variant)
        x = self.inputs(task["batch"], channels_last=False)
        return lambda: session.run(["features"], {"data": x})[0]


class OpenVino(Engine):
    """OpenVINO in float32: maps in either layout; one stream, or the batch cut among streams."""

    precision = "f32"

    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        import openvino

        self._openvino = openvino
        self._core = openvino.Core()

    def variants(self, task):
        cuts = self.threads > 1 and task["batch"] % self.threads == 0
        return [
            {"channels_last": channels_last, "streams": streams}
            for streams in ([1, self.threads] if cuts else [1])
            for channels_last in (True, False)
        ]

    def compile(self, batch: int, channels_last: bool, streams: int):
        from openvino.preprocess import PrePostProcessor

        crop = self.facts["crop"]
        model = self._core.read_model(self.folder / "network.onnx")
        model.reshape({"data": [batch // streams, 3, crop, crop]})
        if channels_last:
            steps = PrePostProcessor(model)
            steps.input().tensor().set_layout(self._openvino.Layout("NHWC"))
            steps.input().model().set_layout(self._openvino.Layout("NCHW"))
            model = steps.build()
        settings = {
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        if self.precision is not None:
            settings["INFERENCE_PRECISION_HINT"] = self.precision
        if streams > 1:
            settings["NUM_STREAMS"] = streams
        return self._core.compile_model(model, "CPU", settings)

    def prepare(self, task, variant):
        x = self.inputs(task["batch"], channels_last=variant["channels_last"])
        return self.requests(task["batch"], **variant)(x)

    def requests(self, batch: int, channels_last: bool, streams: int):
        """A function of a batch that gives a function which computes its features."""
        compiled = self.compile(batch, channels_last, streams)
        requests = [compiled.create_infer_request() for _ in range(streams)]

        def bind(x):
            parts = np.split(x, streams)

            def call():
                for request, part in zip(requests, parts):
                    request.start_async({0: part}, share_inputs=True)
                for request in requests:
                    request.wait()
                return np.concatenate([request.get_output_tensor(0).data for request in requests])

            return call

        return bind


class OpenVinoDefault(OpenVino):
    """OpenVINO in the precision of its choice: bfloat16 where the processor has it, less exact."""

    precision = None
