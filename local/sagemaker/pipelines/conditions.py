"""The conditions of a Condition step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.sagemaker.errors import ValidationException
from local.sagemaker.store import Json

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda left, right: bool(left == right),
    "GreaterThan": lambda left, right: bool(left > right),
    "GreaterThanOrEqualTo": lambda left, right: bool(left >= right),
    "LessThan": lambda left, right: bool(left < right),
    "LessThanOrEqualTo": lambda left, right: bool(left <= right),
}
TYPES = (*_COMPARISONS, "In", "Not", "Or")


class NotComparable(Exception):
    """The two sides of a condition have no order."""


def check(condition: Json, step: str) -> None:
    """Refuses unknown conditions and missing sides."""
    if not isinstance(condition, dict) or condition.get("Type") not in TYPES:
        given = condition.get("Type") if isinstance(condition, dict) else condition
        raise ValidationException(
            f"step {step!r}: condition {given!r} is not implemented by the local SageMaker: use "
            f"one of {', '.join(TYPES)}"
        )
    kind = condition["Type"]
    needed = {"In": ("QueryValue", "Values"), "Not": ("Expression",), "Or": ("Conditions",)}
    for member in needed.get(kind, ("LeftValue", "RightValue")):
        if member not in condition:
            raise ValidationException(f"step {step!r}: condition {kind} needs {member}")
    if kind == "Not":
        check(condition["Expression"], step)
    for inner in condition["Conditions"] if kind == "Or" else []:
        check(inner, step)


def holds(condition: dict[str, Any]) -> bool:
    """Whether a condition, its references resolved, is true; raises NotComparable."""
    kind = condition["Type"]
    if kind == "Not":
        return not holds(condition["Expression"])
    if kind == "Or":
        return any(holds(inner) for inner in condition["Conditions"])
    if kind == "In":
        return condition["QueryValue"] in condition["Values"]
    left, right = condition["LeftValue"], condition["RightValue"]
    try:
        return _COMPARISONS[kind](left, right)
    except TypeError:
        raise NotComparable(f"{kind}: cannot compare {left!r} with {right!r}") from None
