"""The real model server of the image, Multi Model Server under Java, with the stock handler."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import sagemaker_inference

PROPERTIES = """
decode_input_request=false
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{management_port}
default_workers_per_model={workers}
default_service_handler=sagemaker_huggingface_inference_toolkit.handler_service
"""
PATH = "/models/stock/invoke"
START_SECONDS = 240


def is_there() -> bool:
    return shutil.which("java") is not None


@contextmanager
def model_server(artifact: Path, task: str, workers: int, folder: Path) -> Iterator[int]:
    """Serve an artifact without code/; yields the port once a worker answers."""
    home = folder / f"model-server-{workers}"
    (home / "tmp").mkdir(parents=True)
    port = _free_port()
    properties = PROPERTIES.format(port=port, management_port=_free_port(), workers=workers)
    (home / "config.properties").write_text(properties)
    log_config = Path(sagemaker_inference.__file__).parent / "etc" / "log4j2.xml"
    cores = os.cpu_count() or 1
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                *("-m", "mms.model_server", "--start", "--foreground", "--model-store", "/"),
                *("--mms-config", str(home / "config.properties")),
                *("--log-config", str(log_config), "--models", f"stock={artifact}"),
            ],
            cwd=home,
            env={
                **os.environ,
                "HF_TASK": task,
                "TEMP": str(home / "tmp"),
                "TMPDIR": str(home / "tmp"),
                "LOG_LOCATION": str(home),
                "METRICS_LOCATION": str(home),
                "OMP_NUM_THREADS": str(max(1, cores // workers)),
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(port, home)
        yield port
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(server.pid).children(recursive=True):
                process.kill()
        server.kill()
        server.wait()


def _free_port() -> int:
    # It takes no port of those that systems hand out.
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port between 20000 and 32000 is free")


def _wait(port: int, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    body, headers = b'{"inputs": "hello"}', {"Content-Type": "application/json"}
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        with contextlib.suppress(OSError):
            connection.request("POST", PATH, body, headers)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.5)
    raise TimeoutError(f"the model server does not answer: see {home}/log")
