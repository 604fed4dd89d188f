"""One local AWS for all tests of the API: they run in one process, see tests/conftest.py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.api.served import SOURCES, Served, stage_file
from tests.road.walk import Road, free_port


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="lectern-api-") as folder:
        stages = stage_file(Path(folder, "stages"), *SOURCES)
        road = Road(state=Path(folder, "state"), port=free_port())
        road.state.mkdir()
        road.start()
        try:
            yield Served.by(road, stages)
        finally:
            processes = road.processes() if (road.state / "server.json").exists() else []
            road.lectern("local", "stop")
            _gone, alive = psutil.wait_procs(processes, timeout=10)
            assert not alive, f"still running after stop: {alive}"


@pytest.fixture
def call(served: Served) -> Any:
    """Send one HTTP request with the first key, or with the headers that are given."""

    def send(method: str, path: str, **options: Any) -> requests.Response:
        headers = {"x-api-key": served.key} | options.pop("headers", {})
        return requests.request(method, served.url + path, headers=headers, timeout=60, **options)

    return send
