"""Which evaluation of a training is kept, and when to wait for a better one no longer."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arguments import TrainingError

Log = Sequence[dict[str, Any]]
FIGURES = ("eval_loss", "eval_accuracy", "eval_f1", "eval_f1_micro", "epoch")
MOST_ENTRIES = 300


class Outcome(NamedTuple):
    """A finished training: its log, and the validation rows through the model that is kept."""

    log: Log
    logits: NDArray[Any]
    labels: NDArray[Any]


def evaluations(log: Log) -> list[dict[str, Any]]:
    return [entry for entry in log if "eval_selection" in entry]


def best_evaluation(log: Log) -> dict[str, Any]:
    """The first of the best."""
    return max(evaluations(log), key=lambda entry: entry["eval_selection"])


def is_patience_over(log: Log, patience: int) -> bool:
    """Whether that many evaluations have come since the best; never where patience is 0."""
    found = evaluations(log)
    if not patience or not found:
        return False
    return len(found) - 1 - found.index(best_evaluation(log)) >= patience


def kept_figures(log: Log) -> dict[str, float]:
    """The figures of the evaluation whose weights are kept."""
    best = best_evaluation(log)
    if not math.isfinite(best["eval_loss"]):
        raise TrainingError(
            f"the training diverged, validation loss is {best['eval_loss']}: lower learning_rate"
        )
    return {name: round(best[name], 6) for name in FIGURES}


def history(log: Log) -> list[dict[str, float]]:
    """The curves: all evaluations, and of the losses as many, evenly, as there is room for."""
    losses = [entry for entry in log if "loss" in entry]
    room = max(1, MOST_ENTRIES - len(evaluations(log)))
    wanted = np.unique(np.linspace(0, len(losses) - 1, room).round().astype(int))
    chosen = losses if len(losses) <= room else [losses[i] for i in wanted]
    names = ("step", "epoch", "loss", "learning_rate", *FIGURES[:-1])
    return [
        {name: _short(entry[name]) for name in names if name in entry}
        for entry in sorted([*chosen, *evaluations(log)], key=lambda entry: entry["step"])
    ][-MOST_ENTRIES:]


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")
