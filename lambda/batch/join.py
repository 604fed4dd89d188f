"""Puts the answers to the parts of a batch together: one object, one line per line, in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import lines
import parts
import split
import store

# S3 takes 10,000 parts of one object, all but the last of 5 MB or more.
UPLOADED_AT_ONCE_BYTES = 16_000_000
SMALLEST_UPLOAD_BYTES = 5 * 1024 * 1024
LONGEST_ANSWER_BYTES = 256_000_000


class AnswersMissingError(Exception):
    """The model did not answer each line with one line."""


def join(asked: dict[str, Any], *, is_late: Callable[[], bool]) -> dict[str, Any]:
    """Join the answers from where the last call left off; says where to go on, if it has to."""
    batch_id, cursor = asked["batch_id"], asked["cursor"] or _START
    names = sorted(store.keys(batch_id, store.PARTS))
    answers = store.keys(batch_id, store.ANSWERS)
    refused = store.keys(batch_id, store.REFUSED)
    result = _Result(store.key(batch_id, store.RESULT), cursor["upload"], cursor["uploaded"])
    count, errors = cursor["lines"], cursor["errors"]
    is_csv = asked["content_type"] == split.CSV
    for done, name in enumerate(names[cursor["part"] :], cursor["part"] + 1):
        if f"{name}.out" not in answers:
            raise AnswersMissingError(f"part {name} has no answers")
        expected = count + parts.lines_of(name)
        in_place = _refused(refused.get(name))
        for line in _lines(answers[f"{name}.out"]):
            count += 1
            written, is_error = in_place.get(count) or _answer(line, count, rows=is_csv)
            errors += is_error
            result.write(written)
        if count != expected:
            raise AnswersMissingError(f"the answers to part {name} are not one for each line")
        if is_late() and done < len(names) and result.rest():
            reached = {"part": done, "lines": count, "errors": errors}
            return {"over": False, "cursor": {**reached, **result.cursor()}}
    result.close()
    store.end(batch_id, "Completed", lines=count, done=count, errors=errors)
    return {"over": True, "cursor": {}}


_START: dict[str, Any] = {"part": 0, "lines": 0, "errors": 0, "upload": None, "uploaded": 0}


def _lines(key: str) -> Iterator[bytes]:
    body = store.s3().get_object(Bucket=store.bucket(), Key=key)["Body"]
    chunks = body.iter_chunks(store.CHUNK_BYTES)
    for line, length in lines.read(chunks, longest=LONGEST_ANSWER_BYTES):
        if length > LONGEST_ANSWER_BYTES:
            raise AnswersMissingError(f"an answer is longer than {LONGEST_ANSWER_BYTES} bytes")
        # Between requests the transform job may add a line end of its own.
        if line and not line.isspace():
            yield line


def _refused(key: str | None) -> dict[int, tuple[bytes, bool]]:
    """The answers to the lines of a part that the model was not asked, by the line's number."""
    if key is None:
        return {}
    body = store.s3().get_object(Bucket=store.bucket(), Key=key)["Body"].read()
    entries = [json.loads(line) for line in body.splitlines()]
    return {entry["number"]: (_written(entry["answer"]), True) for entry in entries}


def _answer(line: bytes, number: int, *, rows: bool) -> tuple[bytes, bool]:
    """The line as it goes into the result, and whether it tells an error."""
    if b'"error"' not in line:
        return line, False
    answer = json.loads(line)
    if not isinstance(answer, dict) or "error" not in answer:
        return line, False
    error = answer["error"]
    if isinstance(error, dict) and "line" in error:
        # The model counts from the start of its request. A row is called by the line it starts on.
        error["line"] = answer.get("id", number) if rows else number
    return _written(answer), True


def _written(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, ensure_ascii=True, separators=(",", ":")).encode()


class _Result:
    """The object that the answers go to: small at once, large in parts as they fill."""

    def __init__(self, key: str, upload: str | None, uploaded: int) -> None:
        self._object = {"Bucket": store.bucket(), "Key": key}
        self._upload, self._uploaded = upload, uploaded
        self._held: list[bytes] = []
        self._size = 0

    def write(self, line: bytes) -> None:
        self._held.append(line)
        self._size += len(line) + 1
        if self._size >= UPLOADED_AT_ONCE_BYTES:
            self._put_part()

    def rest(self) -> bool:
        """Whether nothing is held that a later call would miss."""
        if self._size >= SMALLEST_UPLOAD_BYTES:
            self._put_part()
        return self._size == 0

    def cursor(self) -> dict[str, Any]:
        return {"upload": self._upload, "uploaded": self._uploaded}

    def close(self) -> None:
        if self._upload is None:
            body = self._body()
            store.s3().put_object(**self._object, Body=body, ContentType="application/jsonlines")
            return
        if self._size:
            self._put_part()
        pages = (
            store.s3().get_paginator("list_parts").paginate(**self._object, UploadId=self._upload)
        )
        listed = chain.from_iterable(page.get("Parts", []) for page in pages)
        found = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in listed]
        store.s3().complete_multipart_upload(
            **self._object, UploadId=self._upload, MultipartUpload={"Parts": found}
        )

    def _put_part(self) -> None:
        if self._upload is None:
            self._upload = store.s3().create_multipart_upload(
                **self._object, ContentType="application/jsonlines"
            )["UploadId"]
        self._uploaded += 1
        store.s3().upload_part(
            **self._object,
            UploadId=self._upload,
            PartNumber=self._uploaded,
            Body=self._body(),
        )

    def _body(self) -> bytes:
        self._held.append(b"")
        body = b"\n".join(self._held)
        self._held, self._size = [], 0
        return body
