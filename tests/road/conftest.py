"""One local AWS for the whole road, in a folder and on a port of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.road.walk import Road, free_port


@pytest.fixture(scope="session")
def road() -> Iterator[Road]:
    with tempfile.TemporaryDirectory(prefix="lectern-road-") as folder:
        road = Road(state=Path(folder), port=free_port())
        road.start()
        try:
            yield road
        finally:
            processes = road.processes() if (road.state / "server.json").exists() else []
            road.lectern("local", "stop")
            _gone, alive = psutil.wait_procs(processes, timeout=10)
            assert not alive, f"still running after stop: {alive}"
