"""The HTTP API's batches, on MiniStack's real S3 and Step Functions."""

from __future__ import annotations

import importlib
import json
import os
import time
import urllib.request
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.functions.test_api import Call, assert_problem

BUCKET = "lectern-test-data"
LINES = '{"id": 1, "inputs": "a"}\nnot json\n'


@pytest.fixture
def run(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the state machine do as the test says."""
    aws("s3").create_bucket(Bucket=BUCKET)
    machines = aws("stepfunctions")

    def machine(name: str, state: dict[str, Any]) -> None:
        definition = {"StartAt": "Only", "States": {"Only": state}}
        arn = machines.create_state_machine(
            name=f"batch-{name}-{uuid.uuid4().hex[:8]}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/batch",
        )["stateMachineArn"]
        monkeypatch.setenv("STATE_MACHINE_ARN", arn)

    return machine


def start(call: Call, body: str, content_type: str, model: str = "tickets") -> dict[str, Any]:
    answer: dict[str, Any] = call(
        "POST", f"/v1/models/{model}/batches", body, content_type=content_type
    )
    return answer


def finished(call: Call, batch_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while True:
        answer = call("GET", f"/v1/batches/{batch_id}")
        assert answer["status"] == 200, answer
        if answer["json"]["state"] != "InProgress":
            found: dict[str, Any] = answer["json"]
            return found
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "content_type", "stored"),
    [
        (LINES, "application/jsonlines", LINES),
        (LINES.rstrip("\n"), "application/x-ndjson", LINES),
        (
            json.dumps({"lines": [{"id": 1, "inputs": "a"}, "b", 3]}),
            "application/json",
            '{"id": 1, "inputs": "a"}\n{"inputs": "b"}\n3\n',
        ),
    ],
)
def test_lines_are_stored_as_they_are_and_the_state_machine_gets_its_contract(
    call: Call,
    run: Callable[..., None],
    aws: Callable[[str], Any],
    body: str,
    content_type: str,
    stored: str,
) -> None:
    run("passes", {"Type": "Pass", "End": True})
    answer = start(call, body, content_type)
    assert answer["status"] == 202
    batch_id = answer["json"]["id"]
    assert answer["json"] == {"id": batch_id, "model": "tickets", "state": "InProgress"}
    started_at = "https://host/stage/v1/models/tickets/batches"
    location = urljoin(started_at, answer["headers"]["location"])
    assert location == f"https://host/stage/v1/batches/{batch_id}"
    key = f"batches/{batch_id}/input/lines.jsonl"
    assert aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() == stored
    [execution] = [
        found
        for found in aws("stepfunctions").list_executions(stateMachineArn=machine_arn())[
            "executions"
        ]
        if found["name"] == batch_id
    ]
    described = aws("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    assert json.loads(described["input"]) == {
        "model": "tickets",
        "batch_id": batch_id,
        "input_uri": f"s3://{BUCKET}/{key}",
        "output_uri": f"s3://{BUCKET}/batches/{batch_id}/output/",
        "content_type": "application/jsonlines",
    }


def test_a_complete_batch_has_counts_and_a_url_that_needs_no_credentials(
    call: Call,
    run: Callable[..., None],
    aws: Callable[[str], Any],
) -> None:
    run("waits", {"Type": "Wait", "Seconds": 1, "End": True})
    batch_id = start(call, LINES, "application/jsonlines")["json"]["id"]
    assert call("GET", f"/v1/batches/{batch_id}")["json"]["state"] == "InProgress"
    result = '{"id": 1, "prediction": []}\n{"error": {"code": "invalid_json", "message": "x"}}\n'
    aws("s3").put_object(
        Bucket=BUCKET, Key=f"batches/{batch_id}/output/lines.jsonl.out", Body=result
    )
    batch = finished(call, batch_id)
    assert (batch["state"], batch["lines"], batch["errors"]) == ("Completed", 2, 1)
    assert batch["started"] <= batch["finished"]
    with urllib.request.urlopen(batch["result_url"], timeout=10) as response:
        assert response.read().decode() == result


@pytest.mark.parametrize(
    ("error", "reason"),
    [("SageMaker.Fault", "transform job failed"), ("NothingServes", "no version of the model")],
)
def test_a_failed_batch_gives_a_reason_without_the_containers_words(
    call: Call, run: Callable[..., None], error: str, reason: str
) -> None:
    run("fails", {"Type": "Fail", "Error": error, "Cause": "/opt/ml is on fire"})
    batch = finished(call, start(call, LINES, "application/jsonlines")["json"]["id"])
    assert batch["state"] == "Failed"
    assert reason in batch["reason"]
    assert "/opt/ml" not in batch["reason"]


def test_a_batch_reads_an_object_of_the_batches_prefix_and_no_other(
    call: Call,
    run: Callable[..., None],
    aws: Callable[[str], Any],
) -> None:
    run("passes", {"Type": "Pass", "End": True})
    aws("s3").put_object(Bucket=BUCKET, Key="batches/mine/input/rows.jsonl", Body=LINES)
    aws("s3").put_object(Bucket=BUCKET, Key="pipelines/tickets/rows.jsonl", Body=LINES)
    allowed = json.dumps({"input": f"s3://{BUCKET}/batches/mine/input/rows.jsonl"})
    assert start(call, allowed, "application/json")["status"] == 202
    for uri in (
        f"s3://{BUCKET}/pipelines/tickets/rows.jsonl",
        "s3://another/batches/mine/input/rows.jsonl",
        f"s3://{BUCKET}/batches/mine/input/",
        f"s3://{BUCKET}/batches/mine/missing.jsonl",
        f"https://{BUCKET}/batches/mine/input/rows.jsonl",
        7,
    ):
        refused = start(call, json.dumps({"input": uri}), "application/json")
        assert_problem(refused, 422, "input: ")


@pytest.mark.parametrize(
    ("status", "body", "content_type", "model"),
    [
        (404, LINES, "application/jsonlines", "nothing"),
        (409, LINES, "application/jsonlines", "fresh"),
        (415, LINES, "text/csv", "tickets"),
        (400, "", "application/jsonlines", "tickets"),
        (400, "{", "application/json", "tickets"),
        (422, "{}", "application/json", "tickets"),
        (422, '{"lines": []}', "application/json", "tickets"),
        (422, '{"lines": "a"}', "application/json", "tickets"),
        (422, '{"lines": ["a"], "input": "s3://b/c"}', "application/json", "tickets"),
    ],
)
def test_a_batch_that_cannot_start_is_a_problem(
    call: Call,
    run: Callable[..., None],
    status: int,
    body: str,
    content_type: str,
    model: str,
) -> None:
    run("passes", {"Type": "Pass", "End": True})
    assert_problem(start(call, body, content_type, model), status)


@pytest.mark.parametrize("batch_id", ["unknown", "A", "a:b", "a--", "-a", "a" * 64, "%2e%2e"])
def test_an_unknown_batch_is_a_404(
    call: Call,
    run: Callable[..., None],
    batch_id: str,
) -> None:
    run("passes", {"Type": "Pass", "End": True})
    assert_problem(call("GET", f"/v1/batches/{batch_id}"), 404)


@pytest.mark.parametrize("model", ["tickets", "T" * 63, "a" * 35 + "-bc"])
def test_a_batch_id_is_a_valid_name_for_a_transform_job(api: ModuleType, model: str) -> None:
    batch_id = importlib.import_module("batches")._new_id(model)
    assert len(batch_id) <= 63
    assert importlib.import_module("batches").BATCH_ID.fullmatch(batch_id)


def machine_arn() -> str:
    return os.environ["STATE_MACHINE_ARN"]
