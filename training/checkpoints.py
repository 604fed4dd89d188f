"""Checkpoints that survive an interrupted job: whole ones of this very training, or none."""

import hashlib
import json
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import transformers
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from processes import Processes

# Written last, with every file's size: what is copied to S3 and back arrives in any order.
SEAL = "complete.json"
STATE = "trainer_state.json"
# 128 + SIGTERM, as a shell says it.
INTERRUPTED = 143


def fingerprint(base: Path, *parts: object) -> str:
    """Name a training by all that decides its result."""
    digest = hashlib.sha256()
    digest.update(json.dumps([transformers.__version__, torch.__version__, *parts]).encode())
    for path in sorted(path for path in base.iterdir() if path.is_file()):
        # The weights' digests stand in the record that Stage wrote, where there is one.
        if path.suffix == ".json" or not (base / "base.json").is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def newest_complete(folder: Path, processes: Processes) -> Path | None:
    """The checkpoint to resume from: the newest that is whole, and whose best one is, too.

    Each machine has a folder of its own, and all resume from the same step.
    """
    here = {_step(path) for path in folder.glob("checkpoint-*") if _can_resume_from(path)}
    whole = processes.common(here)
    return folder / f"checkpoint-{max(whole)}" if whole else None


def drop_incomplete(folder: Path) -> None:
    """Delete torn checkpoints: the Trainer would count them when it deletes old ones."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not _is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Steps, figures and the best checkpoint so far, as the Trainer wrote them."""
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _can_resume_from(checkpoint: Path) -> bool:
    if not _is_complete(checkpoint):
        return False
    best = read_state(checkpoint)["best_model_checkpoint"]
    return best is None or _is_complete(checkpoint.parent / Path(best).name)


def _is_complete(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
        return all((checkpoint / n).stat().st_size == size for n, size in sizes.items())
    except (OSError, ValueError):
        return False


class Checkpoints(TrainerCallback):
    """Seals each checkpoint; at SIGTERM, saves one after the step that runs, and ends."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        self.told_to_stop = False
        self.stopping = False
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.told_to_stop = True

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        # The machine that wrote it may have had the folder elsewhere.
        if state.best_model_checkpoint is not None:
            state.best_model_checkpoint = str(self.folder / Path(state.best_model_checkpoint).name)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        if not self.processes.any(self.told_to_stop):
            return
        self.stopping = True
        # After the last step of an epoch its evaluation has to come first; that saves by itself.
        control.should_save = state.global_step % (state.max_steps // state.num_train_epochs) != 0

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        self.processes.wait()
        checkpoint = self.folder / f"checkpoint-{state.global_step}"
        if self.processes.index_here == 0:
            sizes = {path.name: path.stat().st_size for path in checkpoint.iterdir()}
            (checkpoint / SEAL).write_text(json.dumps(sizes), encoding="utf-8")
        self.processes.wait()
        if self.stopping:
            self.processes.say(f"interrupted: step {state.global_step} is kept, run again to go on")
            sys.exit(INTERRUPTED)
