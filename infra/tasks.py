"""The tasks that a model may have, and what each of them can be served with."""

from __future__ import annotations

import re

TRAINED = "text-classification"
"""The task of every model that a pipeline trains."""
# Arithmetic over a classifier's logits, so any engine that gives these can answer.
ANY_ENGINE = ("text-classification", "sentiment-analysis", "zero-shot-classification")
TASKS = (
    *ANY_ENGINE,
    "token-classification",
    "question-answering",
    "table-question-answering",
    "fill-mask",
    "feature-extraction",
    "summarization",
    "translation",
    "text2text-generation",
    "text-generation",
)
# Both languages, as the Hugging Face pipelines write them.
TRANSLATION = r"translation_[A-Za-z]+_to_[A-Za-z]+"


def is_known(task: str) -> bool:
    """Whether the serving code answers `task`."""
    return task in TASKS or re.fullmatch(TRANSLATION, task) is not None
