"""One local AWS with one model from this machine, deployed by the real CDK CLI from its own stage."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.api.served import Served
from tests.inference import tiny
from tests.road.walk import Road, free_port

STAGE: dict[str, Any] = {
    "name": "lectern",
    "region": "us-east-1",
    "retain_data": False,
    "models": {
        "tickets": {
            "task": "text-classification",
            "endpoint": {"kind": "none"},
            "batch": {"instance_type": "ml.m5.xlarge"},
        }
    },
    "api": {
        "auth": "api-key",
        "keys": ["ours", "theirs"],
        "tenancy": True,
        "throttle": {"rate": 500, "burst": 500},
        "batches": {"buckets": ["lectern-inputs"], "expire_days": 7},
    },
    "logs": {"retention_days": 7},
}


@dataclass
class Curl:
    """`curl` itself, with nothing but an address and a key."""

    url: str
    key: str

    def __call__(self, *words: str, status: int = 200) -> Any:
        """Call the API; the JSON document that it answers."""
        path, *options = words
        given = ("-H", f"x-api-key: {self.key}", *options, f"{self.url}{path}")
        code, _, body = self.run(*given)
        assert code == status, body
        return json.loads(body)

    def run(self, *words: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of one call."""
        run = subprocess.run(
            ["curl", "--silent", "--show-error", "--include", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        head, _, body = run.stdout.partition("\n\n")
        # Of a large upload, the server says first that it may come.
        while " 100 " in head.partition("\n")[0]:
            head, _, body = body.partition("\n\n")
        status, *lines = head.splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        return int(status.split()[1]), {n.lower(): v for n, v in headers.items()}, body

    def follow(self, batch_id: str, seconds: float = 60) -> list[dict[str, Any]]:
        """Every state of a batch that was seen until it was over."""
        seen = []
        deadline = time.monotonic() + seconds
        while True:
            seen.append(self(f"/v1/batches/{batch_id}"))
            if seen[-1]["state"] not in ("AwaitingUpload", "InProgress"):
                return seen
            assert time.monotonic() < deadline, seen[-1]
            time.sleep(0.1)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="lectern-batches-") as folder:
        road = Road(state=Path(folder) / "state", port=free_port())
        model = tiny.classifier(Path(folder) / "model")
        stage = yaml.safe_load(yaml.safe_dump(STAGE))
        stage["models"]["tickets"]["source"] = {"path": str(model)}
        stages = Path(folder) / "stages"
        stages.mkdir()
        (stages / "local.yaml").write_text(yaml.safe_dump(stage))
        road.start()
        try:
            yield Served.by(road, stages)
        finally:
            processes = road.processes()
            road.lectern("local", "stop")
            _gone, alive = psutil.wait_procs(processes, timeout=10)
            assert not alive, f"still running after stop: {alive}"


@pytest.fixture(scope="session")
def road(served: Served) -> Road:
    return served.road


@pytest.fixture(scope="session")
def curl(served: Served) -> Curl:
    return Curl(url=served.url, key=served.keys["ours"])


@pytest.fixture(scope="session")
def theirs(served: Served) -> Curl:
    """Another caller."""
    return Curl(url=served.url, key=served.keys["theirs"])
