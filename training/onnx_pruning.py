"""Computes a last layer only at the token that is pooled: the same numbers, less work.

A sequence classifier reads one token of its last layer, the first. Its selection at the end of
the graph is moved up through all that works token by token, to where the tokens meet: the
attention, of which only the query of that token is left, against all keys and values.
"""

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

# These work on each token alone, whatever the token's axis.
ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Where", "Cast", "Identity", "Tanh"),
    *("Erf", "Relu", "Gelu", "Sigmoid", "Neg"),
}
# And these where that is not the last one, along which they work.
ALONG_LAST = {"Softmax", "LayerNormalization"}

# A tensor, and how many axes from the end its token axis is.
Place = tuple[str, int]


def prune_last_layer(model: onnx.ModelProto) -> bool:
    """Change `model` in place; False, and no change, where it does not pool its first token."""
    selection = _Selection(model)
    poolings = [node for node in model.graph.node if selection.pools_first_token(node)]
    if len(poolings) != 1:
        return False
    (pooling,) = poolings
    source, pooled = (pooling.input[0], 2), pooling.output[0]
    if not selection.plan(pooling, source):
        return False
    twins = selection.make()
    (pooling,) = (node for node in model.graph.node if node.output[0] == pooled)
    pooling.input[0] = twins[source]
    _drop_unused(model.graph)
    return True


class _Selection:
    """Makes twins of tensors that hold the first token only."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.producers = {name: node for node in self.graph.node for name in node.output}
        self.shapes = _shapes(model)
        # What is done for a node's output: its inputs there are selected as well, or (None) it
        # is made in full and the first token taken of it.
        self.moves: dict[Place, list[Place | None] | None] = {}
        self.constants: dict[tuple[int, ...], str] = {}
        self.added = 0

    def pools_first_token(self, node: NodeProto) -> bool:
        return (
            node.op_type == "Gather"
            and self._rank(node.input[0]) == 3
            and self._rank(node.input[1]) == 0
            and _attribute(node, "axis", 0) == 1
            and self._values(node.input[1]) == [0]
        )

    def plan(self, pooling: NodeProto, source: Place) -> bool:
        """Decide from the end of the graph to its start; False where nothing can be saved.

        A tensor that something needs in full, as keys and values are, is not computed twice.
        """
        wanted: dict[str, set[int]] = {source[0]: {source[1]}}
        full = {value.name for value in self.graph.output}
        saved = False
        for node in reversed(self.graph.node):
            if node is pooling or full.intersection(node.output):
                full |= _reads(node) - ({source[0]} if node is pooling else set())
            for from_end in sorted(wanted.get(node.output[0], ())):
                place = (node.output[0], from_end)
                inputs = None if place[0] in full else self._inputs(node, from_end)
                self.moves[place] = inputs
                if inputs is None:
                    full |= {*_reads(node), place[0]}
                    continue
                saved = saved or node.op_type == "MatMul"
                for name, selected in zip(node.input, inputs, strict=True):
                    if selected is not None:
                        wanted.setdefault(selected[0], set()).add(selected[1])
                    # Their twins read no lengths.
                    elif node.op_type not in ("Expand", "Reshape"):
                        full.add(name)
        return saved

    def make(self) -> dict[Place, str]:
        """Put the twins into the graph; return their names."""
        twins: dict[Place, str] = {}
        nodes: list[NodeProto] = []
        for node in self.graph.node:
            nodes.append(node)
            for place, inputs in self.moves.items():
                if place[0] == node.output[0]:
                    nodes.extend(self._twin(node, place, inputs, twins))
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(
            helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
            for values, name in self.constants.items()
        )
        return twins

    def _inputs(self, node: NodeProto, from_end: int) -> list[Place | None] | None:
        """For each input where its token axis is, None for one that is needed in full."""
        rank, kind = self._rank(node.output[0]), node.op_type
        first, rest = node.input[0], [None] * (len(node.input) - 1)
        if rank is None:
            return None
        if kind in ELEMENTWISE:
            if any(self._rank(name) is None for name in node.input):
                return None
            return [self._broadcast(name, from_end) for name in node.input]
        if kind in ALONG_LAST:
            last = _attribute(node, "axis", -1) in (-1, rank - 1)
            return [(first, from_end), *rest] if last and from_end > 1 else None
        if kind == "Expand":
            # The axis that it makes longer is one that a broadcast makes longer as well.
            return [(first, from_end), *rest] if self._rank(first) == rank else None
        if kind == "MatMul":
            return [(first, 2), None] if from_end == 2 else None
        if kind == "Transpose":
            order = _attribute(node, "perm", None)
            return None if order is None else [(first, rank - order[rank - from_end])]
        if kind == "Reshape":
            before, after = self.shapes.get(first), self.shapes[node.output[0]]
            # Between (sequences, tokens, width) and (sequences, tokens, heads, a head's width).
            fits = before is not None and {len(before), len(after)} == {3, 4}
            fits = fits and rank - from_end == 1 and after[2:].count(None) <= 1
            return [(first, len(before) - 1), None] if fits else None
        return None

    def _broadcast(self, name: str, from_end: int) -> Place | None:
        # With fewer axes it is the same for every token.
        rank = self._rank(name)
        return None if rank is None or rank < from_end else (name, from_end)

    def _twin(
        self,
        node: NodeProto,
        place: Place,
        inputs: list[Place | None] | None,
        twins: dict[Place, str],
    ) -> list[NodeProto]:
        if inputs is None:
            taken, twins[place] = self._first(place)
            return [taken]
        before: list[NodeProto] = []
        names = []
        for name, selected in zip(node.input, inputs, strict=True):
            if selected is not None and selected not in twins:
                # An input of the graph, or a constant.
                taken, twins[selected] = self._first(selected)
                before.append(taken)
            names.append(name if selected is None else twins[selected])
        if node.op_type == "Expand":
            twins[place] = names[0]
            return before
        if node.op_type == "Reshape":
            # 0 keeps an axis of the input, -1 computes it.
            tail = self.shapes[place[0]][2:]
            free = tail.index(None) if None in tail else 0
            names[1] = self._constant(0, 0, *(-1 if i == free else n for i, n in enumerate(tail)))
        copied = helper.make_node(node.op_type, names, [self._name()], domain=node.domain)
        copied.attribute.extend(node.attribute)
        twins[place] = copied.output[0]
        return [*before, copied]

    def _first(self, place: Place) -> tuple[NodeProto, str]:
        # An axis of length 1 has a first token too: masks need no rule of their own.
        name, from_end = place
        axis = len(self.shapes[name]) - from_end
        node = helper.make_node("Gather", [name, self._constant(0)], [self._name()], axis=axis)
        return node, node.output[0]

    def _name(self) -> str:
        self.added += 1
        return f"first_token/{self.added}"

    def _constant(self, *values: int) -> str:
        return self.constants.setdefault(values, f"first_token/constant/{len(self.constants)}")

    def _values(self, name: str) -> list[int] | None:
        tensor = self.initializers.get(name)
        producer = self.producers.get(name)
        if tensor is None and producer is not None and producer.op_type == "Constant":
            tensor = producer.attribute[0].t
        return None if tensor is None else numpy_helper.to_array(tensor).reshape(-1).tolist()

    def _rank(self, name: str) -> int | None:
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Of every tensor whose rank is known; None for a length that is not."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [
            d.dim_value if d.HasField("dim_value") else None
            for d in value.type.tensor_type.shape.dim
        ]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
        if value.type.tensor_type.HasField("shape")
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    constants = (node for node in model.graph.node if node.op_type == "Constant")
    return shapes | {node.output[0]: list(node.attribute[0].t.dims) for node in constants}


def _attribute(node: NodeProto, name: str, default: object) -> object:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _reads(node: NodeProto) -> set[str]:
    """Its inputs, and what the branches of an If read from around it."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g.node
            made = {name for inside in inner for name in inside.output}
            names |= {name for inside in inner for name in _reads(inside)} - made
    return names


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(_reads(node))
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
