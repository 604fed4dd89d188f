"""Sample requests of each task, and what a right answer looks like."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

TEXT = "The parcel arrived a day early and everything works."
SHORT = {"max_new_tokens": 8}
REQUESTS: dict[str, list[dict[str, Any]]] = {
    # Every class is asked for, so that every score is seen.
    "text-classification": [{"inputs": TEXT, "parameters": {"top_k": None}}],
    "zero-shot-classification": [
        {"inputs": TEXT, "parameters": {"candidate_labels": ["delivery", "billing"]}}
    ],
    "token-classification": [{"inputs": "Ada Lovelace lived in London."}],
    "question-answering": [
        {"inputs": {"question": "When did the parcel arrive?", "context": TEXT}}
    ],
    "table-question-answering": [
        {
            "inputs": {
                "query": "How many parcels arrived?",
                "table": {"thing": ["parcel", "letter"], "arrived": ["2", "5"]},
            }
        }
    ],
    # How a mask is written is the model's own: BERT's way, then RoBERTa's.
    "fill-mask": [
        {"inputs": "The parcel arrived a [MASK] early."},
        {"inputs": "The parcel arrived a <mask> early."},
    ],
    "feature-extraction": [{"inputs": TEXT}],
    "summarization": [{"inputs": TEXT, "parameters": SHORT}],
    "translation": [{"inputs": TEXT, "parameters": SHORT}],
    "text2text-generation": [{"inputs": TEXT, "parameters": SHORT}],
    "text-generation": [{"inputs": TEXT, "parameters": SHORT}],
}


def requests(task: str) -> list[bytes]:
    """The bodies of the samples; a good endpoint answers one of them."""
    return [json.dumps(request).encode() for request in REQUESTS[_kind(task)]]


def complaint(task: str, body: str) -> str | None:
    """What is wrong with the answer to a sample, or None."""
    try:
        answer = json.loads(body)
    except ValueError:
        return f"its answer is not JSON: {body[:200]!r}"
    if not _SHAPES[_kind(task)](answer):
        return f"its answer does not have the shape of {task}: {body[:200]}"
    if not all(math.isfinite(number) for number in _numbers(answer)):
        return f"its answer holds a score that is not finite: {body[:200]}"
    return None


def _kind(task: str) -> str:
    if task.startswith("translation_"):
        return "translation"
    return "text-classification" if task == "sentiment-analysis" else task


def _numbers(answer: object) -> list[float]:
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list):
        return [number for part in answer for number in _numbers(part)]
    return [answer] if isinstance(answer, int | float) else []


def _entries(least: int, **members: type) -> Callable[[object], bool]:
    """A list of objects that have these members, and may have more."""
    return lambda answer: (
        isinstance(answer, list)
        and len(answer) >= least
        and all(_entry(**members)(entry) for entry in answer)
    )


def _entry(**members: type) -> Callable[[object], bool]:
    return lambda answer: (
        isinstance(answer, dict)
        and all(_is_a(kind, answer.get(name)) for name, kind in members.items())
    )


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, int | float if kind is float else kind)


def _is_zero_shot(answer: object) -> bool:
    return _entry(sequence=str, labels=list, scores=list)(answer) and (
        isinstance(answer, dict) and len(answer["labels"]) == len(answer["scores"]) == 2
    )


def _are_features(answer: object, depth: int = 3) -> bool:
    """Texts, tokens, numbers."""
    if depth == 0:
        return isinstance(answer, int | float)
    return (
        isinstance(answer, list)
        and len(answer) > 0
        and all(_are_features(part, depth - 1) for part in answer)
    )


_SHAPES: dict[str, Callable[[object], bool]] = {
    "text-classification": _entries(1, label=str, score=float),
    "zero-shot-classification": _is_zero_shot,
    # It may find nothing in the sample.
    "token-classification": _entries(0, word=str, score=float),
    "question-answering": _entry(answer=str, score=float),
    "table-question-answering": _entry(answer=str),
    "fill-mask": _entries(1, token_str=str, score=float),
    "feature-extraction": _are_features,
    "summarization": _entries(1, summary_text=str),
    "translation": _entries(1, translation_text=str),
    "text2text-generation": _entries(1, generated_text=str),
    "text-generation": _entries(1, generated_text=str),
}
