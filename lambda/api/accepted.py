"""The form of an answer that an Accept header asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exchange import CSV, JSON
from problems import Problem
from tasks import CLASSIFICATIONS, Task

VERBOSE = "application/json;verbose"
ROWS = f"{CSV}; charset=utf-8; header=present"
# What a range may say of CSV and still mean the one that there is.
_OF_ROWS = {"charset=utf-8", "header=present"}
_WEIGHT = re.compile(r"q=(\d+\.?\d*|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class _Range:
    kind: str
    parameters: frozenset[str]
    weight: float
    place: int
    """Among the ranges of the header: 0 is the first, the others are below."""

    @classmethod
    def read(cls, text: str, place: int) -> _Range:
        kind, *parameters = (part.strip().lower() for part in text.split(";"))
        weights = [float(found[1]) for each in parameters if (found := _WEIGHT.fullmatch(each))]
        others = frozenset(each for each in parameters if not each.startswith("q="))
        return cls(kind, others, min(weights, default=1.0), place)


def form(header: str | None, task: Task) -> str:
    """The form to answer in; raises a 406 problem.

    CSV is for who names it, and names JSON neither first nor with more weight.
    """
    given = header or "*/*"
    ranges = [_Range.read(text, -at) for at, text in enumerate(given.split(","))]
    verbose = any(
        each.kind == JSON and "verbose" in each.parameters and each.weight for each in ranges
    )
    if verbose and task.name in CLASSIFICATIONS:
        return VERBOSE
    json = _wish(
        [each for each in ranges if "verbose" not in each.parameters], JSON, "application/*", "*/*"
    )
    rows = _wish([each for each in ranges if each.parameters <= _OF_ROWS], CSV)
    if task.columns and rows[0] and rows > json:
        return ROWS
    if json[0] and not verbose:
        return JSON
    forms = [JSON, *([VERBOSE] if task.name in CLASSIFICATIONS else [])]
    forms += [ROWS] if task.columns else []
    raise Problem(
        "not-acceptable",
        f"accept: the task {task.name} is answered in {' or '.join(forms)}, got {given[:100]!r}",
    )


def _wish(ranges: list[_Range], *kinds: str) -> tuple[float, int]:
    """The weight of the most specific of the kinds that is named, and how early that stands."""
    for kind in kinds:
        for each in ranges:
            if each.kind == kind:
                return each.weight, each.place
    return 0.0, 0
