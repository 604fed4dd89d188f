"""What a caller asks, read from the HTTP request and checked before anything is invoked.

The container answers every fault of a request with the same 400, so the distinctions are made here:
400 malformed, 406 Accept, 413 size, 415 content type, 422 fields.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

import fields
import tasks
from exchange import JSON, Request, sized
from models import Model
from problems import Problem

VERBOSE = "application/json;verbose"
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


@dataclass(frozen=True)
class Batch:
    """What a batch reads: JSON lines sent along, or an S3 URI."""

    lines: bytes | None
    input_uri: str | None


def prediction(request: Request, *, task: str, kind: str) -> Prediction:
    """Read a request for a prediction; raises a problem."""
    content_type = content_type_of(request, {JSON, *TEXT_TYPES})
    accept = _accept(request, task)
    largest_bytes = largest_body(kind)
    body = request.body(largest_bytes)
    asked = {"inputs": _text(body)} if content_type in TEXT_TYPES else json_object(body)
    return _checked(asked, task, largest_bytes, accept)


def checked(asked: dict[str, Any], model: Model) -> Prediction:
    """A request in the toolkit's shape; raises a 422 problem, or a 413 where it is too large."""
    return _checked(asked, model.task, largest_body(model.kind), JSON)


def largest_body(kind: str) -> int:
    """The most bytes of a body that an endpoint of this kind takes."""
    return LARGEST_BODY_BYTES.get(kind, LARGEST_BODY_BYTES_ELSEWHERE)


def _checked(asked: dict[str, Any], task: str, largest_bytes: int, accept: str) -> Prediction:
    sent = _encoded(fields.check(task, asked))
    # What JSON has to escape, as the line ends of a text, makes a body longer.
    return Prediction(body=sized(sent, largest_bytes), accept=accept)


def batch(request: Request) -> Batch:
    """Read a request for a batch; raises a problem. Single lines are the model's to judge."""
    content_type = content_type_of(request, {JSON, *LINES_TYPES})
    body = request.body(LARGEST_BODY_BYTES_ELSEWHERE)
    if content_type in LINES_TYPES:
        _text(body)
        return Batch(lines=_some_lines(body), input_uri=None)
    asked = json_object(body)
    match sorted(asked):
        case ["lines"]:
            return Batch(lines=_some_lines(_json_lines(asked["lines"])), input_uri=None)
        case ["input"]:
            return Batch(lines=None, input_uri=_s3_uri(asked["input"]))
    raise Problem(
        "invalid-request",
        f"a batch takes either lines or input, got {', '.join(sorted(asked)) or 'neither'}",
    )


def content_type_of(request: Request, allowed: set[str]) -> str:
    """The media type of the body, in UTF-8; raises a 415 problem."""
    given = request.headers.get("content-type") or ""
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    utf8 = {"charset=utf-8", 'charset="utf-8"', ""}
    if media_type not in allowed or not set(parameters) <= utf8:
        raise Problem(
            "unsupported-content-type",
            f"content-type: {' or '.join(sorted(allowed))} (in UTF-8), got {given[:100]!r}",
        )
    return media_type


def _accept(request: Request, task: str) -> str:
    given = request.headers.get("accept") or "*/*"
    ranges = [
        [part.strip().lower() for part in media_range.split(";")]
        for media_range in given.split(",")
    ]
    wanted = [(kind, parameters) for kind, *parameters in ranges if "q=0" not in parameters]
    if any(kind == JSON and "verbose" in parameters for kind, parameters in wanted):
        if tasks.canonical(task) in tasks.CLASSIFICATIONS:
            return VERBOSE
        raise Problem(
            "not-acceptable", f"accept: {VERBOSE} is for classification only, the task is {task}"
        )
    if any(kind in (JSON, "application/*", "*/*") for kind, _ in wanted):
        return JSON
    raise Problem("not-acceptable", f"accept: {JSON} or {VERBOSE}, got {given[:100]!r}")


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


def _json_lines(lines: object) -> bytes:
    if not isinstance(lines, list):
        raise Problem("invalid-request", "lines: must be a list of objects or texts")
    objects = [{"inputs": line} if isinstance(line, str) else line for line in lines]
    return "".join(f"{json.dumps(line)}\n" for line in objects).encode()


def _some_lines(lines: bytes) -> bytes:
    if not lines.strip():
        raise Problem("invalid-request", "lines: there is none")
    return lines if lines.endswith(b"\n") else lines + b"\n"


def _s3_uri(uri: object) -> str:
    if not isinstance(uri, str):
        raise Problem("invalid-request", "input: must be an s3:// URI")
    return uri
