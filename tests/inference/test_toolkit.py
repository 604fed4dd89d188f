"""The handler inside the real inference toolkit, over HTTP."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def some_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Start servers with the handler as code/ of a model artifact; stop them all at the end."""
    started = []

    def start(model_dir, damage=None):
        artifact = tmp_path_factory.mktemp("artifact") / "model"
        shutil.copytree(model_dir, artifact)
        shutil.copytree(ROOT / "inference", artifact / "code")
        if damage:
            damage(artifact)
        port = some_free_port()
        command = ["-m", "local.serving", "--model-dir", str(artifact), "--port", str(port)]
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "HF_TASK": "text-classification"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(server)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in started:
        server.kill()
        server.communicate()


@pytest.fixture(scope="module")
def urls(serve, model_dir):
    """A server that works and one whose weights are gone, both answering /ping."""
    found = {
        "good": serve(model_dir),
        "broken": serve(model_dir, lambda artifact: (artifact / "model.safetensors").unlink()),
    }
    deadline = time.monotonic() + 120
    for url in found.values():
        while True:
            try:
                assert urllib.request.urlopen(f"{url}/ping", timeout=5).status == 200
                break
            except OSError:  # refused before the port is taken, silent while the model loads
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
    return found


def invoke(url, body, content_type="application/json", accept=None):
    headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
    request = urllib.request.Request(f"{url}/invocations", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("body", "content_type", "accept"),
    [
        (b'{"inputs": "my parcel is late"}', "application/json", None),
        (b'{"inputs": "my parcel is late"}\n', "application/json; charset=utf-8", "*/*"),
        (b'{"inputs": "my parcel is late"}', "application/json", "application/json, text/plain"),
        (b"my parcel is late", "application/x-text", "application/json"),
        (b"my parcel is late", "text/plain", "application/json"),
    ],
)
def test_every_request_form_gets_the_answer_of_the_pipeline(
    urls, model_dir, body, content_type, accept
):
    from transformers import pipeline

    theirs = pipeline("text-classification", model=str(model_dir), device="cpu")
    status, text = invoke(urls["good"], body, content_type, accept)
    assert status == 200
    (answer,) = json.loads(text)
    (expected,) = theirs("my parcel is late")
    assert answer["label"] == expected["label"]
    assert answer["score"] == pytest.approx(expected["score"], abs=1e-5)


def test_verbose_and_csv_arrive_through_the_toolkit(urls):
    _, text = invoke(urls["good"], b"late", "application/x-text", "application/json;verbose")
    assert json.loads(text)["labels"] == ["red", "grün", "blue"]
    status, text = invoke(urls["good"], b"late\nrefund\n", "text/csv", "text/csv;verbose")
    assert status == 200
    assert len(text.split("\n")) == 2


def test_a_batch_with_a_bad_line_is_answered_line_by_line(urls):
    body = b'{"id": 1, "inputs": "late"}\n{"id": 2, "inpu\n{"id": 3, "inputs": "refund"}\n'
    status, text = invoke(urls["good"], body, "application/jsonlines", "application/jsonlines")
    assert status == 200
    first, second, third = (json.loads(line) for line in text.split("\n"))
    assert (first["id"], third["id"]) == (1, 3)
    assert second == {"error": {"code": "invalid_json", "message": "not valid JSON"}}


def test_a_client_s_fault_reaches_the_caller_inside_the_toolkit_s_message(urls):
    status, text = invoke(urls["good"], b'{"inputs": 5}')
    assert status == 400
    message = json.loads(text)["message"]
    fault, _ = json.JSONDecoder().raw_decode(message)
    assert (fault["code"], fault["fault"]) == ("invalid_input", "client")


def test_a_model_that_did_not_load_answers_with_the_reason(urls):
    for _ in range(2):
        status, text = invoke(urls["broken"], b'{"inputs": "late"}')
        assert status == 400
        fault, _ = json.JSONDecoder().raw_decode(json.loads(text)["message"])
        assert (fault["code"], fault["fault"]) == ("model_not_loaded", "server")
        assert "model.safetensors" in fault["message"]
