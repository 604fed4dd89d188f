"""Parameters that a caller may set: an allow-list a task, each with its type and bounds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fault import Fault


@dataclass(frozen=True)
class Kind:
    """The values that one parameter may have, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]
    values: tuple[str, ...] | None = None

    def or_null(self) -> "Kind":
        return Kind(f"{self.words}, or null", lambda v: v is None or self.holds(v), self.values)


def whole(least: int, most: int) -> Kind:
    # True and False are whole numbers to Python, not to a caller.
    return Kind(
        f"a whole number from {least} to {most}",
        lambda value: type(value) is int and least <= value <= most,
    )


def number(least: float, most: float) -> Kind:
    return Kind(
        f"a number from {least:g} to {most:g}",
        lambda value: (
            type(value) in (int, float) and math.isfinite(value) and least <= value <= most
        ),
    )


def true_or_false() -> Kind:
    return Kind("true or false", lambda value: isinstance(value, bool), ("true", "false"))


def one_of(*values: str) -> Kind:
    return Kind(
        f"one of {', '.join(values)}",
        lambda value: isinstance(value, str) and value in values,
        values,
    )


def text(longest: int) -> Kind:
    return Kind(
        f"a text of at most {longest} characters",
        lambda value: isinstance(value, str) and len(value) <= longest and is_encodable(value),
    )


def texts(most: int, longest: int) -> Kind:
    one = text(longest)
    return Kind(
        f"a list of 1 to {most} texts of at most {longest} characters",
        lambda value: (
            isinstance(value, list)
            and 1 <= len(value) <= most
            and all(one.holds(entry) for entry in value)
        ),
    )


def is_encodable(value: str) -> bool:
    """Half of a surrogate pair, which JSON may hold, is no text that a tokenizer takes."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check(
    given: object, allowed: Mapping[str, Kind], prefix: str = "parameters."
) -> dict[str, Any]:
    """Return the parameters that were given; raise a Fault for the first that may not be.

    `prefix` is what the caller wrote before the name: nothing where they are fields themselves.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Fault("invalid_parameter", "parameters must be a JSON object", field="parameters")
    for name, value in given.items():
        field = f"{prefix}{name[:40]}"
        if name not in allowed:
            raise Fault(
                "invalid_parameter",
                f"{field} is not a parameter of this task: it takes {_listed(allowed)}",
                field=field,
                allowed=sorted(allowed),
            )
        kind = allowed[name]
        if not kind.holds(value):
            raise Fault(
                "invalid_parameter",
                f"{field} must be {kind.words}, got {_shown(value)}",
                field=field,
                allowed=kind.values,
            )
    return given


def _listed(allowed: Mapping[str, Kind]) -> str:
    return ", ".join(sorted(allowed)) or "none"


def _shown(value: object) -> str:
    if isinstance(value, Sequence | Mapping) and not isinstance(value, str):
        return f"a {'list' if isinstance(value, Sequence) else 'object'} of {len(value)}"
    return repr(value)[:40]
