"""The torch engine on real small models: what it loads, what it refuses, how it tokenises."""

import itertools
import logging
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from engine.torch_classifier import load
from engine.torch_tokens import TorchTokens
from fault import Fault
from tests.inference import tiny

SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return load(tiny.classifier(tmp_path_factory.mktemp("model")), "cpu")


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    return load(tiny.bart(tmp_path_factory.mktemp("model")), "cpu")


def test_texts_and_pairs_are_encoded_together_in_their_order(bert):
    texts = [SHORT, (SHORT, "refund"), LONG, (LONG, LONG), "", ("", "")]
    together = bert.tokens.encode(texts, "longest_first")
    alone = [bert.tokens.encode([text], "longest_first")[0] for text in texts]
    assert together == alone
    assert [one.cut for one in together] == [False, False, True, True, False, False]
    assert max(map(len, together)) == tiny.POSITIONS


def test_only_the_premise_is_cut_and_a_longer_hypothesis_is_left_whole(bert):
    (hypothesis,) = bert.tokens.encode(["the courier"], "never")
    (cut,) = bert.tokens.encode([(LONG, "the courier")], "only_first")
    assert len(cut) == tiny.POSITIONS
    assert cut.features["input_ids"][-3:] == hypothesis.features["input_ids"][1:]
    whole, fits = bert.tokens.encode([(SHORT, LONG), (SHORT, "refund")], "only_first")
    assert (len(whole) > tiny.POSITIONS, whole.cut) == (True, False)
    assert len(fits) < tiny.POSITIONS


@pytest.mark.parametrize("room_left", [0, 1])
def test_a_premise_keeps_at_least_one_token(bert, room_left):
    hypothesis = " ".join(["refund"] * (tiny.POSITIONS - 3 - room_left))
    (one,) = bert.tokens.encode([(LONG, hypothesis)], "only_first")
    assert one.cut is bool(room_left)
    assert (len(one) == tiny.POSITIONS) is bool(room_left)


def test_windows_cover_the_text_and_share_the_overlap(bert):
    (whole,) = bert.tokens.encode([LONG], "never")
    windows = [one.features["input_ids"][1:-1] for one in bert.tokens.windows(LONG, 4)]
    assert {len(window) for window in windows[:-1]} == {tiny.POSITIONS - 2}
    joined = list(windows[0])
    for before, window in itertools.pairwise(windows):
        assert before[-4:] == window[:4]
        joined += window[4:]
    assert joined == whole.features["input_ids"][1:-1]
    assert bert.tokens.windows(SHORT, 4) == bert.tokens.encode([SHORT], "never")


def test_a_tokenizer_in_python_makes_the_same_windows(tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(tiny.vocabulary()))
    if transformers.__version__.startswith("4."):
        python = transformers.BertTokenizer(str(vocabulary))
    else:
        from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

        python = BertTokenizerLegacy(str(vocabulary))
    assert not python.is_fast
    tokens = TorchTokens(python, tiny.POSITIONS)
    expected = TorchTokens(tiny.tokenizer(), tiny.POSITIONS)
    for text in (SHORT, LONG, "", " ".join(["refund"] * 30), " ".join(["refund"] * 31)):
        ours = [list(one.features["input_ids"]) for one in tokens.windows(text, 4)]
        assert ours == [list(one.features["input_ids"]) for one in expected.windows(text, 4)]


def test_a_batch_computes_what_each_sequence_computes_alone(bert, bart):
    for one in (bert, bart):
        texts = [LONG, SHORT, "refund", (SHORT, "refund"), (LONG, "courier"), ""]
        encoded = one.tokens.encode(texts, "longest_first")
        alone = np.concatenate([one.logits([sequence]) for sequence in encoded])
        assert one.logits(encoded) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "budget", "most_padding"),
    [
        (tiny.classifier, 512, 0.1),
        (tiny.bart, 512, 0.1),
        (tiny.gpt2_that_pads, 512, 0.1),
        (tiny.fnet, 512, 0.0),
        (tiny.gpt2_without_a_pad_token, 0, 0.1),
    ],
)
def test_batches_are_as_large_as_leaves_the_answers_alone(tmp_path, make, budget, most_padding):
    loaded = load(make(tmp_path), "cpu")
    assert (loaded.budget, loaded.most_padding) == (budget, most_padding)


def test_a_text_that_names_a_special_token_costs_no_other(bart):
    # A model of this kind wants as many ends of sentence in each row of a batch.
    encoded = bart.tokens.encode(["where is it", "where [SEP] it", "when is it"], "never")
    assert len({len(one) for one in encoded}) == 1
    logits = bart.logits(encoded)
    alone = np.concatenate([bart.logits([one]) for one in encoded])
    assert logits == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(logits).all()


def test_a_sequence_without_tokens_is_no_crash(tmp_path):
    model = load(tiny.gpt2_without_a_pad_token(tmp_path), "cpu")
    logits = model.logits(model.tokens.encode(["", "refund", "my parcel"], "never"))
    assert np.isfinite(logits).all(axis=1).tolist() == [False, True, True]


def test_positions_that_start_after_the_padding_index_are_not_overrun(tmp_path):
    model = load(tiny.roberta_without_a_tokenizer_limit(tmp_path), "cpu")
    assert model.tokens.limit == tiny.POSITIONS - 2
    assert np.isfinite(model.logits(model.tokens.encode([LONG, SHORT], "longest_first"))).all()


def test_weights_of_half_precision_are_computed_in_fp32_on_a_cpu(tmp_path):
    from transformers import BertForSequenceClassification

    directory = tiny.classifier(tmp_path)
    BertForSequenceClassification.from_pretrained(directory).half().save_pretrained(directory)
    runner = load(directory, "cpu").runner
    assert {p.dtype for p in runner._model.parameters()} == {torch.float32}


def test_torch_keeps_to_the_threads_of_its_worker(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("engine.threads.available_cores", lambda: 6)
    monkeypatch.setenv("SAGEMAKER_MODEL_SERVER_WORKERS", "2")
    try:
        load(tiny.classifier(tmp_path), "cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def broken_weights(directory):
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def no_weights(directory):
    (directory / "model.safetensors").unlink()


def pickled_weights(directory):
    tensors = load_file(directory / "model.safetensors")
    torch.save(tensors, directory / "pytorch_model.bin")
    no_weights(directory)


def no_config(directory):
    (directory / "config.json").unlink()


def config_of_nonsense(directory):
    (directory / "config.json").write_text('{"model_type": ["bert"]')


def config_with_a_gap_in_its_labels(directory):
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"2": "blue"', '"3": "blue"'))


def no_tokenizer(directory):
    for path in directory.glob("*token*"):
        path.unlink()


def broken_tokenizer(directory):
    (directory / "tokenizer.json").write_text("{")


def no_head(directory):
    shutil.rmtree(directory)
    tiny.encoder(directory)


@pytest.mark.parametrize(
    "damage",
    [
        broken_weights,
        no_weights,
        pickled_weights,
        no_config,
        config_of_nonsense,
        config_with_a_gap_in_its_labels,
        no_tokenizer,
        broken_tokenizer,
        no_head,
    ],
)
def test_an_artifact_that_cannot_serve_is_a_server_s_fault_with_its_reason(tmp_path, damage):
    directory = tiny.classifier(tmp_path / "model")
    damage(directory)
    with pytest.raises(Fault) as caught:
        load(directory, "cpu")
    assert (caught.value.code, caught.value.fault) == ("model_not_loaded", "server")
    assert len(caught.value.message) > 10
    assert str(tmp_path) not in caught.value.message


def test_why_a_sequence_cannot_be_computed_is_logged(tmp_path, caplog):
    model = load(tiny.gpt2_without_a_pad_token(tmp_path), "cpu")
    with caplog.at_level(logging.WARNING, "lectern"):
        model.logits(model.tokens.encode([""], "never"))
    assert "cannot be computed" in caplog.text
