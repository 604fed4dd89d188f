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

# Other names that the Hugging Face pipelines take for one.
ALIASES = {"sentiment-analysis": TRAINED}


def canonical(task: str) -> str:
    """The task that a name stands for: `translation_en_to_de` is a translation."""
    if re.fullmatch(TRANSLATION, task):
        return "translation"
    return ALIASES.get(task, task)


def is_known(task: str) -> bool:
    """Whether the serving code answers `task`."""
    return task in TASKS or re.fullmatch(TRANSLATION, task) is not None
