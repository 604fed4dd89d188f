"""What callers see of a batch: its record, how far it is, and the signed URLs of its objects."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import aws
from batch_records import Record

SIGNED_SECONDS = 3600
_PART = re.compile(r".*/\d{6,}-(?P<lines>\d+)\.jsonl\.out")


def document(record: Record) -> dict[str, Any]:
    """The batch as it is answered."""
    state = record["state"]
    is_complete = state == "Completed"
    return {
        "id": record["id"],
        "model": record["model"],
        "state": state,
        "created": record["created"],
        "started": record.get("started"),
        "finished": record.get("finished"),
        "lines": record.get("lines"),
        "done": record["done"] if is_complete else _done(record),
        "errors": record.get("errors"),
        "result_url": _result_url(record) if is_complete else None,
        "result_expires": _moment(record["expires"]) if is_complete else None,
        "reason": record.get("reason"),
        "upload": upload(record) if state == "AwaitingUpload" else None,
    }


def upload(record: Record) -> dict[str, Any]:
    """How the lines are sent: one PUT, with the header that was signed."""
    content_type = record["content_type"]
    key = record["input"].removeprefix(f"s3://{os.environ['DATA_BUCKET']}/")
    asked = {"Bucket": os.environ["DATA_BUCKET"], "Key": key, "ContentType": content_type}
    until = datetime.now(UTC) + timedelta(seconds=SIGNED_SECONDS)
    return {
        "method": "PUT",
        "url": aws.s3().generate_presigned_url(
            "put_object", Params=asked, ExpiresIn=SIGNED_SECONDS
        ),
        "headers": {"content-type": content_type},
        "expires": _moment(until.timestamp()),
    }


def run_key(batch_id: str, name: str) -> str:
    """The key of one of the batch's own objects."""
    return f"batches/runs/{batch_id}/{name}"


def upload_key(batch_id: str) -> str:
    """The key to which the lines of a batch are uploaded."""
    return f"uploads/{batch_id}"


def _result_url(record: Record) -> str:
    asked = {"Bucket": os.environ["DATA_BUCKET"], "Key": run_key(record["id"], "result.jsonl")}
    url: str = aws.s3().generate_presigned_url("get_object", Params=asked, ExpiresIn=SIGNED_SECONDS)
    return url


def _done(record: Record) -> int:
    """The lines of the parts that have answers; a part's name says how many it has."""
    if not record.get("lines"):
        return 0
    pages = (
        aws.s3()
        .get_paginator("list_objects_v2")
        .paginate(Bucket=os.environ["DATA_BUCKET"], Prefix=run_key(record["id"], "answers/"))
    )
    parts = (_PART.fullmatch(item["Key"]) for page in pages for item in page.get("Contents", []))
    return sum(int(part["lines"]) for part in parts if part)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
