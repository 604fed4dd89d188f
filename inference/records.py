"""Turns a request body into records: one, or one per line, where a bad one stays in its place."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fault import Fault
from media import CSV, JSON, JSON_LINES

FUNCTIONS = ("sigmoid", "softmax", "none")
# Unlike an absent top_k, a top_k of null asks for every class.
ABSENT: Any = object()


@dataclass(frozen=True)
class Parameters:
    """What a caller may set; everything else is refused."""

    top_k: int | None = ABSENT
    function_to_apply: str | None = None
    truncation: bool = True


@dataclass(frozen=True)
class Record:
    """One question: a text, or a list of texts that are answered as a list."""

    inputs: str | list[str]
    parameters: Parameters = Parameters()
    # Empty, or {"id": …} as the caller wrote it.
    identity: dict[str, object] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


@dataclass(frozen=True)
class BadRecord:
    """A line that cannot be answered, in its place among the others."""

    fault: Fault
    identity: dict[str, object] = field(default_factory=dict)


def has_many(content_type: str) -> bool:
    return content_type in (*JSON_LINES, CSV)


def read_one(body: str | bytes | bytearray, content_type: str, charset: str) -> Record:
    """Read the body of a single question; raise its fault."""
    text = _decode(body, charset)
    if content_type == JSON:
        return _record(_parse(text.removeprefix("\ufeff")))
    return Record(_checked(text))


def read_many(
    body: str | bytes | bytearray, content_type: str, charset: str
) -> list[Record | BadRecord]:
    """Read one record per line, in order: as many as the body has lines."""
    if content_type == CSV:
        return list(_csv_records(_decode(body, charset).removeprefix("\ufeff")))
    return list(_json_records(body, charset))


def _json_records(body: str | bytes | bytearray, charset: str) -> Iterator[Record | BadRecord]:
    if not isinstance(body, str) and not charset.startswith("utf-16"):
        # Split before decoding: bytes that are no text spoil their own line only.
        lines: Sequence[str | bytes | bytearray] = body.split(b"\n")
    else:
        lines = _decode(body, charset).split("\n")
    # Only what follows the last line feed may be nothing at all; any other blank line is a line.
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines):
        try:
            text = _decode(line, charset)
            fields = _parse(text.removeprefix("\ufeff") if number == 0 else text)
        except Fault as fault:
            yield BadRecord(fault)
            continue
        try:
            yield _record(fields)
        except Fault as fault:
            yield BadRecord(fault, _identity(fields))


def _csv_records(text: str) -> Iterator[Record | BadRecord]:
    """One text a row; after a broken quote, parsing resumes on the very next line."""
    csv.field_size_limit(sys.maxsize)
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        rest = map(lines.__getitem__, range(start, len(lines)))
        reader = csv.reader(rest, strict=True)
        consumed = 0
        try:
            for cells in reader:
                consumed = reader.line_num
                yield _csv_record(cells)
            return
        except csv.Error as error:
            yield BadRecord(Fault("invalid_input", f"quotes do not match: {error}"))
        start += consumed + 1


def _csv_record(cells: Sequence[str]) -> Record | BadRecord:
    if len(cells) != 1:
        message = f"one column is read, got {len(cells)}: put the text in quotes"
        return BadRecord(Fault("invalid_input", message))
    try:
        return Record(_checked(cells[0]))
    except Fault as fault:
        return BadRecord(fault)


def _decode(body: str | bytes | bytearray, charset: str) -> str:
    if isinstance(body, str):
        return body
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        raise Fault("invalid_input", f"not valid {charset}") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Fault("invalid_json", "not valid JSON") from None
    if not isinstance(document, dict):
        raise Fault("invalid_input", 'must be a JSON object like {"inputs": "a text"}')
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _record(document: dict[str, Any]) -> Record:
    if "id" in document and not _identity(document):
        raise Fault("invalid_input", "id must be a string or a number")
    if "inputs" not in document:
        raise Fault("invalid_input", "inputs is missing: a text or a list of texts")
    inputs = document["inputs"]
    texts = inputs if isinstance(inputs, list) else [inputs]
    for text in texts:
        if not isinstance(text, str):
            raise Fault("invalid_input", "inputs must be a text or a list of texts")
        _checked(text)
    return Record(inputs, _parameters(document.get("parameters")), _identity(document))


def _identity(document: dict[str, Any]) -> dict[str, object]:
    identity = document.get("id")
    if isinstance(identity, float) and not math.isfinite(identity):
        return {}
    return {"id": identity} if isinstance(identity, str | int | float) else {}


def _checked(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Fault("invalid_input", "a text holds half of a surrogate pair") from None
    return text


def _parameters(given: object) -> Parameters:
    if given is None:
        return Parameters()
    if not isinstance(given, dict):
        raise Fault("invalid_parameter", "parameters must be a JSON object")
    allowed = tuple(Parameters.__dataclass_fields__)
    unknown = sorted(str(name) for name in given.keys() - set(allowed))
    if unknown:
        raise Fault("invalid_parameter", f"'{unknown[0][:40]}' is not one of {', '.join(allowed)}")
    top_k = given.get("top_k", ABSENT)
    if top_k is not ABSENT and top_k is not None and (type(top_k) is not int or top_k < 1):
        raise Fault("invalid_parameter", "top_k must be null or a whole number of at least 1")
    function = given.get("function_to_apply")
    if function is not None and function not in FUNCTIONS:
        raise Fault("invalid_parameter", f"function_to_apply must be one of {', '.join(FUNCTIONS)}")
    truncation = given.get("truncation", True)
    if not isinstance(truncation, bool):
        raise Fault("invalid_parameter", "truncation must be true or false")
    return Parameters(top_k, function, truncation)
