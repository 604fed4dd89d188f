"""The fields of a request for a prediction: which each task takes, and in which bounds.

Parameters are an allow-list: the container may hand what it does not know to the model as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from problems import Problem

FUNCTIONS = ("sigmoid", "softmax", "none")
CLASSIFICATIONS = {"text-classification"}

Check = Callable[[object], str | None]


def check(task: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The request in the toolkit's shape, `{"inputs", "parameters"}`; raises a 422 problem."""
    complaints = [
        f"{name[:40]}: not a field of a prediction, which takes inputs and parameters"
        for name in asked
        if name not in ("inputs", "parameters")
    ]
    if "inputs" not in asked:
        complaints.append("inputs: missing")
    elif complaint := _texts(asked["inputs"]):
        complaints.append(f"inputs: {complaint}")
    parameters = asked.get("parameters")
    parameters = {} if parameters is None else parameters
    complaints += _parameter_complaints(task, parameters)
    if complaints:
        raise Problem("invalid-request", "; ".join(complaints))
    return {"inputs": asked["inputs"], "parameters": parameters}


def _parameter_complaints(task: str, parameters: object) -> list[str]:
    if not isinstance(parameters, dict):
        return ["parameters: must be an object"]
    allowed = PARAMETERS[task]
    unknown = [
        f"parameters.{name[:40]}: not a parameter of {task}, allowed: {', '.join(sorted(allowed))}"
        for name in parameters
        if name not in allowed
    ]
    return unknown + [
        f"parameters.{name}: {complaint}"
        for name, complain in allowed.items()
        if name in parameters and (complaint := complain(parameters[name]))
    ]


def _texts(value: object) -> str | None:
    if isinstance(value, list):
        complaints = enumerate(_text(item) for item in value)
        return next((f"item {at}: {found}" for at, found in complaints if found), None)
    return _text(value) if isinstance(value, str) else "must be a text or a list of texts"


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which no encoding can carry"
    return None


def _top_k(value: object) -> str | None:
    if value is None or (type(value) is int and value >= 1):
        return None
    return "must be a whole number from 1, or null for all classes"


def _function(value: object) -> str | None:
    if value is None or value in FUNCTIONS:
        return None
    return f"must be one of {', '.join(FUNCTIONS)}"


def _true_or_false(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


PARAMETERS: dict[str, dict[str, Check]] = {
    "text-classification": {
        "top_k": _top_k,
        "function_to_apply": _function,
        "truncation": _true_or_false,
    },
}
