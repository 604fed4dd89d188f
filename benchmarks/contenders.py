"""The processes that are measured: the stock toolkit handler and ours, behind the same server."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.race import STOCK
from tests.road.walk import free_port

ROOT = Path(__file__).resolve().parent.parent
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
LINES = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
START_SECONDS = 300


@dataclass
class Contender:
    """One handler over one model: `stock`, or ours with an engine."""

    name: str
    model_dir: Path
    task: str
    folder: Path
    threads: int = os.cpu_count() or 1
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    connection: http.client.HTTPConnection | None = None

    @property
    def variables(self) -> dict[str, str]:
        """The container's environment."""
        engine = {} if self.name == STOCK else {"LECTERN_ENGINE": self.name}
        return {"HF_TASK": self.task, **engine}

    @property
    def artifact(self) -> Path:
        """The unpacked model artifact: with our code/ or, for the stock handler, without."""
        artifact = self.folder / f"artifact-{self.name}"
        if not artifact.exists():
            shutil.copytree(self.model_dir, artifact, copy_function=os.link)
            if self.name != STOCK:
                code = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / "inference", artifact / "code", ignore=code)
        return artifact

    def archive(self) -> Path:
        """The artifact as SageMaker takes it."""
        path = self.folder / f"{self.name}.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            tar.add(self.artifact, arcname=".")
        return path

    def start(self) -> None:
        """Start its serving process, with the threads that the local AWS would give it."""
        command = ["-m", "local.serving", "--model-dir", str(self.artifact)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", str(self.port)],
            cwd=ROOT,
            env={
                **os.environ,
                **self.variables,
                "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
                "OMP_NUM_THREADS": str(self.threads),
                # Threads that spin while they wait would slow the one that is measured in turn.
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / f"{self.name}.log").open("wb"),
        )

    def wait(self) -> None:
        """Wait until it answers /ping; raise where it does not start."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
                self.connection.request("GET", "/ping")
                if self.connection.getresponse().read():
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(f"{self.name} does not answer: see {self.folder}/{self.name}.log")

    def ask(self, body: bytes, headers: Mapping[str, str] = JSON) -> bytes:
        """One invocation; raise where it is no success."""
        assert self.connection is not None
        self.connection.request("POST", "/invocations", body, dict(headers))
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {response.status} {answer[:300]!r}")
        return answer

    @property
    def peak_mib(self) -> float:
        """The most memory that the process has had resident."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    @property
    def resident_mib(self) -> float:
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder / f"artifact-{self.name}", ignore_errors=True)


class Field:
    """Several contenders, started and stopped together."""

    def __init__(self, names: Iterable[str], model_dir: Path, task: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.contenders = [Contender(name, model_dir, task, folder) for name in names]

    def __enter__(self) -> list[Contender]:
        for contender in self.contenders:
            contender.start()
            contender.wait()
        return self.contenders

    def __exit__(self, *_: object) -> None:
        for contender in self.contenders:
            contender.stop()


def request(inputs: object, **parameters: object) -> bytes:
    """A JSON body in the toolkit's form."""
    return json.dumps({"inputs": inputs, "parameters": parameters}).encode()
