"""Fine-tuning as the examples of transformers do it: the Trainer's defaults, nothing more."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)


def main(argv: list[str]) -> float:
    """Train with the arguments of train.py, save, and return the last validation accuracy.

    `--padding max_length` fills every text up to the limit when it is tokenised; `longest` fills
    each batch up to its longest text.
    """
    args = _arguments(argv)
    set_seed(args.seed)
    labels = json.loads((args.train / "dataset.json").read_text(encoding="utf-8"))["labels"]
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    model = AutoModelForSequenceClassification.from_pretrained(args.base, num_labels=len(labels))
    if args.train_only_top_layer == "True":
        for parameter in model.base_model.parameters():
            parameter.requires_grad = False
    padded = args.padding == "max_length"
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                num_train_epochs=args.epochs,
                learning_rate=args.learning_rate,
                per_device_train_batch_size=args.batch_size,
                per_device_eval_batch_size=args.batch_size,
                eval_strategy="epoch",
                save_strategy="no",
                seed=args.seed,
                disable_tqdm=True,
                report_to="none",
            ),
            train_dataset=_rows(args.train, tokenizer, labels, args),
            eval_dataset=_rows(args.validation, tokenizer, labels, args),
            processing_class=tokenizer,
            data_collator=default_data_collator if padded else DataCollatorWithPadding(tokenizer),
            compute_metrics=_accuracy,
        )
        trainer.train()
        trainer.save_model(args.model_dir)
    evaluations = [entry for entry in trainer.state.log_history if "eval_accuracy" in entry]
    return float(evaluations[-1]["eval_accuracy"])


def _rows(
    directory: Path, tokenizer: PreTrainedTokenizerBase, labels: list[str], args: argparse.Namespace
) -> list[dict[str, Any]]:
    lines = (directory / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    encoded = tokenizer(
        [row["text"] for row in rows],
        truncation=True,
        max_length=args.max_length,
        padding="max_length" if args.padding == "max_length" else False,
    )
    return [
        {**{name: values[i] for name, values in encoded.items()}, "label": labels.index(r["label"])}
        for i, r in enumerate(rows)
    ]


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    right = np.argmax(prediction.predictions, axis=-1) == prediction.label_ids
    return {"accuracy": float(right.mean())}


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "validation", "base", "model_dir"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--padding", choices=["max_length", "longest"], required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--max_length", type=int, required=True)
    parser.add_argument("--train_only_top_layer", required=True)
    parser.add_argument("--seed", type=int, default=13)
    return parser.parse_args(argv)
