"""Clients that people have already: curl as the README shows it, requests, boto3, SageMaker's SDK."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from typing import Any

import pytest
import requests

from tests.api.hub_asks import TEXT
from tests.api.served import PREFIX, Served
from tests.road.walk import ROOT

SDK = ROOT / ".venv-sagemaker" / "bin" / "python"


def fenced(page: str, marker: str) -> list[str]:
    """The commands of the fenced block that follows a marker on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [block] = re.findall(rf"<!-- {marker} -->\n+```[a-z]*\n(.*?)```", text, re.DOTALL)
    commands: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
        elif line.startswith("  ") and commands:
            commands[-1] += f" {line.strip()}"
    return commands


def test_the_curl_lines_of_the_readme_work_as_they_stand(served: Served):
    commands = fenced("README.md", "curl")
    assert len(commands) >= 4
    for command in commands:
        # The one thing that is this deployment's: how its models are called.
        run = subprocess.run(
            ["bash", "-c", command.replace("/tickets", "/sorts")],
            env={"URL": served.url, "KEY": served.key, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip(), command
        assert '"type": "urn:lectern:problem' not in run.stdout, run.stdout


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-text"])
def test_a_text_may_come_by_itself(call, content_type):
    body = "ein Päckchen, zu spät".encode()
    plain = call("POST", "/v1/models/sorts", data=body, headers={"content-type": content_type})
    as_json = call("POST", "/v1/models/sorts", json={"inputs": body.decode()})
    assert plain.json() == as_json.json()


def test_verbose_answers_have_every_label(call):
    accept = {"accept": "application/json;verbose"}
    answer = call("POST", "/v1/models/sorts", json={"inputs": TEXT}, headers=accept)
    assert answer.headers["content-type"] == "application/json;verbose"
    found = answer.json()
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-5)
    best = found["probabilities"].index(max(found["probabilities"]))
    assert found["labels"][best] == found["predicted_label"]


def test_a_list_of_texts_is_answered_in_its_order(call):
    texts = [TEXT, "my bill", TEXT]
    first, second, third = call("POST", "/v1/models/sorts", json={"inputs": texts}).json()
    assert first == third
    assert first != second


def test_boto3_and_the_api_say_the_same(served: Served, call):
    runtime = served.road.client("sagemaker-runtime")
    body = json.dumps({"inputs": TEXT})
    answer = runtime.invoke_endpoint(
        EndpointName=f"{PREFIX}-sorts", ContentType="application/json", Body=body
    )
    through_api = call("POST", "/v1/models/sorts", json={"inputs": TEXT})
    assert json.loads(answer["Body"].read()) == through_api.json()


def test_the_sagemaker_sdk_asks_the_endpoint(served: Served, call):
    asks = textwrap.dedent(
        f"""
        import json
        from sagemaker.core.resources import Endpoint

        endpoint = Endpoint.get(endpoint_name="{PREFIX}-sorts")
        assert endpoint.endpoint_status == "InService"
        body = json.dumps({{"inputs": {TEXT!r}}})
        answer = endpoint.invoke(body=body, content_type="application/json")
        print(answer.body.read().decode())
        """
    )
    road = served.road
    run = subprocess.run(
        [SDK, "-c", asks],
        env=road.environment
        | {
            "AWS_ENDPOINT_URL": road.endpoint_url,
            "AWS_ACCESS_KEY_ID": "123456789012",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    through_api = call("POST", "/v1/models/sorts", json={"inputs": TEXT})
    assert json.loads(run.stdout.splitlines()[-1]) == through_api.json()


def test_pages_of_another_origin_read_nothing_unless_the_stage_file_says_so(served: Served):
    answer: Any = requests.get(
        f"{served.url}/v1/health", headers={"origin": "http://localhost:3000"}, timeout=30
    )
    assert answer.status_code == 200
