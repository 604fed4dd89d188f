"""What a caller asks, read from the HTTP request and checked before anything is invoked.

The container answers every fault of a request with the same 400, so the distinctions are made here:
400 malformed, 406 Accept, 413 size, 415 content type, 422 fields.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

import accepted
import fields
import tasks
from exchange import CSV, JSON, Request, sized
from models import Model
from problems import Problem

LINES = "application/jsonlines"
TEXT_TYPES = {"text/plain", "application/x-text"}
LINES_TYPES = {LINES, "application/x-ndjson", "application/x-jsonlines"}
# Below the 4 MB of a serverless endpoint, and the 6 MB of Lambda's event and a real-time one.
LARGEST_BODY_BYTES = {"serverless": 3_900_000}
LARGEST_BODY_BYTES_ELSEWHERE = 5_500_000


@dataclass(frozen=True)
class Prediction:
    """A request to an endpoint: JSON, whatever the caller sent, so that the answer has one form."""

    body: bytes
    accept: str
    """The form that the caller is answered in."""
    inputs: int = 1
    """How many there are: rows of CSV are numbered by them."""

    @property
    def asks_for(self) -> str:
        """The form that the endpoint is asked for: CSV is made here, of its JSON."""
        return JSON if self.accept == accepted.ROWS else self.accept


def prediction(request: Request, *, task: str, kind: str) -> Prediction:
    """Read a request for a prediction; raises a problem."""
    content_type = content_type_of(request, {JSON, CSV, *TEXT_TYPES})
    if content_type == CSV:
        _check_reads_csv(tasks.task(task))
    accept = accepted.form(request.headers.get("accept"), tasks.task(task))
    largest_bytes = largest_body(kind)
    asked = _asked(request.body(largest_bytes), content_type, tasks.task(task))
    return _checked(asked, task, largest_bytes, accept)


def checked(asked: dict[str, Any], model: Model) -> Prediction:
    """A request in the toolkit's shape; raises a 422 problem, or a 413 where it is too large."""
    return _checked(asked, model.task, largest_body(model.kind), JSON)


def largest_body(kind: str) -> int:
    """The most bytes of a body that an endpoint of this kind takes."""
    return LARGEST_BODY_BYTES.get(kind, LARGEST_BODY_BYTES_ELSEWHERE)


def _checked(asked: dict[str, Any], task: str, largest_bytes: int, accept: str) -> Prediction:
    found = fields.check(task, asked)
    sent = _encoded(found)
    inputs = found.get("inputs") or found.get(tasks.task(task).flat or "")
    return Prediction(
        # What JSON has to escape, as the line ends of a text, makes a body longer.
        body=sized(sent, largest_bytes),
        accept=accept,
        inputs=len(inputs) if isinstance(inputs, list) else 1,
    )


def _asked(body: bytes, content_type: str, task: tasks.Task) -> dict[str, Any]:
    if content_type == CSV:
        import csv_bodies

        found = csv_bodies.read(body, pairs=task.reads_pairs, most=task.most_inputs)
        return {"inputs": found}
    return {"inputs": _text(body)} if content_type in TEXT_TYPES else json_object(body)


def _check_reads_csv(task: tasks.Task) -> None:
    if task.reads_texts:
        return
    needed = [f"parameters.{name}" for name in task.required]
    words = " and ".join(needed) or f"inputs as {task.inputs['description']}"
    raise Problem(
        "unsupported-content-type",
        f"content-type: {CSV} holds texts alone, {task.name} also takes {words}: send {JSON}",
    )


def content_type_of(request: Request, allowed: set[str]) -> str:
    """The media type of the body, in UTF-8; raises a 415 problem."""
    given = request.headers.get("content-type") or ""
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    utf8 = {"charset=utf-8", 'charset="utf-8"', ""}
    # The parameter is RFC 4180's.
    known = utf8 | {"header=absent"} if media_type == CSV else utf8
    if media_type not in allowed or not set(parameters) <= known:
        types = " or ".join(sorted(allowed))
        form = "in UTF-8, CSV without a header" if CSV in allowed else "in UTF-8"
        raise Problem(
            "unsupported-content-type", f"content-type: {types} ({form}), got {given[:100]!r}"
        )
    return media_type


def _encoded(asked: dict[str, Any]) -> bytes:
    try:
        return json.dumps(asked, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        reason = "a text holds half of a surrogate pair, which no encoding can carry"
        raise Problem("invalid-request", reason) from error


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("malformed-body", "the body is not valid UTF-8") from error


def json_object(body: bytes) -> dict[str, Any]:
    """The object that the body holds; raises a 400 problem."""
    try:
        asked = json.loads(_text(body), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Problem("malformed-body", "the body is not valid JSON") from error
    if not isinstance(asked, dict):
        raise Problem("malformed-body", "the body must be a JSON object")
    return asked


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
