"""Turns a request body into records: one, or one a line, where a bad one stays in its place."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fault import Fault
from wire.csv_rows import read_rows
from wire.media import CSV, JSON, JSON_LINES

Body = str | bytes | bytearray | None


@dataclass(frozen=True)
class Record:
    """A line of a batch: a JSON object without its id, or what is wrong with it."""

    line: int
    document: dict[str, Any] | Fault
    # Empty, or {"id": …} as the caller wrote it.
    identity: dict[str, object] = field(default_factory=dict)


def has_many(content_type: str) -> bool:
    return content_type in (*JSON_LINES, CSV)


def read_one(body: Body, content_type: str, charset: str) -> dict[str, Any]:
    """Read the body of a single question; raise its fault."""
    text = _checked(_decoded(body, charset), charset)
    if content_type != JSON:
        return {"inputs": text}
    document, _ = _without_id(_parsed(text))
    if isinstance(document, Fault):
        raise document
    return document


def read_many(body: Body, content_type: str, charset: str) -> Iterator[Record]:
    """Read one record a line, or a CSV row, in order; raise where none can be told apart."""
    text = _decoded(body, charset)
    return _csv(text, charset) if content_type == CSV else _json_lines(text, charset)


def _json_lines(text: str, charset: str) -> Iterator[Record]:
    # Nothing but a line feed ends a line, and only what follows the last may be nothing at all.
    lines = text.split("\n")
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            document, identity = _without_id(_parsed(_checked(line, charset)))
        except Fault as fault:
            document, identity = fault, {}
        yield Record(number, document, identity)


def _csv(text: str, charset: str) -> Iterator[Record]:
    for number, row in read_rows(text):
        try:
            yield Record(number, {"inputs": _field(row, charset)})
        except Fault as fault:
            yield Record(number, fault)


def _field(row: str | Fault, charset: str) -> str:
    if isinstance(row, Fault):
        raise row
    return _checked(row, charset)


def _decoded(body: Body, charset: str) -> str:
    """The body as text. Bytes that are none become surrogates, to be found line by line."""
    if isinstance(body, str):
        return body.removeprefix("\ufeff")
    try:
        return (body or b"").decode(charset, "surrogateescape").removeprefix("\ufeff")
    except (UnicodeError, ValueError):
        raise Fault("invalid_input", f"the body is not valid {charset}") from None


def _checked(text: str, charset: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Fault("invalid_input", f"not valid {charset}") from None
    return text


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Fault("invalid_json", _complaint(text)) from None
    if not isinstance(document, dict):
        raise Fault("invalid_input", 'must be a JSON object like {"inputs": "a text"}')
    return document


def _complaint(text: str) -> str:
    return "not valid JSON" if text.strip() else 'empty: write {"inputs": ""} for an empty text'


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        _refuse(digits)
    return value


def _without_id(parsed: dict[str, Any]) -> tuple[dict[str, Any] | Fault, dict[str, object]]:
    if "id" not in parsed:
        return parsed, {}
    identity = parsed.pop("id")
    if isinstance(identity, bool) or not isinstance(identity, str | int | float):
        return Fault("invalid_input", "id must be a string or a number", field="id"), {}
    return parsed, {"id": identity}
