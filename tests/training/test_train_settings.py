"""Hyperparameters by what they change: weights, figures, or a refusal that names them."""

import json
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

import train
from arguments import TrainingError
from objective import balanced_weights, objective, starting_bias
from tests.training import encoders
from tests.training.running import channels, largest_difference, record_of, train_on
from tests.training.training_rows import write_rows

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "prepared", train=70)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("rows") / "prepared", train=70, several=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    model = encoders.bert(**NO_DROPOUT)
    return encoders.save(model, tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("kind", ["data", "several"])
def test_accumulated_passes_equal_one_large_batch(tmp_path, kind, base, request):
    data = request.getfixturevalue(kind)
    weights = ("--class_weights=balanced", "--label_smoothing=0.1")
    large = train_on(data, base, tmp_path / "large", "--batch_size=16", *weights)
    passes = ("--batch_size=4", "--gradient_accumulation_steps=4")
    small = train_on(data, base, tmp_path / "small", *passes, *weights)
    assert small == pytest.approx(large, abs=1e-5)
    assert largest_difference(tmp_path / "large", tmp_path / "small") < 1e-5


def answer(logits):
    return SequenceClassifierOutput(logits=logits)


def test_the_loss_of_one_label_is_pytorch_s_with_weights_and_smoothing():
    logits = torch.randn(6, 3, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 2, 2, 0])
    weights = balanced_weights(labels.numpy(), 3)
    assert weights.tolist() == pytest.approx([1.0, 2.0, 2 / 3])
    loss = objective(several=False, weights=weights, label_smoothing=0.2)
    # With row weights whose mean is 1 over these rows, a sum over rows is what to divide.
    expected = functional.cross_entropy(
        logits, labels, weight=weights, label_smoothing=0.2, reduction="sum"
    )
    assert loss(answer(logits), labels).item() == pytest.approx(expected.item() / 6)
    halves = [loss(answer(logits[i : i + 3]), labels[i : i + 3], 6) for i in (0, 3)]
    assert sum(halves).item() == pytest.approx(expected.item() / 6)
    with torch.no_grad():
        plain = functional.cross_entropy(logits, labels)
        assert loss(answer(logits), labels).item() == pytest.approx(plain.item())


def test_the_loss_of_several_labels_weighs_positives_and_smooths_towards_a_half():
    logits = torch.randn(4, 2, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    weights = balanced_weights(labels.numpy().astype(np.uint8), 2)
    assert weights.tolist() == pytest.approx([1 / 3, 3.0])
    loss = objective(several=True, weights=weights, label_smoothing=0.2)
    targets = torch.where(labels > 0, 0.9, 0.1)
    expected = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
    assert loss(answer(logits), labels).item() == pytest.approx(expected.item())
    with torch.no_grad():
        plain = functional.binary_cross_entropy_with_logits(logits, labels)
        assert loss(answer(logits), labels).item() == pytest.approx(plain.item())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_head_of_several_labels_starts_where_constant_answers_lose_least(weighted, smoothing):
    labels = np.zeros((400, 3), dtype=np.int64)
    labels[:200, 0], labels[:40, 1], labels[:4, 2] = 1, 1, 1
    weights = balanced_weights(labels, 3) if weighted else None
    bias = starting_bias(labels, weights, smoothing).requires_grad_()
    loss = objective(several=True, weights=weights, label_smoothing=smoothing)
    given = torch.from_numpy(labels).float()
    loss(SequenceClassifierOutput(logits=bias.expand(400, 3)), given).backward()
    assert bias.grad.abs().max() < 1e-6
    if not weighted and not smoothing:
        assert bias.tolist() == pytest.approx([0, -2.197, -4.595], abs=0.001)
        everywhere = starting_bias(np.ones((9, 1), dtype=np.int64), None, 0)
        assert everywhere.isfinite().all()


def test_a_class_that_no_row_or_every_row_has_weighs_nothing_in():
    assert balanced_weights(np.array([0, 0, 2]), 3).tolist() == [0.75, 1.0, 1.5]
    labels = np.array([[1, 0, 1], [1, 0, 0]], dtype=np.uint8)
    weights = balanced_weights(labels, 3)
    assert weights.tolist() == [1.0, 1.0, 1.0]
    assert starting_bias(labels, weights, 0.0).isfinite().all()


def test_weights_and_smoothing_change_what_is_learned_and_not_how_it_is_measured(
    tmp_path, data, base
):
    plain = train_on(data, base, tmp_path / "plain")
    for name, setting in (("w", "--class_weights=balanced"), ("s", "--label_smoothing=0.3")):
        other = train_on(data, base, tmp_path / name, setting)
        assert largest_difference(tmp_path / "plain", tmp_path / name) > 1e-4
        assert other["eval_loss"] != plain["eval_loss"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda share: 1 - share),
        ("cosine", lambda share: (1 + math.cos(math.pi * share)) / 2),
        ("constant", lambda share: 1.0),
    ],
)
def test_the_rate_warms_up_and_then_follows_its_schedule(tmp_path, data, base, schedule, expected):
    settings = (f"--learning_rate_schedule={schedule}", "--warmup_ratio=0.2", "--epochs=4")
    train_on(data, base, tmp_path / "model", *settings, "--train_only_top_layer=True")
    logged = [e for e in record_of(tmp_path / "model")["history"] if "learning_rate" in e]
    assert len(logged) == 20
    warm = 4
    for entry in logged:
        # The rate of a step is that of the steps before it.
        done = entry["step"] - 1
        share = done / warm if done < warm else expected((done - warm) / (20 - warm))
        assert entry["learning_rate"] == pytest.approx(3e-3 * share, rel=1e-4, abs=1e-9)


def test_without_a_better_evaluation_for_so_long_training_ends(tmp_path, data, base, capsys):
    # At this rate nothing is learned, so the first evaluation stays the best or ties.
    settings = ("--epochs=9", "--learning_rate=1e-12", "--early_stopping_patience=2")
    figures = train_on(data, base, tmp_path / "model", *settings)
    evaluations = [e for e in record_of(tmp_path / "model")["history"] if "eval_loss" in e]
    assert evaluations[-1]["epoch"] - figures["epoch"] == 2
    assert len(evaluations) < 9
    assert len(re.findall("METRIC eval_accuracy", capsys.readouterr().out)) == len(evaluations) + 1


@pytest.mark.parametrize("settings", [("--precision=bf16",), ("--gradient_checkpointing=True",)])
def test_cheaper_arithmetic_and_less_memory_train_nearly_the_same(tmp_path, data, base, settings):
    plain = train_on(data, base, tmp_path / "plain", "--epochs=1")
    other = train_on(data, base, tmp_path / "other", "--epochs=1", *settings)
    assert other["eval_loss"] == pytest.approx(plain["eval_loss"], rel=0.05)
    same = settings == ("--gradient_checkpointing=True",)
    assert (largest_difference(tmp_path / "plain", tmp_path / "other") < 1e-5) == same


def test_the_precision_is_the_hyperparameter_s_whatever_the_environment_says(
    tmp_path, data, base, monkeypatch
):
    train_on(data, base, tmp_path / "plain", "--epochs=1", "--precision=fp32")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    train_on(data, base, tmp_path / "other", "--epochs=1", "--precision=fp32")
    assert largest_difference(tmp_path / "plain", tmp_path / "other") < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_half_precision_of_gpus_is_refused_without_one(tmp_path, data, base):
    with pytest.raises(TrainingError, match="precision: fp16 needs a GPU"):
        train_on(data, base, tmp_path / "model", "--precision=fp16")


@pytest.mark.parametrize(
    "argument",
    [
        "--learning_rate_schedule=exponential",
        "--class_weights=True",
        "--label_smoothing=1",
        "--early_stopping_patience=-1",
        "--gradient_accumulation_steps=0",
        "--gradient_checkpointing=yes",
        "--precision=half",
        "--weight_decay=-0.1",
        "--weight_decay=nan",
    ],
)
def test_a_value_that_is_not_allowed_is_an_error(tmp_path, data, base, argument, capsys):
    with pytest.raises(SystemExit):
        train.main([*channels(data, base, tmp_path / "model"), argument])
    assert argument.split("=")[0] in capsys.readouterr().err


def test_texts_that_are_cut_are_counted(tmp_path, base, capsys):
    data = write_rows(tmp_path / "prepared", train=30)
    lines = (data / "train" / "rows.jsonl").read_text().splitlines()
    # Two of special tokens, so ten words are the most that twelve tokens hold.
    texts = ["my " * 10, "my " * 11, "my " * 40] + ["my"] * 27
    rows = [{**json.loads(line), "text": text} for line, text in zip(lines, texts, strict=True)]
    (data / "train" / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    train_on(data, base, tmp_path / "model", "--max_length=12", "--epochs=1")
    assert record_of(tmp_path / "model")["truncated"] == {"rows": 2, "share": round(2 / 30, 6)}
    assert "2 rows to train on (6.7%) are longer than max_length 12" in capsys.readouterr().out


def test_a_label_that_prepare_did_not_name_is_refused_with_its_line(tmp_path, base):
    data = write_rows(tmp_path / "prepared", train=30)
    with (data / "validation" / "rows.jsonl").open("a") as file:
        file.write('{"text": "a", "label": "unheard of"}\n')
    said = r"validation/rows\.jsonl line 49: label 'unheard of' is none of the 3"
    with pytest.raises(TrainingError, match=said):
        train_on(data, base, tmp_path / "model")
