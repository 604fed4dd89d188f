"""The real Trainer on a tiny encoder: what it prints, learns and leaves; run under both versions."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, EvalPrediction

import evaluate
import train
from tests.inference import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return tiny.encoder(tmp_path_factory.mktemp("base"))


@pytest.fixture
def fine_tune(base, tickets, tmp_path):
    def run(*arguments, base=base, output="model"):
        places = {
            "train": tickets / "train",
            "validation": tickets / "validation",
            "base": base,
            "model_dir": tmp_path / output,
        }
        quick = ["--epochs=1", "--max_length=24", "--batch_size=32"]
        channels = [f"--{name}={path}" for name, path in places.items()]
        return train.main([*channels, *quick, *arguments]), tmp_path / output

    return run


def files_under(directory):
    return sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()
    )


def test_the_artifact_holds_all_that_serving_needs_and_nothing_else(fine_tune, tickets):
    metrics, model_dir = fine_tune("--base_id=some/encoder", "--base_revision=abc")
    config = json.loads((model_dir / "config.json").read_text())
    labels = ["0", "1", "2", "3", "4"]
    assert config["id2label"] == {str(i): label for i, label in enumerate(labels)}
    assert config["label2id"] == {label: i for i, label in enumerate(labels)}
    assert config["problem_type"] == "single_label_classification"
    assert AutoTokenizer.from_pretrained(model_dir).model_max_length == 24
    names = files_under(model_dir)
    assert "model.safetensors" in names
    assert not [name for name in names if "checkpoint" in name or name.endswith((".bin", ".pt"))]
    code = [name.removeprefix("code/") for name in names if name.startswith("code/")]
    shipped = [n for n in files_under(ROOT / "inference") if n.endswith(".py")]
    assert code == shipped
    assert "inference.py" in code
    record = json.loads((model_dir / "lectern.json").read_text())
    dataset = json.loads((tickets / "train" / "dataset.json").read_text())
    assert record["task"] == "text-classification"
    assert record["base"] == {"id": "some/encoder", "revision": "abc"}
    assert record["data"] == {key: dataset[key] for key in ("digest", "rows", "labels")}
    assert record["metrics"] == metrics
    assert record["versions"]["transformers"] == transformers.__version__
    assert record["hyperparameters"] == {
        "epochs": 1,
        "learning_rate": 1e-4,
        "batch_size": 32,
        "max_length": 24,
        "train_only_top_layer": False,
        "weight_decay": 0.01,
        "warmup_ratio": 0.1,
        "seed": 13,
    }


def test_metric_lines_match_one_expression_whatever_the_version(fine_tune, capsys):
    metrics, _ = fine_tune("--epochs=3")
    printed = capsys.readouterr().out
    found = {}
    for name in ("loss", "eval_loss", "eval_accuracy", "eval_f1", "epoch", "learning_rate"):
        found[name] = [
            float(value)
            for value in re.findall(rf"^METRIC {name}=([0-9.eE+-]+)$", printed, re.MULTILINE)
        ]
    assert len(found["eval_accuracy"]) == len(found["eval_f1"]) == len(found["eval_loss"]) == 3
    assert len(found["loss"]) >= 9
    assert all(0 <= rate <= 1e-4 for rate in found["learning_rate"][:-1])
    assert found["epoch"][-1] == 3
    assert metrics["eval_accuracy"] == pytest.approx(max(found["eval_accuracy"]), abs=1e-6)
    assert "'eval_accuracy'" not in printed, "the Trainer's own printer is still there"


def test_of_equally_right_epochs_the_one_with_the_lower_loss_is_chosen():
    labels = np.array([0, 1])
    sure, unsure = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[0.1, 0.0], [0.0, 0.1]])
    half = np.array([[9.0, 0.0], [9.0, 0.0]])
    measure = train._measure(2)
    selection = [
        measure(EvalPrediction(predictions=logits, label_ids=labels))["selection"]
        for logits in (half, unsure, sure)
    ]
    assert selection[0] < selection[1] < selection[2]


def test_the_artifact_is_of_the_epoch_with_the_best_validation_accuracy(fine_tune, tickets, capsys):
    # Rates so high that accuracy jumps; where it jumps to differs from one processor to another.
    for rate in (0.006, 0.01, 0.003, 0.02):
        metrics, model_dir = fine_tune("--epochs=6", f"--learning_rate={rate}", "--batch_size=16")
        printed = capsys.readouterr().out
        accuracies, losses = (
            [float(value) for value in re.findall(rf"METRIC eval_{name}=([0-9.]+)", printed)]
            for name in ("accuracy", "loss")
        )
        if accuracies[-1] < max(accuracies):
            break
    else:
        pytest.fail("no run whose last epoch is not its best")
    assert metrics["eval_accuracy"] == pytest.approx(max(accuracies), abs=1e-6)
    epochs = range(len(accuracies))
    best = min(epochs, key=lambda epoch: (-accuracies[epoch], losses[epoch]))
    assert metrics["epoch"] == best + 1
    model = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
    texts, true = evaluate._read_rows(
        tickets / "validation" / "rows.jsonl", ["0", "1", "2", "3", "4"]
    )
    predicted = evaluate.predict(model, AutoTokenizer.from_pretrained(model_dir), texts)
    assert np.mean(true == predicted) == pytest.approx(metrics["eval_accuracy"], abs=1e-6)


def test_training_only_the_top_layer_leaves_the_encoder_as_it_was(fine_tune, base):
    before = load_file(base / "model.safetensors")
    _, top = fine_tune("--train_only_top_layer=True", "--learning_rate=0.01", output="top")
    _, full = fine_tune("--train_only_top_layer=False", "--learning_rate=0.01", output="full")
    for name, tensor in before.items():
        assert torch.equal(load_file(top / "model.safetensors")[f"bert.{name}"], tensor), name
    after = load_file(full / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(after[f"bert.{name}"], before[name])
    assert not torch.equal(
        load_file(top / "model.safetensors")["classifier.weight"], after["classifier.weight"]
    )


def test_the_same_seed_gives_the_same_weights(fine_tune):
    digests = []
    for output, seed in (("one", 1), ("again", 1), ("other", 2)):
        _, model_dir = fine_tune(f"--seed={seed}", output=output)
        digests.append(hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max_length=64"], "max_length: the base encoder reads at most 32 tokens, got 64"),
        (["--learning_rate=1e30", "--epochs=2"], "diverged"),
    ],
)
def test_what_cannot_train_is_refused_with_the_setting_s_name(fine_tune, arguments, said):
    with pytest.raises(train.TrainingError, match=said):
        fine_tune(*arguments)


@pytest.mark.parametrize(
    "argument",
    [
        "--train_only_top_layer=1",
        "--train_only_top_layer=",
        "--epochs=0",
        "--epochs=1.5",
        "--learning_rate=0",
        "--learning_rate=nan",
        "--warmup_ratio=1",
        "--learning-rate=0.1",
        "--nope=1",
        "--lear=0.1",
    ],
)
def test_a_hyperparameter_of_another_type_or_name_is_an_error(fine_tune, argument, capsys):
    with pytest.raises(SystemExit):
        fine_tune(argument)
    assert argument.split("=")[0] in capsys.readouterr().err


def test_a_staged_base_names_itself_and_contradictions_are_refused(fine_tune, base, tmp_path):
    staged = tmp_path / "staged"
    shutil.copytree(base, staged)
    files = {"config.json": hashlib.sha256((base / "config.json").read_bytes()).hexdigest()}
    record = {"id": "some/encoder", "revision": "abc", "files": files}
    (staged / "base.json").write_text(json.dumps(record))
    _, model_dir = fine_tune(base=staged)
    found = json.loads((model_dir / "lectern.json").read_text())
    assert found["base"] == {"id": "some/encoder", "revision": "abc"}
    assert not (model_dir / "base.json").exists()
    with pytest.raises(train.TrainingError, match="base_revision: the staged encoder is 'abc'"):
        fine_tune("--base_revision=other", base=staged)


def test_it_trains_as_the_training_toolkit_runs_it_and_its_artifact_is_measured(
    base, tickets, tmp_path
):
    source = tmp_path / "code"
    shutil.copytree(ROOT / "training", source)
    shutil.copytree(ROOT / "inference", source / "inference")
    (source / "inference" / "__pycache__").mkdir(exist_ok=True)
    (source / "inference" / "__pycache__" / "left.pyc").write_bytes(b"left over")
    model_dir = tmp_path / "model"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SM_CHANNEL_TRAIN": str(tickets / "train"),
        "SM_CHANNEL_VALIDATION": str(tickets / "validation"),
        "SM_CHANNEL_BASE": str(base),
        "SM_MODEL_DIR": str(model_dir),
    }
    hyperparameters = "--base_id x --batch_size 16 --epochs 1 --learning_rate 2e-05 --max_length 24"
    run = subprocess.run(
        [sys.executable, "train.py", *hyperparameters.split(), "--train_only_top_layer", "True"],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    assert "METRIC eval_accuracy=" in run.stdout
    assert (model_dir / "code" / "inference.py").is_file()
    assert not (model_dir / "code" / "__pycache__").exists()

    packed = tmp_path / "packed"
    packed.mkdir()
    shutil.make_archive(str(packed / "model"), "gztar", model_dir)
    evaluation = evaluate.main(
        [f"--model={packed}", f"--test={tickets / 'test'}", f"--output={tmp_path / 'evaluation'}"]
    )
    written = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert written == evaluation
    assert set(written["metrics"]) == {"accuracy", "f1", "precision", "recall"}
    assert sum(sum(row) for row in written["confusion_matrix"]["true_by_predicted"]) == 28
