"""The fields of a request for a prediction: which each task takes, and in which bounds.

Parameters of text classification are an allow-list here; those of other tasks are the container's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from problems import Problem

FUNCTIONS = ("sigmoid", "softmax", "none")
LONG_TEXTS = ("truncate", "chunk")
ZERO_SHOT = "zero-shot-classification"
TEXT_CLASSIFICATIONS = {"text-classification", "sentiment-analysis"}
# Tasks whose answers are probabilities of classes.
CLASSIFICATIONS = {*TEXT_CLASSIFICATIONS, ZERO_SHOT}
# JumpStart's form of a zero-shot request, where the parameters stand beside the texts.
FLAT = ("sequences", "candidate_labels", "hypothesis_template", "multi_label", "multi_class")

Check = Callable[[object], str | None]


def check(task: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The request as the container takes it; raises a 422 problem."""
    taken = FLAT if task == ZERO_SHOT and "sequences" in asked else ("inputs", "parameters")
    complaints = [
        f"{name[:40]}: not a field of a prediction, which takes {' and '.join(taken)}"
        for name in asked
        if name not in taken
    ]
    texts = taken[0]
    if asked.get(texts) is None:
        complaints.append(f"{texts}: missing")
    elif task in TEXT_CLASSIFICATIONS and (complaint := _texts(asked["inputs"])):
        complaints.append(f"inputs: {complaint}")
    parameters = asked.get("parameters")
    parameters = {} if parameters is None else parameters
    complaints += _parameter_complaints(task, parameters)
    if complaints:
        raise Problem("invalid-request", "; ".join(complaints))
    return asked if taken is FLAT else {"inputs": asked["inputs"], "parameters": parameters}


def _parameter_complaints(task: str, parameters: object) -> list[str]:
    if not isinstance(parameters, dict):
        return ["parameters: must be an object"]
    if task not in TEXT_CLASSIFICATIONS:
        return []
    allowed = ", ".join(sorted(PARAMETERS))
    unknown = [
        f"parameters.{name[:40]}: not a parameter of {task}, allowed: {allowed}"
        for name in parameters
        if name not in PARAMETERS
    ]
    return unknown + [
        f"parameters.{name}: {complaint}"
        for name, complain in PARAMETERS.items()
        if name in parameters and (complaint := complain(parameters[name]))
    ]


def _texts(value: object) -> str | None:
    if isinstance(value, list):
        complaints = enumerate(_text(item) for item in value)
        return next((f"item {at}: {found}" for at, found in complaints if found), None)
    return _text(value)


def _text(value: object) -> str | None:
    parts = value if isinstance(value, dict) else {"text": value}
    known = set(parts) in ({"text"}, {"text", "text_pair"})
    if known and all(isinstance(part, str) for part in parts.values()):
        return None
    return 'must be a text, a pair {"text", "text_pair"}, or a list of these'


def _top_k(value: object) -> str | None:
    if value is None or (type(value) is int and value >= 1):
        return None
    return "must be a whole number from 1, or null for all classes"


def _function(value: object) -> str | None:
    return None if value is None else _one_of(FUNCTIONS, value)


def _long_text(value: object) -> str | None:
    return _one_of(LONG_TEXTS, value)


def _one_of(allowed: tuple[str, ...], value: object) -> str | None:
    return None if value in allowed else f"must be one of {', '.join(allowed)}"


def _true_or_false(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


PARAMETERS: dict[str, Check] = {
    "top_k": _top_k,
    "function_to_apply": _function,
    "truncation": _true_or_false,
    "long_text": _long_text,
    "return_all_scores": _true_or_false,
}
