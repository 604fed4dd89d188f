"""How a test walks the road: the command line, boto3 and HTTP, all pointed at one local AWS."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import requests

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Road:
    """The command line, boto3 and HTTP, all pointed at one local AWS."""

    state: Path
    port: int
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        # Two of them at once would wait for one another at the checkout's cdk.out.
        own = {"LECTERN_LOCAL_DIR": str(self.state), "CDK_OUTPUT": str(self.state / "cdk.out")}
        return kept | own

    def lectern(
        self,
        *words: str,
        fails: bool = False,
        timeout: float = 420,
        environment: dict[str, str] | None = None,
    ) -> str:
        """Run the command line; its whole output. `fails` says what the exit code must be."""
        run = subprocess.run(
            [str(BIN / "lectern"), *words],
            cwd=ROOT,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert (run.returncode != 0) == fails, f"exit code {run.returncode}\n{run.stdout}"
        return run.stdout

    def start(self) -> None:
        self.lectern("local", "start", "--port", str(self.port))

    def deploy(self, *words: str, fails: bool = False) -> str:
        return self.lectern(
            "cdk", "--local", "deploy", "--require-approval", "never", *words, fails=fails
        )

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="123456789012",
            aws_secret_access_key="local",
        )

    def status(self) -> dict[str, Any]:
        return json.loads(self.lectern("status", "--local", "--json", "--show-key"))

    def api(self, method: str, path: str, **options: Any) -> requests.Response:
        """One HTTP call with the deployment's own key, unless `headers` brings another."""
        if "api" not in self.notes:
            self.notes["api"] = self.status()["api"]
        headers = {"x-api-key": self.notes["api"]["key"]} | options.pop("headers", {})
        url = self.notes["api"]["url"].rstrip("/") + path
        return requests.request(method, url, headers=headers, timeout=60, **options)

    def ask(self, model: str, text: str) -> dict[str, Any]:
        """The first prediction for one text; any other status than 200 is a failure."""
        response = self.api("POST", f"/v1/models/{model}", json={"inputs": text})
        assert response.status_code == 200, response.text
        return response.json()[0]

    def processes(self) -> list[psutil.Process]:
        server = psutil.Process(json.loads((self.state / "server.json").read_text())["pid"])
        return [server, *server.children(recursive=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Any, seconds: float = 60) -> Any:
    """Poll until `condition()` is true and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.25)
    raise AssertionError(f"waited {seconds} s for {what}")
