"""A stage file without faults, and the means to change it in one place."""

from __future__ import annotations

from typing import Any

import yaml

PIPELINE = {
    "base": {"hub": "distilbert/distilbert-base-uncased", "revision": "a" * 40},
    "problem": "single-label",
    "gate": {"metric": "accuracy", "at_least": 0.8},
    "approval": "manual",
    "instance_type": "ml.g5.xlarge",
    "processing_instance_type": "ml.m5.xlarge",
}
MODEL = {
    "task": "text-classification",
    "source": {"pipeline": "reviews"},
    "endpoint": {"kind": "serverless", "memory_mb": 4096, "max_concurrency": 5},
    "batch": {"instance_type": "ml.m5.xlarge"},
}
STAGE = {
    "name": "lectern",
    "region": "us-east-1",
    "retain_data": False,
    "models": {"topics": MODEL},
    "pipelines": {"reviews": PIPELINE},
    "api": {"auth": "api-key", "throttle": {"rate": 5, "burst": 10}},
    "logs": {"retention_days": 7},
}


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    copy = yaml.safe_load(yaml.safe_dump(document))
    for path, value in changes.items():
        *parents, last = path.split("/")
        place = copy
        for part in parents:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return copy


def every_place(document: object, place: str = "") -> list[str]:
    if not isinstance(document, dict):
        return [place]
    below = [
        found for key, part in document.items() for found in every_place(part, f"{place}/{key}")
    ]
    return [*([place] if place else []), *below]
