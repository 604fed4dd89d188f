"""Quantises the matrix products of an exported model to 8 bits, and ships that only if it is good.

Weights have one scale an output channel, activations one a token. So a row's answer does not
depend on what shares its batch, and one token's outlier costs no other its precision.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, external_data_helper, helper, numpy_helper

from onnx_calibration import Activations, products, sample
from onnx_files import save
from onnx_gate import Text, drift
from onnx_rounding import LEAST_SCALE, quantise_weights

if TYPE_CHECKING:
    from engine.classifier import Classifier

INT8 = "model-int8.onnx"
# No GELU goes below this; shifted by it, its output uses all 256 steps, not half of them.
LEAST_GELU = -0.17
GELUS = ("BiasGelu", "Gelu", "FastGelu", "QuickGelu")
# How much of a channel's range moves from the activations to the weights, as SmoothQuant has it.
BALANCE = 0.5
# A channel that the sample hardly moved is not to drown the others when it does move.
MOST_BALANCE = 16
MICROSOFT = "com.microsoft"


class Rung(NamedTuple):
    """One way of quantising."""

    words: str
    balances_gelu: bool = False
    compensates: bool = False
    feed_forward_in_fp32: bool = False


# From the fastest to the most careful.
LADDER = (
    Rung("all products in 8 bits"),
    Rung("all, rounding made good", balances_gelu=True, compensates=True),
    Rung(
        "the feed-forward layers' second product in fp32, rounding made good",
        compensates=True,
        feed_forward_in_fp32=True,
    ),
)


def quantise(
    exact: "Classifier",
    model_dir: Path,
    texts: Sequence[Text],
    load: Callable[[Path], "Classifier"],
) -> dict[str, Any]:
    """Write model-int8.onnx by the first rung that passes the gate; return what was measured.

    `load` makes the classifier that serves int8. Where no rung passes there is no such file.
    """
    onnx_dir = model_dir / "onnx"
    if exact.labels.problem_type == "regression":
        return {"accepted": False, "reason": "a regression has no classes that could agree"}
    tried: list[dict[str, Any]] = []
    exported = onnx_dir / "model.onnx"
    activations = sample(exported, exact.tokens, texts)
    for rung in LADDER:
        save(quantised(exported, rung, activations), onnx_dir / INT8)
        measured = drift(exact, load(model_dir), texts)
        figures = {"how": rung.words, **measured.document()}
        print(
            f"int8, {rung.words}: {measured.agreement:.2%} of {measured.rows} rows "
            f"agree, mean change {measured.mean_probability_change:.4f}, "
            f"{'passes' if measured.passes else 'does not pass'}",
            flush=True,
        )
        if measured.passes:
            print(f"METRIC int8_agreement={measured.agreement:.6f}", flush=True)
            print(f"METRIC int8_mean_change={measured.mean_probability_change:.6f}", flush=True)
            return {"accepted": True, **figures}
        tried.append(figures)
    for file in onnx_dir.glob(f"{INT8}*"):
        file.unlink()
    print("METRIC int8_agreement=0", flush=True)
    return {"accepted": False, "reason": "no way of quantising passed the gate", "tried": tried}


def quantised(graph_file: Path, rung: Rung, activations: Activations) -> onnx.ModelProto:
    """The graph with its products with constants in 8 bits, as `rung` says.

    What stays in fp32 stays in the weights file of `graph_file`.
    """
    model = onnx.load(str(graph_file), load_external_data=False)
    graph = model.graph
    rewriting = _Rewriting(graph, graph_file.parent, rung, activations)
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.extend(rewriting.product(node) if rewriting.is_quantised(node) else [node])
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *rewriting.constants.values()])
    return model


class _Input(NamedTuple):
    """A product's input in 8 bits: names of its tensors, and what its channels were scaled by."""

    integers: str
    scale: str
    zero: str
    balance: NDArray[np.float32]
    sample: NDArray[np.float32]


class _Rewriting:
    def __init__(
        self, graph: onnx.GraphProto, folder: Path, rung: Rung, activations: Activations
    ) -> None:
        self.folder = folder
        self.rung = rung
        self.activations = activations
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {name: node for node in graph.node for name in node.output}
        self.products = products(graph)
        self.constants: dict[str, TensorProto] = {}
        self._inputs: dict[str, _Input] = {}

    def is_quantised(self, node: NodeProto) -> bool:
        if self.rung.feed_forward_in_fp32 and self._after_gelu(node.input[0] if node.input else ""):
            return False
        return any(node is product for product in self.products)

    def product(self, node: NodeProto) -> list[NodeProto]:
        """What computes the same product in 8 bits; its input is quantised once for all users."""
        source, (output,) = node.input[0], node.output
        shifted = self._after_gelu(source)
        nodes: list[NodeProto] = []
        if source not in self._inputs:
            nodes, self._inputs[source] = self._quantise_input(source, shifted)
        given = self._inputs[source]
        integers, scales = quantise_weights(
            self._array(node.input[1]) / given.balance[:, None],
            given.sample if self.rung.compensates else None,
        )
        operands = [
            given.integers,
            self._constant(f"{output}/weights", integers),
            self._constant("int8/one", np.float32(1)),
            self._constant(f"{output}/scales", scales),
            given.zero,
        ]
        scaled = f"{output}/scaled" if shifted else output
        nodes += [
            helper.make_node(
                "MatMulIntegerToFloat", operands, [f"{output}/unscaled"], domain=MICROSOFT
            ),
            helper.make_node("Mul", [f"{output}/unscaled", given.scale], [scaled]),
        ]
        if shifted:
            moved = LEAST_GELU * given.balance @ (integers.astype(np.float64) * scales)
            back = self._constant(f"{output}/shifted_back", moved.astype(np.float32))
            nodes.append(helper.make_node("Add", [scaled, back], [output]))
        return nodes

    def _quantise_input(self, source: str, shifted: bool) -> tuple[list[NodeProto], _Input]:
        """Bytes of one scale a token: from 0 where nothing is below, else around 128."""
        name = f"{source}/int8"
        values, sampled, nodes = source, self.activations[source], []
        balance = np.ones(sampled.shape[1], dtype=np.float32)
        if shifted:
            shift = self._constant("int8/least_gelu", np.float32(LEAST_GELU))
            nodes.append(helper.make_node("Sub", [values, shift], [f"{name}/shifted"]))
            values, sampled = f"{name}/shifted", sampled - np.float32(LEAST_GELU)
        if self.rung.balances_gelu or not shifted:
            balance = self._balance(source, sampled)
            factors = self._constant(f"{name}/balance", balance)
            nodes.append(helper.make_node("Mul", [values, factors], [f"{name}/balanced"]))
            values, sampled = f"{name}/balanced", sampled * balance
        magnitudes = values
        if not shifted:
            magnitudes = f"{name}/magnitudes"
            nodes.append(helper.make_node("Abs", [values], [magnitudes]))
        zero, steps = (0, 255) if shifted else (128, 127)
        step = self._constant(f"int8/a_{steps}th", np.float32(1 / steps))
        # A token of zeros has a scale as well.
        least = self._constant("int8/least_scale", np.float32(LEAST_SCALE))
        one = self._constant("int8/one", np.float32(1))
        origin = self._constant(f"int8/origin_{zero}", np.uint8(zero))
        nodes += [
            helper.make_node("ReduceMax", [magnitudes], [f"{name}/most"], axes=[-1], keepdims=1),
            helper.make_node("Mul", [f"{name}/most", step], [f"{name}/step"]),
            helper.make_node("Max", [f"{name}/step", least], [f"{name}/scale"]),
            helper.make_node("Div", [values, f"{name}/scale"], [f"{name}/steps"]),
            helper.make_node(
                "QuantizeLinear", [f"{name}/steps", one, origin], [f"{name}/integers"]
            ),
        ]
        return nodes, _Input(f"{name}/integers", f"{name}/scale", origin, balance, sampled)

    def _balance(self, source: str, sampled: NDArray[np.float32]) -> NDArray[np.float32]:
        """A factor a channel that brings its activations and its weights to a like range."""
        users = [node for node in self.products if node.input[0] == source]
        weights = np.max([np.abs(self._array(n.input[1])).max(axis=1) for n in users], axis=0)
        most = np.maximum(np.abs(sampled).max(axis=0), LEAST_SCALE)
        factors = np.maximum(weights, LEAST_SCALE) ** (1 - BALANCE) / most**BALANCE
        factors = factors / np.exp(np.log(factors).mean())
        return np.clip(factors, 1 / MOST_BALANCE, MOST_BALANCE).astype(np.float32)

    def _after_gelu(self, source: str) -> bool:
        producer = self.producers.get(source)
        return producer is not None and producer.op_type in GELUS

    def _constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.asarray(value), name))
        return name

    def _array(self, name: str) -> NDArray[np.float32]:
        tensor = TensorProto()
        tensor.CopyFrom(self.weights[name])
        if external_data_helper.uses_external_data(tensor):
            external_data_helper.load_external_data_for_tensor(tensor, str(self.folder))
        return numpy_helper.to_array(tensor)
