"""The real model server, which the image runs, and the local hosting that stands in for it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import sagemaker_inference

from tests.inference.conftest import Hosting
from tests.inference.format_rows import CUT, REFUSALS, ROWS

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="the model server needs Java")
MODELS = {"classifier": "classifier", "nli": "nli", "broken": "broken"}
PROPERTIES = """
decode_input_request=false
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{management_port}
default_workers_per_model=1
default_service_handler=sagemaker_huggingface_inference_toolkit.handler_service
vmargs=-Xmx256m -XX:TieredStopAtLevel=1
"""


@pytest.fixture(scope="module")
def model_server(artifacts, some_free_port, tmp_path_factory):
    """Multi Model Server with the toolkit's handler service, each artifact one of its models."""
    home = tmp_path_factory.mktemp("server")
    (home / "tmp").mkdir()
    ports = {"port": some_free_port(), "management_port": some_free_port()}
    (home / "config.properties").write_text(PROPERTIES.format(**ports))
    logging = Path(sagemaker_inference.__file__).parent / "etc" / "log4j2.xml"
    command = [
        sys.executable,
        *("-m", "mms.model_server", "--start", "--foreground", "--model-store", "/"),
        *("--mms-config", str(home / "config.properties"), "--log-config", str(logging)),
        "--models",
        *(f"{name}={artifacts[name]}" for name in MODELS),
    ]
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("HF_TASK", "LECTERN_ENGINE")},
        "TEMP": str(home / "tmp"),
        "TMPDIR": str(home / "tmp"),
        "LOG_LOCATION": str(home / "logs"),
        "METRICS_LOCATION": str(home / "logs"),
        "PYTHONPATH": str(artifacts["classifier"] / "code"),
        "OMP_NUM_THREADS": "1",
    }
    with (home / "log").open("wb") as output:
        server = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Hosting(ports["port"], server, home / "log").wait()
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(server.pid).children(recursive=True):
                process.kill()
        server.kill()
        server.wait(10)


@pytest.mark.parametrize("row", [*ROWS, *REFUSALS], ids=lambda row: row.name)
def test_the_local_hosting_answers_as_the_model_server_does(model_server, local_hosting, row):
    headers = {"Content-Type": row.content_type, "Accept": row.accept}
    ours = local_hosting[row.artifact].request("/invocations", row.body, **headers)
    path = f"/models/{row.artifact}/invoke"
    theirs = model_server.request(path, row.body, **headers)
    assert ours.status == theirs.status
    assert ours.body == theirs.body
    for name in ("content-type", CUT):
        assert ours.headers.get(name) == theirs.headers.get(name)


def test_the_local_hosting_pings_and_refuses_as_the_model_server_does(model_server, local_hosting):
    ours = local_hosting["classifier"]
    for path, body in [("/ping", None), ("/nothing/here", None)]:
        replies = [hosting.request(path, body) for hosting in (ours, model_server)]
        assert len({reply.status for reply in replies}) == 1
        assert len({reply.body for reply in replies}) == 1


def test_the_model_server_listens_on_this_machine_only(model_server):
    java, *_ = psutil.Process(model_server.process.pid).children()
    listening = [c for c in java.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert len(listening) == 2


# Some 60,000 pairs of text and label: far longer than it takes to kill who computes them.
HEAVY = json.dumps(
    {
        "inputs": ["why was the price on my bill not the price of the order"] * 600,
        "parameters": {"candidate_labels": [f"label {i}" for i in range(100)]},
    }
).encode()
LIGHT = {row.name: row for row in ROWS}["zero-shot"].body


def worker_of(server, artifact):
    """The process that computes: a child of the one that was started for the model."""
    for process in psutil.Process(server.pid).children(recursive=True):
        command = process.cmdline()
        if str(artifact) in command and process.ppid() != server.pid:
            parent = process.parent().cmdline()
            if str(artifact) in parent and "mms.model_server" not in parent:
                return process
    raise AssertionError("the model has no worker")


def test_a_worker_killed_in_the_middle_of_a_request_costs_that_request_only(
    model_server, artifacts
):
    path, headers = "/models/nli/invoke", {"Content-Type": "application/json"}
    before = model_server.request(path, LIGHT, **headers)
    worker = worker_of(model_server.process, artifacts["nli"])
    replies = []
    heavy = threading.Thread(
        target=lambda: replies.append(model_server.request(path, HEAVY, **headers))
    )
    spent = sum(worker.cpu_times()[:2])
    heavy.start()
    while sum(worker.cpu_times()[:2]) < spent + 0.3:
        assert not replies
        time.sleep(0.02)
    waiting = threading.Thread(
        target=lambda: replies.append(model_server.request(path, LIGHT, **headers))
    )
    waiting.start()
    worker.kill()
    heavy.join()
    assert (replies[0].status, json.loads(replies[0].body)["message"]) == (500, "Worker died.")
    waiting.join()
    after = model_server.request(path, LIGHT, **headers)
    for reply in (replies[1], after):
        assert (reply.status, reply.body) == (before.status, before.body)
    assert worker_of(model_server.process, artifacts["nli"]).pid != worker.pid
