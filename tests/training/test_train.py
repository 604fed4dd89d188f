"""The real Trainer on a tiny encoder: what it prints, learns and leaves; run under both versions."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from transformers import AutoTokenizer, pipeline

import train
from arguments import TrainingError
from tests.inference import tiny

ROOT = Path(__file__).parents[2]
EVALUATED = ("eval_loss", "eval_accuracy", "eval_f1", "eval_f1_micro")


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
    assert record["data"] == dataset
    assert record["metrics"] == metrics
    assert record["versions"]["transformers"] == transformers.__version__
    assert record["hyperparameters"] == {
        "epochs": 1,
        "learning_rate": 5e-5,
        "batch_size": 32,
        "max_length": 24,
        "train_only_top_layer": False,
        "weight_decay": 0.01,
        "warmup_ratio": 0.1,
        "learning_rate_schedule": "linear",
        "class_weights": "none",
        "label_smoothing": 0.0,
        "early_stopping_patience": 0,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "precision": "auto",
        "seed": 13,
    }
    assert record["seconds"] > 0
    evaluations = [entry for entry in record["history"] if "eval_loss" in entry]
    assert [entry["epoch"] for entry in evaluations] == [1]
    assert evaluations[0]["eval_f1"] == pytest.approx(metrics["eval_f1"], abs=1e-5)
    assert {"step", "epoch", "loss", "learning_rate"} <= record["history"][0].keys()


def test_metric_lines_match_one_expression_whatever_the_version(fine_tune, capsys):
    metrics, _ = fine_tune("--epochs=3")
    printed = capsys.readouterr().out
    found = {}
    for name in ("loss", "learning_rate", "epoch", *EVALUATED):
        found[name] = [
            float(value)
            for value in re.findall(rf"^METRIC {name}=([0-9.eE+-]+)$", printed, re.MULTILINE)
        ]
    # After the three evaluations, the figures of the one that is kept.
    assert all(len(found[name]) == 4 for name in EVALUATED)
    assert {name: found[name][-1] for name in EVALUATED} == pytest.approx(
        {name: metrics[name] for name in EVALUATED}, abs=1e-6
    )
    assert len(found["loss"]) >= 9
    assert all(0 <= rate <= 1e-4 for rate in found["learning_rate"][:-1])
    assert found["epoch"][-1] == 3
    assert metrics["eval_accuracy"] == pytest.approx(max(found["eval_accuracy"]), abs=1e-6)
    assert "'eval_accuracy'" not in printed, "the Trainer's own printer is still there"


def test_the_artifact_is_of_the_epoch_that_is_right_most_often_and_sure_of_it(
    fine_tune, tickets, capsys
):
    # Rates so high that accuracy jumps; where it jumps to differs from one processor to another.
    for rate in (0.006, 0.01, 0.003, 0.02):
        metrics, model_dir = fine_tune("--epochs=6", f"--learning_rate={rate}", "--batch_size=16")
        printed = capsys.readouterr().out
        accuracies, losses = (
            [float(value) for value in re.findall(rf"METRIC eval_{name}=([0-9.]+)", printed)][:-1]
            for name in ("accuracy", "loss")
        )
        epochs = range(len(accuracies))
        best = max(epochs, key=lambda epoch: accuracies[epoch] - 0.1 * losses[epoch])
        if best < len(accuracies) - 1:
            break
    else:
        pytest.fail("no run whose last epoch is not its best")
    assert metrics["eval_accuracy"] == pytest.approx(accuracies[best], abs=1e-6)
    assert metrics["epoch"] == best + 1
    lines = (tickets / "validation" / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    classify = pipeline("text-classification", model=str(model_dir))
    found = classify([row["text"] for row in rows], truncation=True)
    right = sum(answer["label"] == row["label"] for answer, row in zip(found, rows, strict=True))
    assert right / len(rows) == pytest.approx(metrics["eval_accuracy"], abs=1e-6)


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
    with pytest.raises(TrainingError, match=said):
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
    with pytest.raises(TrainingError, match="base_revision: the staged encoder is 'abc'"):
        fine_tune("--base_revision=other", base=staged)


def test_it_trains_as_the_training_toolkit_runs_it(base, tickets, tmp_path):
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


def test_a_refusal_is_one_line(base, tickets, tmp_path):
    arguments = [f"--{n}={tickets / n}" for n in ("train", "validation")]
    arguments += [f"--base={base}", f"--model_dir={tmp_path / 'model'}", "--max_length=64"]
    run = subprocess.run(
        [sys.executable, ROOT / "training" / "train.py", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("train: max_length: the base encoder reads at")
    assert "Traceback" not in run.stderr
