"""Measures a model artifact on held-out rows, with bootstrap errors and intervals."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from artifact import unpack
from metrics import ClassCounts, count, per_class, summary

CONFIDENCE = 0.95
# Padded tokens per forward pass; small on a CPU, so that activations stay in its cache.
TOKENS_PER_BATCH = {"cpu": 512, "cuda": 16384}
RESAMPLES_AT_ONCE = 100
# The matrix of a thousand classes would be a million lines of evaluation.json.
MOST_CLASSES_IN_MATRIX = 200


class EvaluationError(ValueError):
    """The model cannot be measured on these rows."""


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write evaluation.json and return what it holds."""
    args = _arguments(argv)
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = _unpack(args.model, Path(scratch))
        tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(
            model_dir, use_safetensors=True, local_files_only=True
        ).eval()
    labels = [model.config.id2label[i] for i in range(model.config.num_labels)]
    texts, true = _read_rows(args.test / "rows.jsonl", labels)
    predicted = predict(model, tokenizer, texts)
    evaluation = evaluate(true, predicted, labels, args.resamples, args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "evaluation.json").write_text(
        json.dumps(evaluation, indent=2) + "\n", encoding="utf-8"
    )
    for name, metric in evaluation["metrics"].items():
        low, high = metric["confidence_interval"]
        print(f"{name} {metric['value']:.4f} [{low:.4f}, {high:.4f}]")
        print(f"METRIC {name}={metric['value']:.6f}")
    return evaluation


def evaluate(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    labels: Sequence[str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Compute all figures from class indices, both arrays of shape (rows,)."""
    counts = count(true, predicted, len(labels))
    values = summary(counts)
    draws = _bootstrap(true, predicted, len(labels), resamples, seed)
    tail = 100 * (1 - CONFIDENCE) / 2
    return {
        "metrics": {
            name: {
                "value": round(float(values[name]), 6),
                "standard_error": round(float(draws[name].std(ddof=1)), 6),
                "confidence_interval": [
                    round(float(bound), 6)
                    for bound in np.percentile(draws[name], [tail, 100 - tail])
                ],
            }
            for name in values
        },
        "rows": len(true),
        "resamples": resamples,
        "confidence": CONFIDENCE,
        "seed": seed,
        "per_class": _per_class(counts, labels),
        "confusion_matrix": _confusion_matrix(true, predicted, labels),
    }


def _bootstrap(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: int,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Score resamples of the rows, drawn with replacement.

    A resample matters only by how often each (true, predicted) pair is in it, and these counts are
    multinomial: so they are drawn as such instead of row by row.
    """
    cells, times = np.unique(np.stack([true, predicted], axis=1), axis=0, return_counts=True)
    of_true, of_predicted = cells.T
    hit = of_true == of_predicted
    random = np.random.default_rng(seed)
    parts = []
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        size = min(RESAMPLES_AT_ONCE, resamples - start)
        drawn = random.multinomial(len(true), times / len(true), size=size).astype(float)
        counts = ClassCounts(
            hits=_per_resample(drawn * hit, of_true, classes),
            support=_per_resample(drawn, of_true, classes),
            predicted=_per_resample(drawn, of_predicted, classes),
        )
        parts.append(summary(counts))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _per_resample(
    drawn: NDArray[np.float64], class_of: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Sum counts of shape (resamples, cells) by the cells' class, to (resamples, classes)."""
    return np.stack([np.bincount(class_of, weights=row, minlength=classes) for row in drawn])


def _confusion_matrix(
    true: NDArray[np.int64], predicted: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any] | None:
    if len(labels) > MOST_CLASSES_IN_MATRIX:
        return None
    matrix = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(matrix, (true, predicted), 1)
    return {"labels": list(labels), "true_by_predicted": matrix.tolist()}


def predict(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> NDArray[np.int64]:
    """Class indices of texts, in their order; batches hold texts of like length."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    encoded = tokenizer(list(texts), truncation=True)
    pad = DataCollatorWithPadding(tokenizer)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    predicted = np.empty(len(texts), dtype=np.int64)
    for batch in _batches(lengths, TOKENS_PER_BATCH[device]):
        inputs = pad([{name: values[i] for name, values in encoded.items()} for i in batch])
        with torch.inference_mode():
            predicted[batch] = model(**inputs.to(device)).logits.argmax(dim=-1).cpu().numpy()
    return predicted


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[index] > budget:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def _unpack(directory: Path, scratch: Path) -> Path:
    archive = directory / "model.tar.gz"
    if not archive.is_file():
        raise EvaluationError(f"no model.tar.gz in {directory}: --model takes its directory")
    unpack(archive, scratch)
    return scratch


def _read_rows(path: Path, labels: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    index = {label: i for i, label in enumerate(labels)}
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    if not rows:
        raise EvaluationError(f"{path.name} in {path.parent} holds no rows")
    unknown = sorted({row["label"] for row in rows} - index.keys())
    if unknown:
        raise EvaluationError(
            f"the model knows the classes {list(labels)}, the rows also hold {unknown}: "
            "evaluate it on rows of the data set that it was trained on"
        )
    return [row["text"] for row in rows], np.array([index[row["label"]] for row in rows])


def _per_class(counts: ClassCounts, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    figures = per_class(counts)
    return {
        label: {
            **{name: round(float(values[i]), 6) for name, values in figures.items()},
            "support": int(counts.support[i]),
        }
        for i, label in enumerate(labels)
    }


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="directory of model.tar.gz")
    parser.add_argument("--test", type=Path, required=True, help="directory of rows.jsonl")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resamples", type=_resamples, default=1000)
    parser.add_argument("--seed", type=int, default=13)
    return parser.parse_args(argv)


def _resamples(text: str) -> int:
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, got {text}")
    return number


if __name__ == "__main__":
    try:
        main()
    except EvaluationError as error:
        sys.exit(f"evaluate: {error}")
