"""Rows as token numbers in flat files: data larger than memory trains, and no text is kept."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from arguments import TrainingError

ROWS_AT_ONCE = 2000


class Problem(NamedTuple):
    """What is learned from a row: one label or any number of them, of one text or of two."""

    several: bool
    pairs: bool
    label2id: dict[str, int]


class EncodedRows(Dataset[dict[str, Any]]):
    """The rows of one split, memory-mapped; attention masks are left to padding."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.truncated: int = about["truncated"]
        self.offsets: NDArray[np.int64] = np.fromfile(folder / "offsets", dtype=np.int64)
        self.lengths: NDArray[np.int64] = np.diff(self.offsets)
        self.labels: NDArray[Any] = np.fromfile(folder / "labels", dtype=about["label_type"])
        if about["classes"]:
            self.labels = self.labels.reshape(-1, about["classes"])
        self._tokens = {
            name: np.memmap(folder / name, dtype=np.int32, mode="r") for name in about["inputs"]
        }

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.inputs(index), "labels": self.labels[index]}

    def inputs(self, index: int) -> dict[str, list[int]]:
        """What the tokenizer made of one row."""
        start, end = self.offsets[index], self.offsets[index + 1]
        return {name: tokens[start:end].tolist() for name, tokens in self._tokens.items()}


class Padding:
    """Collates rows: each batch padded to its own longest text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        # Tensor cores want multiples of eight.
        multiple = 8 if torch.cuda.is_available() else None
        self.pad = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        labels = torch.from_numpy(np.stack([row.pop("labels") for row in rows]))
        # A loss over several labels needs numbers of the logits' kind.
        return {**self.pad(rows), "labels": labels.float() if labels.dim() == 2 else labels.long()}


def encode(
    path: Path, tokenizer: PreTrainedTokenizerBase, problem: Problem, folder: Path
) -> EncodedRows:
    """Tokenise rows.jsonl, a few thousand rows in memory at a time, into files in `folder`."""
    folder.mkdir(parents=True)
    classes = len(problem.label2id)
    label_type = np.dtype(np.uint8 if problem.several else np.int32)
    lengths: list[NDArray[np.int64]] = []
    truncated = 0
    files: dict[str, Any] = {}
    with (folder / "labels").open("wb") as labels_file:
        for rows in _chunks(path):
            encoded = _tokenise(tokenizer, rows, problem.pairs)
            for name, values in encoded.items():
                if name not in files:
                    files[name] = (folder / name).open("wb")
                np.concatenate([np.asarray(v, dtype=np.int32) for v in values]).tofile(files[name])
            counts = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
            lengths.append(counts)
            truncated += _count_truncated(tokenizer, rows, counts, problem.pairs)
            _labels(path, rows, problem, classes).astype(label_type).tofile(labels_file)
    for file in files.values():
        file.close()
    if not lengths:
        raise TrainingError(f"{path.parent.name}/{path.name} has no rows: run Prepare again")
    np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(lengths))]).tofile(
        folder / "offsets"
    )
    about = {
        "inputs": list(files),
        "label_type": label_type.str,
        "classes": classes if problem.several else 0,
        "truncated": truncated,
    }
    # Last: processes that share the folder read it once this is there.
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return EncodedRows(folder)


class _Row(NamedTuple):
    number: int
    text: str
    pair: str | None
    labels: list[str]


def _chunks(path: Path) -> Iterator[list[_Row]]:
    with path.open(encoding="utf-8") as file:
        lines = enumerate(file, start=1)
        while part := list(islice(lines, ROWS_AT_ONCE)):
            yield [_row(path, number, json.loads(line)) for number, line in part]


def _row(path: Path, number: int, row: dict[str, Any]) -> _Row:
    labels = row["labels"] if "labels" in row else [row.get("label")]
    return _Row(number, row["text"], row.get("text_pair"), labels)


def _tokenise(
    tokenizer: PreTrainedTokenizerBase, rows: list[_Row], pairs: bool
) -> dict[str, list[list[int]]]:
    texts = [row.text for row in rows]
    second = ([row.pair or "" for row in rows],) if pairs else ()
    encoded = tokenizer(texts, *second, truncation=True, return_attention_mask=False, verbose=False)
    return dict(encoded)


def _count_truncated(
    tokenizer: PreTrainedTokenizerBase,
    rows: list[_Row],
    counts: NDArray[np.int64],
    pairs: bool,
) -> int:
    full = [rows[i] for i in np.flatnonzero(counts >= tokenizer.model_max_length)]
    if not full:
        return 0
    second = ([row.pair or "" for row in full],) if pairs else ()
    whole = tokenizer(
        [row.text for row in full],
        *second,
        truncation=False,
        return_attention_mask=False,
        verbose=False,
    )
    return sum(len(ids) > tokenizer.model_max_length for ids in whole["input_ids"])


def _labels(path: Path, rows: list[_Row], problem: Problem, classes: int) -> NDArray[np.int64]:
    """Class numbers of shape (rows,), or of several labels zeros and ones of (rows, classes)."""
    indices = [[_class(path, row, label, problem) for label in row.labels] for row in rows]
    if not problem.several:
        return np.array([of_row[0] for of_row in indices], dtype=np.int64)
    found = np.zeros((len(rows), classes), dtype=np.int64)
    for number, of_row in enumerate(indices):
        found[number, of_row] = 1
    return found


def _class(path: Path, row: _Row, label: str, problem: Problem) -> int:
    if label not in problem.label2id:
        raise TrainingError(
            f"{path.parent.name}/{path.name} line {row.number}: label '{label}' is none of the "
            f"{len(problem.label2id)} in dataset.json: run Prepare again"
        )
    return problem.label2id[label]
