"""Prints how far a training is, and `METRIC name=value` lines for the job's metric definitions."""

import time
from collections.abc import Mapping

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# The Trainer also reports speeds under these prefixes; they are not metrics of the model.
METRICS = (
    "loss",
    "learning_rate",
    "epoch",
    "eval_loss",
    "eval_accuracy",
    "eval_f1",
    "eval_f1_micro",
)


class Progress(TrainerCallback):
    """Takes the place of the Trainer's own printer, whose format changed between versions."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        values = {name: value for name, value in (logs or {}).items() if name in METRICS}
        if not state.is_world_process_zero or not {"loss", "eval_loss"} & values.keys():
            return
        seconds = time.monotonic() - self.started
        shown = ", ".join(
            f"{name} {value:.4g}"
            for name, value in values.items()
            if name not in ("epoch", "learning_rate")
        )
        print(
            f"step {state.global_step}/{state.max_steps}, "
            f"epoch {values.get('epoch', 0):.2f}/{args.num_train_epochs:g}: {shown} "
            f"({seconds:.0f} s)"
        )
        tell_metrics(values)


def tell_metrics(values: Mapping[str, float]) -> None:
    """One `METRIC name=value` line each, which the job's metric definitions match."""
    for name, value in values.items():
        # Learning rates need more digits than six after the point.
        text = f"{value:.6e}" if name == "learning_rate" else f"{value:.6f}"
        print(f"METRIC {name}={text}")
    # Whoever follows the log sees each step when it is done, not when a buffer is full.
    print(end="", flush=True)
