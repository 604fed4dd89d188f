"""The forward pass of an exported model by ONNX Runtime, on the CPU."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from engine.classifier import Logits, RunFailed
from fault import Fault

# Packaging unpacks the runtime's wheel here, for images that lack it.
RUNTIME = (
    Path(__file__).resolve().parents[1]
    / "runtime"
    / f"cp{sys.version_info.major}{sys.version_info.minor}"
)


class OnnxRunner:
    """One session over a graph file; its weights stay mapped from the file beside it."""

    def __init__(self, graph: Path, threads: int) -> None:
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by turning take the time of other workers, and gain nothing alone.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of the memory for each shape would be kept for ever; texts have all shapes.
        options.enable_mem_pattern = False
        # Packaging fused the graph, and measured what it left.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        failures = runtime.capi.onnxruntime_pybind11_state
        self._failures = (failures.Fail, failures.RuntimeException, failures.InvalidArgument)
        unusable = (failures.InvalidProtobuf, failures.InvalidGraph, failures.NotImplemented)
        try:
            self._session = runtime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except (*self._failures, *unusable) as error:
            raise Fault(
                "model_not_loaded",
                f"ONNX Runtime {runtime.__version__} cannot load onnx/{graph.name}: "
                f"{type(error).__name__}: package the model again",
                fault="server",
            ) from error

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> Logits:
        try:
            (logits,) = self._session.run(["logits"], dict(batch))
        except self._failures as error:
            raise RunFailed(str(error)) from error
        return logits


def onnxruntime() -> ModuleType:
    """ONNX Runtime, from the image or from beside this code; raises ImportError."""
    try:
        return importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        if str(RUNTIME) in sys.path:
            raise
        sys.path.append(str(RUNTIME))
        return importlib.import_module("onnxruntime")
