"""What List operations share: filters, order and pages."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from botocore.utils import parse_to_aware_datetime

from local.sagemaker.errors import ValidationException
from local.sagemaker.store import Json, Record

_DEFAULT_PAGE = 100


def page(
    records: list[Record],
    request: dict[str, Any],
    *,
    name: str,
    status: str = "",
    created: str = "CreationTime",
    order: str = "Descending",
) -> tuple[list[Record], str | None]:
    """The page of records that the request asks for, and the token of the next one."""
    kept = [record for record in records if _wanted(record, request, name, status, created)]
    sort_by = {"Name": name, "Status": status}.get(request.get("SortBy", ""), created)
    if request.get("SortBy") == "PipelineExecutionArn":
        sort_by = "PipelineExecutionArn"
    descending = request.get("SortOrder", order) == "Descending"
    kept.sort(key=lambda record: record.get(sort_by, ""), reverse=descending)
    return cut(kept, request)


def cut(items: list[Any], request: dict[str, Any]) -> tuple[list[Any], str | None]:
    """One page of items in the order given."""
    start = _read_token(request["NextToken"]) if request.get("NextToken") else 0
    end = start + request.get("MaxResults", _DEFAULT_PAGE)
    return items[start:end], _token(end) if end < len(items) else None


def _wanted(record: Record, request: dict[str, Any], name: str, status: str, created: str) -> bool:
    wanted = request.get("NameContains", "").lower() in str(record.get(name, "")).lower()
    if status and "StatusEquals" in request:
        wanted = wanted and record.get(status) == request["StatusEquals"]
    for member, field, sign in (
        ("CreationTimeAfter", created, 1),
        ("CreatedAfter", created, 1),
        ("CreationTimeBefore", created, -1),
        ("CreatedBefore", created, -1),
        ("LastModifiedTimeAfter", "LastModifiedTime", 1),
        ("LastModifiedTimeBefore", "LastModifiedTime", -1),
    ):
        if member in request:
            wanted = wanted and (record.get(field, 0.0) - epoch(request[member])) * sign > 0
    return wanted


def epoch(moment: Json) -> float:
    """Seconds since 1970 of a timestamp in any form that botocore takes."""
    when: datetime = parse_to_aware_datetime(moment)
    return when.timestamp()


def _token(start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"start": start}).encode()).decode()


def _read_token(token: str) -> int:
    try:
        start = int(json.loads(base64.urlsafe_b64decode(token))["start"])
        if start >= 0:
            return start
    except (binascii.Error, ValueError, KeyError, TypeError):
        pass
    raise ValidationException("Invalid NextToken: pass the one the last page gave")
