"""What events on the default bus carry."""

from __future__ import annotations

from local.sagemaker.store import Json, Record


def event_detail(record: Record) -> Record:
    """A record as an event carries it: no members of our own, moments in milliseconds."""
    detail: Record = _event_value({k: v for k, v in record.items() if k[0].isupper()})
    detail["Tags"] = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
    return detail


def _event_value(value: Json) -> Json:
    if isinstance(value, list):
        return [_event_value(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: int(inner * 1000)
        if name.endswith(("Time", "Timestamp")) and isinstance(inner, float)
        else _event_value(inner)
        for name, inner in value.items()
    }
