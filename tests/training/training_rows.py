"""Rows as Prepare leaves them, made up in place; a word of each decides its labels."""

import json
import random
from pathlib import Path

LABELS = ("2", "10", "late")
WORDS = {
    "2": ("invoice", "bill", "charged", "fee"),
    "10": ("password", "login", "account", "locked"),
    "late": ("parcel", "courier", "driver", "door"),
}
FILLERS = ("the", "a", "my", "is", "was", "not", "please", "how", "do", "i", "why", "we", "it")


def write_rows(
    directory: Path,
    *,
    train: int = 96,
    validation: int = 48,
    several: bool = False,
    pairs: bool = False,
    labels: tuple[str, ...] = LABELS,
    longest: int = 16,
) -> Path:
    """Fill train/ and validation/ with rows.jsonl and dataset.json."""
    chance = random.Random(7)
    splits = {"train": train, "validation": validation}
    for name, count in splits.items():
        (directory / name).mkdir(parents=True)
        rows = [_row(chance, several, pairs, labels, longest) for _ in range(count)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (directory / name / "rows.jsonl").write_text(lines, encoding="utf-8")
    dataset = {
        "problem": "multi-label" if several else "single-label",
        "labels": list(labels),
        "pairs": pairs,
        "digest": f"sha256:{several}{pairs}{train}",
        "rows": splits,
        "files": [],
    }
    (directory / "train" / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    return directory


def read_rows(directory: Path, split: str) -> list[dict]:
    lines = (directory / split / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _row(chance, several, pairs, labels, longest) -> dict:
    chosen = [label for label in labels if chance.random() < 0.4] if several else None
    one = chance.choice(labels)
    decisive = [
        chance.choice(WORDS.get(label, WORDS["2"]))
        for label in (chosen if chosen is not None else [one])
    ]
    fillers = [chance.choice(FILLERS) for _ in range(chance.randint(1, longest))]
    words = decisive + fillers
    chance.shuffle(words)
    row = {"text": " ".join(words)}
    if pairs:
        row = {"text": " ".join(fillers), "text_pair": " ".join(decisive)}
    return {**row, "labels": chosen} if several else {**row, "label": one}
