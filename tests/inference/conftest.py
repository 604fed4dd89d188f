"""The handler's modules by their plain names, as they are in a container, and tiny models."""

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "inference")]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    from tests.inference import tiny

    return tiny.classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def model(model_dir):
    from inference import model_fn

    return model_fn(str(model_dir))


@dataclass
class Reply:
    """What a client sees."""

    status: int
    headers: dict
    body: bytes


class Hosting:
    """A serving process on a port of this machine."""

    def __init__(self, port, process, log):
        self.port, self.process, self.log = port, process, log

    def request(self, path, body=None, **headers):
        """A request with these headers and no other that matters."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            method = "GET" if body is None else "POST"
            connection.request(
                method, path, body, {k: v for k, v in headers.items() if v is not None}
            )
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def wait(self, path="/ping"):
        deadline = time.monotonic() + 120
        while True:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            try:
                assert self.request(path).status == 200
                return self
            except OSError:  # refused before the port is taken, silent while the model loads
                assert time.monotonic() < deadline, self.log.read_text()[-4000:]
                time.sleep(0.1)


@pytest.fixture(scope="session")
def some_free_port():
    def find():
        # The model server takes no port of those that systems hand out.
        for port in random.sample(range(20_000, 32_000), 100):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise AssertionError("no port is free")

    return find


@pytest.fixture(scope="session")
def artifacts(model_dir, tmp_path_factory):
    """Model artifacts with the handler as code/: a classifier, an NLI model and a broken one."""
    from tests.inference import tiny

    store = tmp_path_factory.mktemp("artifacts")
    shutil.copytree(model_dir, store / "classifier")
    (store / "nli").mkdir()
    tiny.bart(store / "nli")
    (store / "nli" / "lectern.json").write_text('{"task": "zero-shot-classification"}')
    shutil.copytree(model_dir, store / "broken")
    (store / "broken" / "model.safetensors").unlink()
    for artifact in store.iterdir():
        shutil.copytree(
            ROOT / "inference", artifact / "code", ignore=shutil.ignore_patterns("__pycache__")
        )
    return {artifact.name: artifact for artifact in store.iterdir()}


@pytest.fixture(scope="session")
def local_hosting(artifacts, some_free_port, tmp_path_factory):
    """Each artifact behind local.serving, which runs the real toolkit."""
    logs = tmp_path_factory.mktemp("logs")
    # No HF_TASK: the artifacts say their task.
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_TASK", "LECTERN_ENGINE")}
    started = {}
    try:
        for name, artifact in artifacts.items():
            port, log = some_free_port(), logs / name
            command = ["-m", "local.serving", "--model-dir", str(artifact), "--port", str(port)]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-P", *command],
                    env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            started[name] = Hosting(port, process, log)
        yield {name: hosting.wait() for name, hosting in started.items()}
    finally:
        for hosting in started.values():
            hosting.process.kill()
            hosting.process.wait(10)
