"""What packaging does to graphs: exports, prunes and quantises small models of every family."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from tests.inference import tiny

WIDE = {**tiny.SHAPE, "max_position_embeddings": 64}
FAMILIES = {
    "bert": BertConfig(**WIDE),
    "distilbert": DistilBertConfig(
        dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.4
    ),
    "roberta": RobertaConfig(**WIDE, pad_token_id=0),
    "xlm-roberta": XLMRobertaConfig(**WIDE, pad_token_id=0),
    "electra": ElectraConfig(**WIDE, embedding_size=16),
    "mpnet": MPNetConfig(**WIDE, pad_token_id=0),
    "albert": AlbertConfig(**WIDE, embedding_size=16),
    "deberta-v2": DebertaV2Config(
        **WIDE, relative_attention=True, position_buckets=16, pos_att_type=["c2p", "p2c"]
    ),
}
BART = BartConfig(
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
    max_position_embeddings=64,
    init_std=0.4,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=3,
    decoder_start_token_id=3,
    forced_eos_token_id=3,
)
ROWS = [
    {"text": "the parcel is late"},
    {"text": "my card was charged twice please refund it"},
    {"text": "where is the driver", "text_pair": "the courier"},
    {"text": "broken"},
]


def made(directory, config):
    torch.manual_seed(11)
    words = tiny.tokenizer(model_max_length=48)
    if config.model_type in ("distilbert", "mpnet", "bart"):
        words = PreTrainedTokenizerFast(
            tokenizer_object=words.backend_tokenizer,
            model_input_names=["input_ids", "attention_mask"],
            model_max_length=48,
            **words.special_tokens_map,
        )
    config.vocab_size, config.num_labels = len(words), 3
    AutoModelForSequenceClassification.from_config(config).save_pretrained(directory)
    words.save_pretrained(directory)
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return directory


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_exported_with_its_last_layer_at_one_token(family, tmp_path):
    from package import package_directory

    directory = made(tmp_path, FAMILIES[family])
    record = package_directory(directory, directory / "rows.jsonl", int8=False)
    assert record["exported"], record
    assert record["max_difference"] <= 1e-5
    nodes = onnx.load(str(directory / "onnx" / "model.onnx")).graph.node
    names = [n.input[0] + n.output[0] for n in nodes if n.op_type == "MatMul"]
    # The attention's output, both products of the feed-forward layer, and the attention's query
    # where its scores are a plain product.
    expected = 3 if family == "deberta-v2" else 4
    assert sum("first_token/" in name for name in names) >= expected


def test_bart_pools_at_the_last_end_token_however_many_a_text_holds(tmp_path):
    from package import package_directory

    directory = made(tmp_path, BART)
    texts = ["late [SEP] parcel", "the courier is late", ("my order", "the driver [SEP] a door")]
    record = package_directory(directory, directory / "rows.jsonl", int8=False)
    assert record["exported"], record
    from engine import onnx_classifier

    classifier = onnx_classifier.load(directory, int8=False)
    batch = classifier.tokens.pad(classifier.tokens.encode(texts, "longest_first"))
    given = classifier.runner.logits(batch)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    for text, logits in zip(texts, given, strict=True):
        parts = (text,) if isinstance(text, str) else text
        with torch.inference_mode():
            expected = model(**tokenizer(*parts, return_tensors="pt")).logits[0].numpy()
        assert np.abs(expected - logits).max() <= 1e-4


def test_pruning_leaves_a_graph_that_pools_no_first_token_as_it_was(tmp_path):
    from onnx import TensorProto, helper

    from onnx_pruning import prune_last_layer

    nodes = [
        helper.make_node("Tanh", ["x"], ["t"]),
        helper.make_node("ReduceMean", ["t"], ["y"], axes=[1]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "mean",
        [value("x", TensorProto.FLOAT, ["sequences", "tokens", 4])],
        [value("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    before = model.SerializeToString()
    assert not prune_last_layer(model)
    assert model.SerializeToString() == before


def test_what_the_last_layer_shares_with_others_is_not_computed_twice(tmp_path):
    from onnx_export import _trace, load_pretrained
    from onnx_pruning import prune_last_layer

    model, _ = load_pretrained(made(tmp_path, FAMILIES["bert"]))
    graph = _trace(model, ["input_ids", "attention_mask"])
    products = sum(node.op_type == "MatMul" for node in graph.graph.node)
    assert prune_last_layer(graph)
    assert sum(node.op_type == "MatMul" for node in graph.graph.node) == products


def test_a_model_whose_tokenizer_needs_transformers_is_not_exported_and_says_so(tmp_path):
    from package import package_directory

    directory = made(tmp_path, FAMILIES["bert"])
    words = AutoTokenizer.from_pretrained(directory)
    unpadded = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, cls_token="[CLS]", sep_token="[SEP]"
    )
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (directory / name).unlink(missing_ok=True)
    unpadded.save_pretrained(directory)
    record = package_directory(directory, directory / "rows.jsonl", int8=True)
    assert record == {"exported": False, "reason": "its tokenizer has no padding token"}
    assert json.loads((directory / "lectern.json").read_text())["onnx"] == record
    assert not (directory / "onnx").exists()


def test_a_graph_that_computes_something_else_is_refused_with_the_difference(tmp_path, monkeypatch):
    import onnx_export
    from package import package_directory

    directory = made(tmp_path, FAMILIES["bert"])
    fuse = onnx_export.fuse

    def wrong(graph):
        fused = fuse(graph)
        bias = next(t for t in fused.graph.initializer if t.name.endswith("classifier.bias"))
        changed = onnx.numpy_helper.to_array(bias) + np.array([0.1, 0, 0], np.float32)
        bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
        return fused

    monkeypatch.setattr(onnx_export, "fuse", wrong)
    record = package_directory(directory, directory / "rows.jsonl", int8=False)
    assert not record["exported"]
    assert "differ from torch's by" in record["reason"]
    assert not (directory / "onnx").exists()


@pytest.mark.parametrize("compensates", [False, True])
def test_neighbouring_weights_never_exceed_what_16_bits_hold(compensates):
    from onnx_rounding import MOST_OF_A_PAIR, quantise_weights

    random = np.random.default_rng(1)
    for inputs, outputs in ((7, 3), (64, 128), (384, 96)):
        weights = random.standard_t(3, (inputs, outputs)).astype(np.float32)
        weights[:, 0] = np.linspace(0.499, 0.503, inputs)
        weights[:2, 1] = (0.645, 0.635)
        sample = random.standard_normal((50, inputs)).astype(np.float32)
        integers, scales = quantise_weights(weights, sample if compensates else None)
        even = np.pad(integers.astype(int), ((0, inputs % 2), (0, 0)))
        pairs = even[0::2] + even[1::2]
        same = even[0::2] * even[1::2] > 0
        assert np.abs(pairs[same]).max() <= MOST_OF_A_PAIR
        if not compensates:
            assert (np.abs(integers * scales - weights) <= 0.501 * scales).all()


def test_rounding_that_is_made_good_changes_the_product_less():
    from onnx_rounding import quantise_weights

    random = np.random.default_rng(3)
    weights = random.standard_normal((200, 40)).astype(np.float32)
    # Channels that move together, as a model's do.
    inputs = random.standard_normal((600, 20)) @ random.standard_normal((20, 200))
    inputs = (inputs + 0.1 * random.standard_normal(inputs.shape)).astype(np.float32)
    sample, unseen = inputs[:400], inputs[400:]
    errors = []
    for given in (None, sample):
        integers, scales = quantise_weights(weights, given)
        errors.append(np.square(unseen @ (integers * scales - weights)).mean())
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("producer", [None, "Gelu"])
def test_a_product_in_8_bits_is_near_and_each_row_its_own(producer, tmp_path):
    from onnx import TensorProto, helper, numpy_helper

    from onnx_int8 import LADDER, quantised

    random = np.random.default_rng(2)
    weights = random.standard_normal((64, 48)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["h" if producer else "x", "w"], ["y"])]
    if producer:
        nodes.insert(0, helper.make_node(producer, ["x"], ["h"], domain="com.microsoft"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "product",
        [value("x", TensorProto.FLOAT, ["rows", 64])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    file = tmp_path / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(file))
    rows = random.standard_normal((9, 64)).astype(np.float32)
    rows[4], rows[5] = 1000 * rows[4], 0
    sample = {"h" if producer else "x": random.standard_normal((99, 64)).astype(np.float32)}
    for rung in LADDER[:2]:
        model = quantised(file, rung, sample)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (expected,) = onnxruntime.InferenceSession(str(file)).run(None, {"x": rows})
        (given,) = session.run(None, {"x": rows})
        for row in range(9):
            error = np.abs(given[row] - expected[row]).mean()
            assert error <= 0.02 * max(np.abs(expected[row]).mean(), 1.0)
            (alone,) = session.run(None, {"x": rows[row : row + 1]})
            assert np.array_equal(alone[0], given[row])
