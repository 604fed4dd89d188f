"""One sample request a task, and what a right answer looks like."""

from __future__ import annotations

import json
import math
from typing import Any

REQUESTS: dict[str, dict[str, Any]] = {
    "text-classification": {
        "inputs": "The parcel arrived a day early and everything works.",
        "parameters": {"top_k": None},
    },
}


def request(task: str) -> bytes:
    """The body of the sample; it asks for every class, so that every score is seen."""
    return json.dumps(REQUESTS[task]).encode()


def complaint(task: str, body: str) -> str | None:
    """What is wrong with the answer to the sample, or None."""
    try:
        answer = json.loads(body)
    except ValueError:
        return f"its answer is not JSON: {body[:200]!r}"
    if not _is_ranking(answer):
        return f"its answer does not have the shape of {task}: {body[:200]}"
    if not all(math.isfinite(entry["score"]) for entry in answer):
        return f"its answer holds a score that is not finite: {body[:200]}"
    return None


def _is_ranking(answer: object) -> bool:
    return (
        isinstance(answer, list)
        and len(answer) > 0
        and all(
            isinstance(entry, dict)
            and isinstance(entry.get("label"), str)
            and isinstance(entry.get("score"), int | float)
            for entry in answer
        )
    )
