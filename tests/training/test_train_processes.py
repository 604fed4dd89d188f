"""Two processes under torchrun, over gloo, on one machine or two: one result, told and saved once."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
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


def test_two_machines_that_are_interrupted_go_on_and_end_where_one_does(given, tmp_path):
    settings = [*QUICK, "--epochs=3"]

    def start():
        """An agent of torchrun for each machine, with checkpoints of its own."""
        port = free_port()
        agents = []
        for machine in ("0", "1"):
            words = [*channels(*given, tmp_path / f"model-{machine}"), *settings, "--batch_size=8"]
            agents.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=1"),
                        *("--nnodes=2", f"--node_rank={machine}", f"--master_port={port}"),
                        *(ROOT / "training" / "train.py", *words),
                        f"--checkpoint_dir={tmp_path / f'kept-{machine}'}",
                    ],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return agents

    def sealed():
        return [list(tmp_path.glob(f"kept-{m}/*/*/complete.json")) for m in ("0", "1")]

    interrupted = start()
    until = time.monotonic() + 100
    while not all(sealed()) and time.monotonic() < until:
        assert interrupted[0].poll() is None, interrupted[0].communicate()[0][-4000:]
        time.sleep(0.01)
    for agent in interrupted:
        agent.send_signal(signal.SIGTERM)
    first = [agent.communicate(timeout=100)[0] for agent in interrupted]
    assert "is kept, run again to go on" in first[0], first[0][-4000:]
    assert not (tmp_path / "model-0").exists()

    ended = start()
    told = [agent.communicate(timeout=100)[0] for agent in ended]
    assert [agent.returncode for agent in ended] == [0, 0], "\n".join(t[-4000:] for t in told)
    assert "resuming at step" in told[0]
    assert "METRIC" not in told[1]
    figures = train_on(*given, tmp_path / "one", *settings, "--batch_size=16")
    assert record_of(tmp_path / "model-0")["metrics"] == pytest.approx(figures, abs=1e-4)
    assert largest_difference(tmp_path / "one", tmp_path / "model-0") < 1e-5
    assert not (tmp_path / "model-1").exists(), "the second machine saved a model, too"
    assert not any(sealed()), "checkpoints of a finished training"
