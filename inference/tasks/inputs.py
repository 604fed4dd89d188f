"""Reads the texts of a document: one, or a list of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fault import Fault
from tasks.texts import checked


@dataclass(frozen=True)
class Texts:
    """The texts of a question, and whether they came as a list, since answers follow that."""

    texts: list[str]
    several: bool


def read_texts(document: Mapping[str, Any], most: int) -> Texts:
    """Return `inputs`; raise a client's Fault where it is no text and no list of 0 to `most`."""
    if "inputs" not in document:
        raise Fault("invalid_input", "inputs is missing: a text or a list of texts", field="inputs")
    given = document["inputs"]
    if not isinstance(given, list):
        return Texts([checked(given, "inputs")], several=False)
    check_count(given, most, "texts")
    return Texts([checked(one, f"inputs[{i}]") for i, one in enumerate(given)], several=True)


def check_count(given: list[Any], most: int, of: str) -> None:
    if len(given) > most:
        raise Fault(
            "too_long",
            f"inputs holds {len(given)} {of}, at most {most} are answered at once: send fewer",
            field="inputs",
        )
