"""How long the rows are, in characters and in the tokens of the encoder to be trained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rows import DataError

LOOKED_AT = 50_000
"""Rows that are tokenized at most: enough for a percentile, seconds rather than hours."""


class TokenCounter:
    """Counts tokens as the encoder in a directory sees them, its special tokens with them."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                directory, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise DataError(
                f"--base {directory}: no tokenizer can be loaded from it ({error}): give a "
                "directory as the step Stage writes it, or leave --base and --max-length away"
            ) from error

    def count(self, rows: Sequence[tuple[str, str | None]]) -> list[int]:
        texts = [text for text, _ in rows]
        pairs = None if rows[0][1] is None else [pair for _, pair in rows]
        ids = self._tokenizer(texts, pairs, truncation=False, verbose=False)["input_ids"]
        return [len(tokens) for tokens in ids]


def describe(values: np.ndarray) -> dict[str, float | int]:
    """Mean, median, two upper percentiles and the largest of at least one whole number."""
    median, p95, p99 = np.percentile(values, [50, 95, 99], method="inverted_cdf")
    return {
        "mean": round(float(values.mean()), 2),
        "median": int(median),
        "p95": int(p95),
        "p99": int(p99),
        "max": int(values.max()),
    }


def evenly(kept: np.ndarray, at_most: int = LOOKED_AT) -> np.ndarray:
    """Of the rows that are kept (a mask), at most so many, at even distances (a mask)."""
    rows = np.flatnonzero(kept)
    chosen = np.zeros(len(kept), dtype=bool)
    if len(rows) > at_most:
        rows = rows[np.arange(at_most) * len(rows) // at_most]
    chosen[rows] = True
    return chosen
