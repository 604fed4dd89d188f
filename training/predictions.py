"""A packed model and its probabilities of texts, single-label or multi-label."""

import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

ARTIFACT = "model.tar.gz"
RECORD = "lectern.json"
SINGLE_LABEL, MULTI_LABEL = "single-label", "multi-label"
DEFAULT_THRESHOLD = 0.5
# Padded tokens per forward pass; small on a CPU, so that activations stay in its cache.
TOKENS_PER_BATCH = {"cpu": 512, "cuda": 16384}

Text = str | tuple[str, str]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """A loaded model, what it predicts, and what its artifact says of itself."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...]
    problem: str
    thresholds: NDArray[np.float64]
    """Of a multi-label model, the score from which on each label is predicted."""
    record: Mapping[str, Any]
    """lectern.json; empty where the artifact has none."""


def load(archive: Path) -> Classifier:
    """Load a model artifact; OSError and ValueError where it holds no classifier."""
    with tempfile.TemporaryDirectory() as scratch:
        model_dir = Path(scratch)
        unpack(archive, model_dir)
        record = _record(model_dir / RECORD)
        tokenizer = AutoTokenizer.from_pretrained(
            model_dir, trust_remote_code=False, local_files_only=True
        )
        model = AutoModelForSequenceClassification.from_pretrained(
            model_dir, use_safetensors=True, trust_remote_code=False, local_files_only=True
        ).eval()
    labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
    tuned = record.get("thresholds") or {}
    return Classifier(
        model=model,
        tokenizer=tokenizer,
        labels=labels,
        problem=_problem(model.config.problem_type, record),
        thresholds=np.array([float(tuned.get(label, DEFAULT_THRESHOLD)) for label in labels]),
        record=record,
    )


def predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    problem: str = SINGLE_LABEL,
) -> Probabilities:
    """Probabilities of shape (rows, classes): they sum to 1, or each label has its own.

    Rows keep their order; batches hold texts of like length, as many as fit a budget of tokens.
    Texts are cut at the limit that was saved with the tokenizer.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    taken = inspect.signature(model.forward).parameters
    encoded = {name: values for name, values in _encode(tokenizer, texts).items() if name in taken}
    pad = DataCollatorWithPadding(tokenizer)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    logits = np.empty((len(texts), model.config.num_labels), dtype=np.float32)
    for batch in _batches(lengths, TOKENS_PER_BATCH[device]):
        inputs = pad([{name: values[i] for name, values in encoded.items()} for i in batch])
        with torch.inference_mode():
            logits[batch] = model(**inputs.to(device)).logits.float().cpu().numpy()
    return sigmoid(logits) if problem == MULTI_LABEL else softmax(logits)


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def sigmoid(logits: NDArray[np.float32]) -> Probabilities:
    # By tanh, which no logit overflows.
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Text]) -> Mapping[str, Any]:
    if texts and not isinstance(texts[0], str):
        firsts, seconds = zip(*texts, strict=True)
        return tokenizer(list(firsts), list(seconds), truncation=True)
    return tokenizer(list(texts), truncation=True)


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[index] > budget:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def _record(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    return record if isinstance(record, dict) else {}


def _problem(problem_type: str | None, record: Mapping[str, Any]) -> str:
    if problem_type is not None:
        return {
            "single_label_classification": SINGLE_LABEL,
            "multi_label_classification": MULTI_LABEL,
        }.get(problem_type, problem_type)
    return str((record.get("data") or {}).get("problem") or SINGLE_LABEL)
