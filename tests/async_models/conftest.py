"""A deployment with one async model and one serverless one over the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.inference import tiny
from tests.road.walk import Road, free_port


def stage(weights: Path) -> dict:
    model = {
        "task": "text-classification",
        "source": {"path": str(weights)},
        "batch": {"instance_type": "ml.m5.xlarge"},
    }
    queue = {
        "kind": "async",
        "instance_type": "ml.m5.large",
        "instances": 1,
        "max_concurrent_requests": 2,
    }
    serverless = {"kind": "serverless", "memory_mb": 2048, "max_concurrency": 2}
    return {
        "name": "lectern",
        "region": "us-east-1",
        "retain_data": False,
        "models": {
            "patient": {**model, "endpoint": queue},
            "quick": {**model, "endpoint": serverless},
        },
        "api": {"auth": "api-key", "throttle": {"rate": 50, "burst": 100}},
        "logs": {"retention_days": 7},
    }


@pytest.fixture(scope="session")
def road() -> Iterator[Road]:
    with tempfile.TemporaryDirectory(prefix="lectern-async-") as folder:
        state, stages = Path(folder, "state"), Path(folder, "stages")
        weights = tiny.classifier(Path(folder, "weights"))
        stages.mkdir()
        (stages / "local.yaml").write_text(yaml.safe_dump(stage(weights)), encoding="utf-8")
        road = Road(state=state, port=free_port())
        road.start()
        try:
            road.lectern("deploy", "--local", "--context", f"stages={stages}")
            yield road
        finally:
            road.lectern("local", "stop")
