"""An interrupted training, run again, ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import checkpoints
import train
from processes import Processes
from tests.training import encoders
from tests.training.running import QUICK, channels, largest_difference, record_of, train_on
from tests.training.training_rows import write_rows

ROOT = Path(__file__).parents[2]
# Dropout is on: random numbers have to go on where they were.
SETTINGS = ("--epochs=4", "--batch_size=8", "--gradient_accumulation_steps=2")
UPDATES = 7


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("given")
    # The last update of an epoch is not whole.
    data = write_rows(root / "prepared", train=100)
    return data, encoders.save(encoders.bert, root / "base")


@pytest.fixture(scope="module")
def whole(given, tmp_path_factory):
    """Trained without an interruption."""
    model_dir = tmp_path_factory.mktemp("whole")
    return train_on(*given, model_dir, *SETTINGS), model_dir


@pytest.fixture(autouse=True)
def own_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def interrupt_at(step, monkeypatch):
    """Send this process a SIGTERM while that update is computed."""
    passes = [0]
    of_objective = train.objective

    def counting(**settings):
        loss = of_objective(**settings)

        def counted(outputs, labels, num_items_in_batch=None):
            import torch

            if torch.is_grad_enabled():
                passes[0] += 1
                if passes[0] == step * 2:
                    os.kill(os.getpid(), signal.SIGTERM)
            return loss(outputs, labels, num_items_in_batch)

        return counted

    monkeypatch.setattr(train, "objective", counting)


@pytest.mark.parametrize("step", [UPDATES + 3, 2 * UPDATES, 1])
def test_sigterm_keeps_the_step_and_another_run_goes_on_from_it(
    given, whole, tmp_path, step, monkeypatch, capsys
):
    kept = f"--checkpoint_dir={tmp_path / 'checkpoints'}"
    with monkeypatch.context() as patched:
        interrupt_at(step, patched)
        with pytest.raises(SystemExit) as stopped:
            train_on(*given, tmp_path / "model", *SETTINGS, kept)
    assert stopped.value.code == 143
    assert f"interrupted: step {step} is kept" in capsys.readouterr().out
    assert not (tmp_path / "model").exists()
    figures = train_on(*given, tmp_path / "model", *SETTINGS, kept)
    assert f"resuming at step {step} of {4 * UPDATES}" in capsys.readouterr().out
    assert figures == whole[0]
    assert largest_difference(tmp_path / "model", whole[1]) < 1e-6
    evaluations = [
        [e for e in record_of(d)["history"] if "eval_loss" in e]
        for d in (tmp_path / "model", whole[1])
    ]
    assert evaluations[0] == evaluations[1]
    assert not list((tmp_path / "checkpoints").iterdir()), "checkpoints of a finished training"


def test_a_killed_training_goes_on_from_its_last_evaluation(given, whole, tmp_path, capsys):
    kept = tmp_path / "checkpoints"
    command = [*channels(*given, tmp_path / "model"), *QUICK, *SETTINGS, f"--checkpoint_dir={kept}"]
    run = subprocess.Popen(
        [sys.executable, ROOT / "training" / "train.py", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until = time.monotonic() + 100
    while not list(kept.glob("*/*/complete.json")) and time.monotonic() < until:
        assert run.poll() is None, run.stdout.read().decode()[-3000:]
        time.sleep(0.01)
    run.kill()
    run.communicate()
    assert list(kept.glob("*/checkpoint-*")), "it was over before it was killed"
    figures = train_on(*given, tmp_path / "model", *SETTINGS, f"--checkpoint_dir={kept}")
    assert "resuming at step" in capsys.readouterr().out
    assert figures == pytest.approx(whole[0], abs=1e-6)
    assert largest_difference(tmp_path / "model", whole[1]) < 1e-6


@pytest.fixture
def interrupted(given, tmp_path, monkeypatch, capsys):
    """The folder of a training's checkpoints: of the first evaluation, and of two steps later."""
    with monkeypatch.context() as patched:
        interrupt_at(UPDATES + 2, patched)
        with pytest.raises(SystemExit):
            train_on(*given, tmp_path / "m", *SETTINGS, f"--checkpoint_dir={tmp_path / 'kept'}")
    capsys.readouterr()
    [folder] = (tmp_path / "kept").iterdir()
    assert {path.name for path in folder.iterdir()} == {"checkpoint-7", "checkpoint-9"}
    return folder


def test_a_torn_checkpoint_is_passed_over(interrupted, given, whole, tmp_path, capsys):
    optimizer = interrupted / "checkpoint-9" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    kept = f"--checkpoint_dir={interrupted.parent}"
    figures = train_on(*given, tmp_path / "model", *SETTINGS, kept)
    assert "resuming at step 7 of" in capsys.readouterr().out
    assert figures == whole[0]


def test_checkpoints_whose_best_did_not_arrive_are_passed_over(interrupted):
    shutil.rmtree(interrupted / "checkpoint-7")
    assert checkpoints.newest_complete(interrupted, Processes()) is None


def test_checkpoints_may_have_moved(interrupted, given, whole, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.move(interrupted.parent, moved)
    figures = train_on(*given, tmp_path / "model", *SETTINGS, f"--checkpoint_dir={moved}")
    assert "resuming at step 9" in capsys.readouterr().out
    assert figures == whole[0]
    assert largest_difference(tmp_path / "model", whole[1]) < 1e-6


def test_a_folder_beside_the_base_s_files_names_no_other_training(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    named = checkpoints.fingerprint(tmp_path, "rows")
    (tmp_path / "1_Pooling").mkdir()
    assert checkpoints.fingerprint(tmp_path, "rows") == named


def test_another_training_does_not_resume_from_them(interrupted, given, tmp_path, capsys):
    kept = f"--checkpoint_dir={interrupted.parent}"
    train_on(*given, tmp_path / "model", *SETTINGS, kept, "--seed=14", "--epochs=1")
    assert "resuming" not in capsys.readouterr().out
    assert interrupted.is_dir(), "another training's checkpoints were deleted"


def test_a_training_that_had_stopped_early_is_not_taken_further(given, tmp_path, monkeypatch):
    early = ("--epochs=9", "--learning_rate=1e-12", "--early_stopping_patience=1")
    kept = f"--checkpoint_dir={tmp_path / 'kept'}"
    once = train_on(*given, tmp_path / "once", *SETTINGS, *early)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "kept_figures", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_on(*given, tmp_path / "again", *SETTINGS, *early, kept)
    again = train_on(*given, tmp_path / "again", *SETTINGS, *early, kept)
    assert once == again
    last = [record_of(tmp_path / n)["history"][-1] for n in ("once", "again")]
    assert last[0] == last[1]
    assert json.dumps(last[0])
