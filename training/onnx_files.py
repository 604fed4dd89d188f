"""Graph files whose weights lie beside them, so that a server maps them instead of reading."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime

# Smaller ones stay in the graph file.
LEAST_BYTES_BESIDE = 1024
NEITHER_NAMES_NOR_PLACES = ("metadata_props", "doc_string")


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write `path`, and its weights to a file of that name with `.data` after it.

    This moves the weights out of `model`; those that already lie in a file stay there.
    """
    _forget_origins(model.graph)
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=data.name,
        size_threshold=LEAST_BYTES_BESIDE,
    )


def fuse(model: onnx.ModelProto) -> onnx.ModelProto:
    """What ONNX Runtime makes of a graph for any CPU, so that a server need not; uses it up."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "source.onnx", Path(scratch) / "target.onnx"
        save(model, source)
        options = onnxruntime.SessionOptions()
        # The level above this one arranges data for the processor it runs on.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        for key, value in (
            ("session.optimized_model_external_initializers_file_name", "target.onnx.data"),
            ("session.optimized_model_external_initializers_min_size_in_bytes", "1024"),
        ):
            options.add_session_config_entry(key, value)
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(target))


def _forget_origins(graph: onnx.GraphProto) -> None:
    """Drop what says on whose machine, and by which lines, the graph was made."""
    for node in graph.node:
        for field in NEITHER_NAMES_NOR_PLACES:
            node.ClearField(field)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _forget_origins(attribute.g)
    for value in (*graph.value_info, *graph.input, *graph.output):
        for field in NEITHER_NAMES_NOR_PLACES:
            value.ClearField(field)
