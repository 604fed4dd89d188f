"""What a caller asks about batches, read from the HTTP request and checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import models
from exchange import CSV, JSON, Request
from problems import Problem, field_error
from requested import (
    LARGEST_BODY_BYTES_ELSEWHERE,
    LINES,
    LINES_TYPES,
    content_type_of,
    json_object,
)

UPLOADED_TYPES = (LINES, CSV)
STATES = ("AwaitingUpload", "InProgress", "Completed", "Failed", "Stopped")
# It is an execution's name, a transform job's name (at most 63) and a part of keys.
BATCH_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LARGEST_LIMIT, USUAL_LIMIT = 100, 20
_S3_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.{0,1023}[^/])")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Start:
    """A batch to start: over lines sent along, an object in S3, or, without both, an upload."""

    content_type: str
    lines: bytes | None
    input_uri: str | None
    digest: str
    """Of everything asked: the same request again has the same."""
    idempotency_key: str | None


@dataclass(frozen=True)
class Page:
    """Which of a caller's batches to list."""

    limit: int
    after: str | None
    """The last batch of the page before."""
    model: str | None
    state: str | None


def start(request: Request) -> Start:
    """Read a request for a batch; raises a problem. Single lines are the model's to judge."""
    key = _idempotency_key(request)
    sent_as = content_type_of(request, {JSON, CSV, *LINES_TYPES})
    body = request.body(LARGEST_BODY_BYTES_ELSEWHERE)
    content_type, lines, uri = sent_as, None, None
    if sent_as == JSON:
        content_type, lines, uri = _asked(json_object(body))
    else:
        _check_utf8(body)
        content_type, lines = (CSV if sent_as == CSV else LINES), body
    whole = b"\0".join([request.path.encode(), sent_as.encode(), body])
    return Start(content_type, lines, uri, hashlib.sha256(whole).hexdigest(), key)


def page(request: Request) -> Page:
    """Read which batches to list; raises a problem."""
    query = request.query
    limit = query.get("limit", str(USUAL_LIMIT))
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= LARGEST_LIMIT:
        raise _refused("limit", f"must be a whole number from 1 to {LARGEST_LIMIT}, got {limit!r}")
    model, known = query.get("model"), models.catalogue()
    if model is not None and model not in known:
        raise _refused("model", f"must be one of {', '.join(sorted(known))}, got {model[:63]!r}")
    state = query.get("state")
    if state is not None and state not in STATES:
        raise _refused("state", f"must be one of {', '.join(STATES)}, got {state!r}")
    token = query.get("next_token")
    after = None if token is None else _batch_of(token)
    return Page(limit=int(limit), after=after, model=model, state=state)


def token_of(batch_id: str) -> str:
    """What a caller sends to go on after this batch."""
    return base64.urlsafe_b64encode(f"after:{batch_id}".encode()).decode().rstrip("=")


def object_of(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI; raises a problem."""
    found = _S3_URI.fullmatch(uri)
    if found is None:
        raise _refused("input", f"must be s3://bucket/key, got {uri!r}")
    return found["bucket"], found["key"]


def refused_input(message: str) -> Problem:
    """The problem of an object that a batch cannot read."""
    return _refused("input", message)


def _asked(asked: dict[str, Any]) -> tuple[str, bytes | None, str | None]:
    match sorted(asked):
        case ["lines"]:
            return LINES, _json_lines(asked["lines"]), None
        case ["input"]:
            uri = asked["input"]
            if not isinstance(uri, str):
                raise _refused("input", "must be an s3:// URI")
            # A key says by its ending what it holds.
            return (CSV if uri.lower().endswith(".csv") else LINES), None, uri
        case ["upload"]:
            return _uploaded_type(asked["upload"]), None, None
    given = ", ".join(sorted(name[:40] for name in asked)) or "none of them"
    raise Problem("invalid-request", f"a batch takes one of lines, input and upload, got {given}")


def _json_lines(lines: object) -> bytes:
    if not isinstance(lines, list):
        raise _refused("lines", "must be a list of objects or texts")
    if not lines:
        raise _refused("lines", "must have at least one")
    objects = [{"inputs": line} if isinstance(line, str) else line for line in lines]
    return "".join(f"{json.dumps(line)}\n" for line in objects).encode()


def _uploaded_type(upload: object) -> str:
    if not isinstance(upload, dict) or not set(upload) <= {"content_type"}:
        raise _refused("upload", "must be an object with content_type or nothing")
    content_type = upload.get("content_type", LINES)
    if content_type not in UPLOADED_TYPES:
        raise _refused("upload.content_type", f"must be {' or '.join(UPLOADED_TYPES)}")
    return str(content_type)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise _refused("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return key


def _batch_of(token: str) -> str:
    try:
        text = base64.b64decode(
            token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError):
        text = ""
    kind, _, batch_id = text.partition(":")
    if kind != "after" or not BATCH_ID.fullmatch(batch_id):
        raise _refused("next_token", "must be the next_token of the page before")
    return batch_id


def _check_utf8(body: bytes) -> None:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("malformed-body", "the body is not valid UTF-8") from error


def _refused(field: str, message: str) -> Problem:
    detail = f"{field}: {message}"
    return Problem("invalid-request", detail, errors=[field_error(field, message)])
