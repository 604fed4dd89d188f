"""The hyperparameters and channels of train.py, each with its type, default and bounds."""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

CHANNELS = {
    "train": "SM_CHANNEL_TRAIN",
    "validation": "SM_CHANNEL_VALIDATION",
    "base": "SM_CHANNEL_BASE",
    "model_dir": "SM_MODEL_DIR",
}
# What a run is told beside how to train: it changes nothing of the result.
OPERATIONAL = ("base_id", "base_revision", "checkpoint_dir", *CHANNELS)


class TrainingError(ValueError):
    """The training cannot start, or it gave no usable model."""


def read_arguments(argv: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Parse what the training toolkit passes: every hyperparameter as `--name value`."""
    parser = argparse.ArgumentParser(prog="train", description=description, allow_abbrev=False)
    parser.add_argument("--epochs", type=_count, default=3)
    parser.add_argument("--learning_rate", type=_positive, default=5e-5)
    parser.add_argument("--batch_size", type=_count, default=16, help="rows a device and pass")
    parser.add_argument("--max_length", type=_count, default=128)
    parser.add_argument("--train_only_top_layer", type=_true_or_false, default=False)
    parser.add_argument("--weight_decay", type=_not_negative, default=0.01)
    parser.add_argument("--warmup_ratio", type=_share, default=0.1)
    parser.add_argument(
        "--learning_rate_schedule", choices=["linear", "cosine", "constant"], default="linear"
    )
    parser.add_argument("--class_weights", choices=["none", "balanced"], default="none")
    parser.add_argument("--label_smoothing", type=_share, default=0.0)
    parser.add_argument(
        "--early_stopping_patience", type=_whole, default=0, help="in evaluations; 0: off"
    )
    parser.add_argument("--gradient_accumulation_steps", type=_count, default=1)
    parser.add_argument("--gradient_checkpointing", type=_true_or_false, default=False)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16", "fp16"], default="auto")
    parser.add_argument("--seed", type=_whole, default=13)
    parser.add_argument("--base_id", default="", help="what the base channel holds")
    parser.add_argument("--base_revision", default="")
    parser.add_argument("--checkpoint_dir", default="", help="empty: no checkpoints")
    for name, variable in CHANNELS.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            default=os.environ.get(variable),
            required=variable not in os.environ,
            help=f"default: ${variable}",
        )
    return parser.parse_args(argv)


def hyperparameters(args: argparse.Namespace) -> dict[str, object]:
    """Those that decide the result."""
    return {name: value for name, value in vars(args).items() if name not in OPERATIONAL}


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got '{text}'")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def _positive(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, got '{text}'")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"must be at least 0, got '{text}'")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got '{text}'")
    return number


def _true_or_false(text: str) -> bool:
    # Hyperparameters reach a script as text; the training toolkit writes booleans as True, False.
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be True or False, got '{text}'")
    return text.lower() == "true"
