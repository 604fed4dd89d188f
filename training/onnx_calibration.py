"""Samples of what flows into the matrix products of a graph, on texts of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from onnx_gate import Text, thinned

if TYPE_CHECKING:
    from engine.classifier import Tokens

TEXTS = 96
# A product; more of them fill the memory of long models, and change little.
MOST_TOKENS = 1024

Activations = Mapping[str, NDArray[np.float32]]


def products(graph: onnx.GraphProto) -> list[NodeProto]:
    """The matrix products with constants: what quantising is about."""
    weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    return [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]


def sample(graph_file: Path, tokens: "Tokens", texts: Sequence[Text]) -> Activations:
    """For each input of a product its values, of shape (tokens, width)."""
    model = onnx.load(str(graph_file), load_external_data=False)
    names = list(dict.fromkeys(node.input[0] for node in products(model.graph)))
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    # Its weights are found beside it.
    opened = graph_file.with_name("sampled.onnx")
    onnx.save(model, str(opened))
    try:
        session = onnxruntime.InferenceSession(str(opened), providers=["CPUExecutionProvider"])
    finally:
        opened.unlink()
    chosen = tokens.encode(thinned(texts, TEXTS), "longest_first")
    most = max(1, MOST_TOKENS // len(chosen))
    taken: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for encoded in chosen:
        values = session.run(names, dict(tokens.pad([encoded])))
        for name, value in zip(names, values, strict=True):
            rows = value.reshape(-1, value.shape[-1])
            taken[name].append(rows[:: -(-len(rows) // most)].copy())
    return {name: np.concatenate(rows) for name, rows in taken.items()}
