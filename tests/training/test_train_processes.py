"""Two processes under torchrun, over gloo: one result, told and saved once."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import encoders
from tests.training.running import QUICK, channels, largest_difference, record_of, train_on
from tests.training.training_rows import write_rows

ROOT = Path(__file__).parents[2]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("given")
    # Whole updates; the validation rows are odd, so that one process has fewer.
    data = write_rows(root / "prepared", train=96, validation=47, several=True)
    return data, encoders.save(encoders.bert(**NO_DROPOUT), root / "base")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("top_layer", ["False", "True"])
def test_two_processes_end_where_one_does_with_batches_twice_as_large(given, tmp_path, top_layer):
    settings = [*QUICK, f"--train_only_top_layer={top_layer}"]
    command = [*channels(*given, tmp_path / "two-of-$RANK"), *settings, "--batch_size=8"]
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--no-python")
    script = f"exec {sys.executable} {ROOT / 'training' / 'train.py'} {' '.join(command)}"
    run = subprocess.run(
        [*torchrun, f"--master_port={free_port()}", "sh", "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    figures = train_on(*given, tmp_path / "one", *settings, "--batch_size=16")
    told = [float(v) for v in re.findall(r"^METRIC eval_loss=([0-9.]+)$", run.stdout, re.MULTILINE)]
    assert len(told) == 3, "two evaluations, and the figures of the one that is kept"
    assert run.stdout.count("kept epoch") == 1
    assert not (tmp_path / "two-of-1").exists(), "the second process saved a model, too"
    two = tmp_path / "two-of-0"
    ours, alone = record_of(two), record_of(tmp_path / "one")
    assert ours["metrics"] == pytest.approx(figures, abs=1e-4)
    assert ours["thresholds"] == pytest.approx(alone["thresholds"], abs=1e-3)
    assert largest_difference(tmp_path / "one", two) < 1e-5
