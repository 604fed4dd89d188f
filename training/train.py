"""Fine-tunes an encoder to classify texts, with the Trainer of transformers 4.51 up to 5."""

import argparse
import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from artifact import write_record
from metrics import count, summary
from progress import Progress
from shipped import copy_code, inference
from stage import read_record

CHANNELS = {
    "train": "SM_CHANNEL_TRAIN",
    "validation": "SM_CHANNEL_VALIDATION",
    "base": "SM_CHANNEL_BASE",
    "model_dir": "SM_MODEL_DIR",
}
LOGS_PER_EPOCH = 5


class TrainingError(ValueError):
    """The training cannot start, or it gave no usable model."""


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Train, write the model artifact, and return the metrics of the epoch that it holds.

    That is the epoch with the best validation accuracy; of equal ones, that with the lowest loss.
    """
    args = _arguments(argv)
    set_seed(args.seed)
    dataset = json.loads((args.train / "dataset.json").read_text(encoding="utf-8"))
    base = _base_identity(args)
    tokenizer = _tokenizer(args.base, args.max_length)
    model = _model(args.base, dataset["labels"])
    if args.train_only_top_layer:
        for parameter in model.base_model.parameters():
            parameter.requires_grad = False
    train_rows = _encode(args.train / "rows.jsonl", tokenizer, model.config.label2id)
    validation_rows = _encode(args.validation / "rows.jsonl", tokenizer, model.config.label2id)
    print(
        f"{len(train_rows)} rows to train on, {len(validation_rows)} to validate, "
        f"{model.config.num_labels} classes, base {base['id']} {base['revision']}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=_training_arguments(args, scratch, len(train_rows)),
            train_dataset=train_rows,
            eval_dataset=validation_rows,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=_measure(model.config.num_labels),
            callbacks=[Progress()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    metrics = _best_epoch(trainer.state.log_history)

    model.save_pretrained(args.model_dir, safe_serialization=True)
    tokenizer.save_pretrained(args.model_dir)
    copy_code(inference(), args.model_dir / "code")
    write_record(
        args.model_dir,
        base=base,
        dataset=dataset,
        hyperparameters={
            name: value
            for name, value in vars(args).items()
            if name not in CHANNELS and not name.startswith("base_")
        },
        metrics=metrics,
    )
    print(
        f"kept epoch {metrics['epoch']:g} of {args.epochs}: "
        f"validation accuracy {metrics['eval_accuracy']:.4f}",
        flush=True,
    )
    return metrics


def _base_identity(args: argparse.Namespace) -> dict[str, str]:
    record = read_record(args.base)
    if record is None:
        return {"id": args.base_id, "revision": args.base_revision}
    for name in ("id", "revision"):
        given = getattr(args, f"base_{name}")
        if given and given != record[name]:
            raise TrainingError(
                f"base_{name}: the staged encoder is '{record[name]}', got '{given}': "
                "run Stage again, or correct the setting"
            )
    return record


def _tokenizer(base: Path, max_length: int) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    config = AutoConfig.from_pretrained(base, local_files_only=True)
    limit = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", math.inf))
    if max_length > limit:
        raise TrainingError(
            f"max_length: the base encoder reads at most {limit} tokens, got {max_length}: "
            f"use {limit} or less"
        )
    # Saved with the model, so that serving cuts texts where training did.
    tokenizer.model_max_length = max_length
    return tokenizer


def _model(base: Path, labels: Sequence[str]) -> PreTrainedModel:
    return AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="single_label_classification",
        # A base that was fine-tuned before may have another number of classes.
        ignore_mismatched_sizes=True,
        use_safetensors=True,
        local_files_only=True,
    )


def _encode(
    path: Path, tokenizer: PreTrainedTokenizerBase, label2id: dict[str, int]
) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    encoded = tokenizer([row["text"] for row in rows], truncation=True)
    return [
        {**{name: values[i] for name, values in encoded.items()}, "labels": label2id[row["label"]]}
        for i, row in enumerate(rows)
    ]


def _training_arguments(args: argparse.Namespace, scratch: str, rows: int) -> TrainingArguments:
    steps_per_epoch = math.ceil(rows / (args.batch_size * max(1, torch.cuda.device_count())))
    return TrainingArguments(
        output_dir=scratch,
        num_train_epochs=args.epochs,
        learning_rate=args.learning_rate,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size * 2,
        weight_decay=args.weight_decay,
        # On two CPU cores a quarter of the step's time less than the loop over tensors.
        optim="adamw_torch_fused",
        # In steps, since the ratio's own setting is gone from transformers 5.
        warmup_steps=round(args.warmup_ratio * steps_per_epoch * args.epochs),
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_selection",
        greater_is_better=True,
        logging_steps=max(1, steps_per_epoch // LOGS_PER_EPOCH),
        logging_nan_inf_filter=False,
        seed=args.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to="none",
        **_group_by_length(),
    )


def _group_by_length() -> dict[str, Any]:
    """The setting that batches texts of like length, under its name before and since 5."""
    if "group_by_length" in {field.name for field in dataclasses.fields(TrainingArguments)}:
        return {"group_by_length": True}
    return {"train_sampling_strategy": "group_by_length"}


def _measure(classes: int) -> Callable[[EvalPrediction], dict[str, float]]:
    def measure(prediction: EvalPrediction) -> dict[str, float]:
        predicted = np.argmax(prediction.predictions, axis=-1)
        values = summary(count(prediction.label_ids, predicted, classes))
        # Rows that are right decide; below one of them, the loss does.
        right = np.count_nonzero(predicted == prediction.label_ids)
        selection = right + 1 / (1 + _cross_entropy(prediction.predictions, prediction.label_ids))
        chosen = {"accuracy": values["accuracy"], "f1": values["f1"], "selection": selection}
        return {name: float(value) for name, value in chosen.items()}

    return measure


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over rows, in nats; infinite where the logits are not numbers."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    log_likelihood = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -log_likelihood[np.arange(len(labels)), labels].mean()
    return float(loss) if np.isfinite(loss) else math.inf


def _best_epoch(history: Sequence[dict[str, float]]) -> dict[str, float]:
    evaluations = [entry for entry in history if "eval_accuracy" in entry]
    best = max(evaluations, key=lambda entry: entry["eval_selection"])
    if not math.isfinite(best["eval_loss"]):
        raise TrainingError(
            f"the training diverged, validation loss is {best['eval_loss']}: lower learning_rate"
        )
    return {
        name: round(best[name], 6) for name in ("eval_loss", "eval_accuracy", "eval_f1", "epoch")
    }


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train", description=__doc__, allow_abbrev=False)
    parser.add_argument("--epochs", type=_count, default=3)
    parser.add_argument("--learning_rate", type=_positive, default=1e-4)
    parser.add_argument("--batch_size", type=_count, default=16)
    parser.add_argument("--max_length", type=_count, default=128)
    parser.add_argument("--train_only_top_layer", type=_true_or_false, default=False)
    parser.add_argument("--weight_decay", type=float, default=0.01)
    parser.add_argument("--warmup_ratio", type=_share, default=0.1)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--base_id", default="", help="what the base channel holds")
    parser.add_argument("--base_revision", default="")
    for name, variable in CHANNELS.items():
        parser.add_argument(
            f"--{name}",
            type=Path,
            default=os.environ.get(variable),
            required=variable not in os.environ,
            help=f"default: ${variable}",
        )
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def _positive(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, got '{text}'")
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


if __name__ == "__main__":
    main()
