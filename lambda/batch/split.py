"""Cuts the input of a batch into parts of JSON lines, in order, and none of it held but a part.

A line that cannot be asked about keeps its place: the model gets an empty question for it, and what
is wrong with it waits under `refused/` until the answers are joined.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError

import lines
import parts
import rows
import store

CSV = "text/csv"
# Fails at once, whatever the task.
PLACEHOLDER = b"{}"


class InputRefusedError(Exception):
    """The input cannot be read; the text is for whoever sent it."""


@dataclass(frozen=True)
class Line:
    """One line for the model, or what is wrong with the line in its place."""

    content: bytes
    refused: dict[str, Any] | None
    size: int
    """Bytes that it takes in the input."""
    lines: int = 1
    """Lines that it takes in the input: a row of CSV may have several."""


@dataclass
class Part:
    """A part that is being filled."""

    content: list[bytes] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    def add(self, number: int, line: Line) -> None:
        """Take a line, the `number`th of the whole input."""
        self.content.append(line.content)
        self.size += len(line.content) + 1
        if line.refused is not None:
            self.refused.append({"number": number, "answer": line.refused})

    def write(self, batch_id: str, number: int) -> None:
        """Put the part, and what was refused of it, where they belong."""
        name = parts.name(number, len(self.content))
        if self.refused:
            body = "".join(json.dumps(entry) + "\n" for entry in self.refused).encode()
            _put(store.key(batch_id, store.REFUSED + name), body)
        _put(store.key(batch_id, store.PARTS + name), b"\n".join([*self.content, b""]))


def split(
    asked: dict[str, Any], *, longest_bytes: int, is_late: Callable[[], bool]
) -> dict[str, Any]:
    """Cut `asked["input"]` from where the last call left off; says where to go on, or the count."""
    batch_id, cursor = asked["batch_id"], asked["cursor"] or _START
    found = _open(asked["input"], cursor)
    offset, count, number, line_number = (cursor[name] for name in ("at", "count", "part", "line"))
    whole_size = offset + found["ContentLength"]
    chunks: Iterator[bytes] = found["Body"].iter_chunks(store.CHUNK_BYTES)
    if offset == 0:
        chunks, offset = _without_mark(chunks)
    read = (
        _csv_lines(chunks, longest_bytes, line_number)
        if asked["content_type"] == CSV
        else _json_lines(chunks, longest_bytes, line_number)
    )
    part = Part()
    for line in read:
        count += 1
        line_number += line.lines
        offset += line.size
        part.add(count, line)
        if parts.is_full(lines=len(part.content), size=part.size, whole_size=whole_size):
            part.write(batch_id, number)
            number, part = number + 1, Part()
            if is_late() and offset < whole_size:
                etag = found["ETag"]
                reached = {"at": offset, "count": count, "part": number, "line": line_number}
                return {"over": False, "lines": count, "cursor": {**reached, "etag": etag}}
    if part.content:
        part.write(batch_id, number)
    store.update(batch_id, lines=count)
    return {"over": True, "lines": count, "cursor": {}}


_START: dict[str, Any] = {"at": 0, "count": 0, "part": 0, "line": 1, "etag": None}


def _open(uri: str, cursor: dict[str, Any]) -> dict[str, Any]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    # The rest has to be the rest of the same bytes.
    same = {"IfMatch": cursor["etag"], "Range": f"bytes={cursor['at']}-"} if cursor["etag"] else {}
    try:
        found: dict[str, Any] = store.s3().get_object(Bucket=bucket, Key=key, **same)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "NoSuchBucket", "AccessDenied", "404", "403"):
            raise InputRefusedError(f"there is no object {uri}, or it may not be read") from error
        if code in ("PreconditionFailed", "412"):
            raise InputRefusedError(f"{uri} was overwritten while it was read") from error
        raise
    return found


def _without_mark(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], int]:
    """The chunks without a byte order mark, and how many bytes that were."""
    first = next(chunks, b"")
    while len(first) < len(codecs.BOM_UTF8) and (more := next(chunks, b"")):
        first += more
    text = first.removeprefix(codecs.BOM_UTF8)
    return chain([text], chunks), len(first) - len(text)


def _json_lines(chunks: Iterator[bytes], longest_bytes: int, first: int) -> Iterator[Line]:
    for number, (found, length) in enumerate(lines.read(chunks, longest=longest_bytes), first):
        content = found.removesuffix(b"\r")
        if length > longest_bytes:
            reason = f"longer than {longest_bytes} bytes"
            refused = _refusal("invalid_input", reason, number)
        elif not content or content.isspace():
            reason = 'empty: write {"inputs": ""} for an empty text'
            refused = _refusal("invalid_json", reason, number)
        else:
            yield Line(content, None, length + 1)
            continue
        yield Line(PLACEHOLDER, refused, length + 1)


def _csv_lines(chunks: Iterator[bytes], longest_bytes: int, first: int) -> Iterator[Line]:
    for row in rows.read(chunks, longest=longest_bytes, line=first):
        if isinstance(row.text, rows.BadRowError):
            refused = _refusal("invalid_csv", str(row.text), row.line, id=row.line)
            yield Line(PLACEHOLDER, refused, row.size, row.lines)
            continue
        document = {"id": row.line, "inputs": row.text}
        content = json.dumps(document, ensure_ascii=False).encode()
        if len(content) > longest_bytes:
            reason = f"longer than {longest_bytes} bytes as JSON"
            refused = _refusal("invalid_csv", reason, row.line, id=row.line)
            yield Line(PLACEHOLDER, refused, row.size, row.lines)
            continue
        yield Line(content, None, row.size, row.lines)


def _refusal(code: str, message: str, line: int, **identity: int) -> dict[str, Any]:
    error = {"code": code, "fault": "client", "message": message, "line": line}
    return {**identity, "error": error}


def _put(key: str, body: bytes) -> None:
    store.s3().put_object(
        Bucket=store.bucket(), Key=key, Body=body, ContentType="application/jsonlines"
    )
