"""The HTTP API's batches, on MiniStack's real S3, DynamoDB and Step Functions."""

from __future__ import annotations

import base64
import importlib
import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.functions.conftest import matched
from tests.functions.stand_ins import Context
from tests.functions.tables import batch_table
from tests.functions.test_api import assert_problem

BUCKET, OTHER = "lectern-test-data", "lectern-test-inputs"
LINES = '{"id": 1, "inputs": "a"}\nnot json\n'
JSON_LINES, JSON = "application/jsonlines", "application/json"
Aws = Callable[[str], Any]


class Api:
    """The function as the gateway calls it, for one caller."""

    def __init__(self, module: ModuleType, caller: str) -> None:
        self.module, self.caller = module, caller

    def __call__(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        query: dict[str, str] | None = None,
        **headers: str,
    ) -> dict[str, Any]:
        resource, parameters = matched(self.module.ROUTES, path)
        is_bytes = isinstance(body, bytes)
        event = {
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "queryStringParameters": query,
            "pathParameters": parameters or None,
            "requestContext": {
                "requestId": "request-1",
                "httpMethod": method,
                "path": path,
                "identity": {"apiKeyId": self.caller},
            },
            "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
            "isBase64Encoded": is_bytes,
        }
        answer = self.module.handler(event, Context())
        headers_seen = {name.lower(): value for name, value in answer["headers"].items()}
        document = json.loads(answer["body"])
        return {"status": answer["statusCode"], "headers": headers_seen, "json": document}

    def start(
        self, body: Any, content_type: str = JSON, model: str = "tickets", **headers: str
    ) -> dict[str, Any]:
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        path = f"/v1/models/{model}/batches"
        return self("POST", path, text, content_type=content_type, **headers)

    def started(self, body: Any = LINES, content_type: str = JSON_LINES, **more: str) -> str:
        answer = self.start(body, content_type, **more)
        assert answer["status"] == 202, answer
        return str(answer["json"]["id"])

    def batch(self, batch_id: str) -> dict[str, Any]:
        answer = self("GET", f"/v1/batches/{batch_id}")
        assert answer["status"] == 200, answer
        found: dict[str, Any] = answer["json"]
        return found

    def listed(self, **query: str) -> dict[str, Any]:
        answer = self("GET", "/v1/batches", query=query or None)
        assert answer["status"] == 200, answer
        found: dict[str, Any] = answer["json"]
        return found

    def batches(self, **query: str) -> list[str]:
        return [batch["id"] for batch in self.listed(**query)["batches"]]


@pytest.fixture
def ours(api: ModuleType, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A caller with batches of its own, where callers are kept apart."""
    for bucket in (BUCKET, OTHER):
        aws("s3").create_bucket(Bucket=bucket)
    monkeypatch.setenv("BATCH_TABLE", batch_table(aws))
    monkeypatch.setenv("BATCH_BUCKETS", OTHER)
    monkeypatch.setenv("BATCH_EXPIRE_DAYS", "30")
    # So that no test sees what another left.
    monkeypatch.setenv("TENANCY", "on")
    return Api(api, uuid.uuid4().hex)


@pytest.fixture
def machine(ours: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes the state machine do as the test says."""

    def make(**state: Any) -> str:
        wait = {"Type": "Wait", "Seconds": 30, "End": True}
        arn: str = aws("stepfunctions").create_state_machine(
            name=f"batch-{uuid.uuid4().hex[:8]}",
            definition=json.dumps({"StartAt": "Only", "States": {"Only": state or wait}}),
            roleArn="arn:aws:iam::123456789012:role/batch",
        )["stateMachineArn"]
        monkeypatch.setenv("STATE_MACHINE_ARN", arn)
        return arn

    make()
    return make


def executions(aws: Aws) -> dict[str, Any]:
    """Every execution by its name."""
    listed = aws("stepfunctions").list_executions(
        stateMachineArn=os.environ["STATE_MACHINE_ARN"], maxResults=1000
    )
    return {found["name"]: found for found in listed["executions"]}


def write(aws: Aws, batch_id: str, **values: str | int) -> None:
    """What the state machine or time would write into a record."""
    aws("dynamodb").update_item(
        TableName="batches",
        Key={"id": {"S": batch_id}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
        ExpressionAttributeNames={f"#{name}": name for name in values},
        ExpressionAttributeValues={
            f":{name}": {"S": value} if isinstance(value, str) else {"N": str(value)}
            for name, value in values.items()
        },
    )


def complete(aws: Aws, batch_id: str, result: bytes = b"{}\n") -> None:
    key = f"batches/runs/{batch_id}/result.jsonl"
    aws("s3").put_object(Bucket=BUCKET, Key=key, Body=result)
    write(aws, batch_id, state="Completed", lines=2, done=2, errors=1, finished="2026-01-01T00:00Z")


def sent(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """An HTTP request without any credentials."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize(
    ("body", "content_type", "stored", "stored_type"),
    [
        (LINES, JSON_LINES, LINES, JSON_LINES),
        (LINES.rstrip("\n"), "application/x-ndjson", LINES.rstrip("\n"), JSON_LINES),
        ("a\nb,c\n", "text/csv", "a\nb,c\n", "text/csv"),
        (
            json.dumps({"lines": [{"id": 1, "inputs": "a"}, "b", 3]}),
            JSON,
            '{"id": 1, "inputs": "a"}\n{"inputs": "b"}\n3\n',
            JSON_LINES,
        ),
    ],
)
def test_lines_are_stored_as_they_are_and_the_state_machine_gets_the_batch(
    ours: Api,
    machine: object,
    aws: Aws,
    body: str,
    content_type: str,
    stored: str,
    stored_type: str,
) -> None:
    answer = ours.start(body, content_type)
    assert answer["status"] == 202
    batch_id = answer["json"]["id"]
    created = answer["json"].pop("created")
    assert answer["json"] == {
        "id": batch_id,
        "model": "tickets",
        "state": "InProgress",
        "started": None,
        "finished": None,
        "lines": None,
        "done": 0,
        "errors": None,
        "result_url": None,
        "result_expires": None,
        "reason": None,
        "upload": None,
    }
    assert abs(time.time() - seconds(created)) < 60
    started_at = "https://host/stage/v1/models/tickets/batches"
    location = urljoin(started_at, answer["headers"]["location"])
    assert location == f"https://host/stage/v1/batches/{batch_id}"
    kept = aws("s3").get_object(Bucket=BUCKET, Key=f"batches/runs/{batch_id}/lines")
    assert kept["Body"].read().decode() == stored
    assert record(aws, batch_id)["content_type"] == stored_type
    [execution] = executions(aws).values()
    described = aws("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    assert (execution["name"], json.loads(described["input"])) == (batch_id, {"batch_id": batch_id})


def test_an_upload_needs_no_credentials_but_the_content_type_that_was_asked(
    ours: Api, machine: object, aws: Aws
) -> None:
    answer = ours.start({"upload": {"content_type": "text/csv"}})
    assert (answer["status"], answer["json"]["state"]) == (202, "AwaitingUpload")
    upload = answer["json"]["upload"]
    assert upload["method"] == "PUT"
    assert upload["headers"] == {"content-type": "text/csv"}
    assert 3500 < seconds(upload["expires"]) - time.time() <= 3600
    assert sent("PUT", upload["url"], b"a\n", content_type=JSON_LINES)[0] == 403
    assert sent("PUT", upload["url"], b"a\n", content_type="text/csv")[0] == 200
    batch_id = answer["json"]["id"]
    assert record(aws, batch_id)["input"] == f"s3://{BUCKET}/uploads/{batch_id}"
    assert executions(aws) == {}, "the upload's event starts it"
    again = ours.batch(batch_id)["upload"]["url"]
    assert sent("PUT", again, b"b\n", content_type="text/csv")[0] == 200


def test_a_batch_tells_how_many_lines_have_answers(ours: Api, machine: object, aws: Aws) -> None:
    batch_id = ours.started()
    assert ours.batch(batch_id)["done"] == 0
    write(aws, batch_id, lines=1203, started="2026-01-01T00:00:00.000Z")
    for name in ("000000-500.jsonl.out", "deeper/000002-203.jsonl.out"):
        key = f"batches/runs/{batch_id}/answers/{name}"
        aws("s3").put_object(Bucket=BUCKET, Key=key, Body=b"")
    found = ours.batch(batch_id)
    assert (found["lines"], found["done"], found["errors"]) == (1203, 703, None)
    assert found["started"] == "2026-01-01T00:00:00.000Z"


def test_a_complete_batch_has_counts_and_a_url_that_needs_no_credentials(
    ours: Api, machine: object, aws: Aws
) -> None:
    batch_id = ours.started()
    complete(aws, batch_id, b'{"prediction": []}\n')
    found = ours.batch(batch_id)
    assert (found["state"], found["lines"], found["done"], found["errors"]) == (
        "Completed",
        2,
        2,
        1,
    )
    assert sent("GET", found["result_url"]) == (200, b'{"prediction": []}\n')
    assert seconds(found["result_expires"]) == pytest.approx(time.time() + 30 * 86_400, abs=60)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in found["result_url"]


def test_the_same_key_gives_the_same_batch_and_starts_nothing(
    ours: Api, machine: object, aws: Aws
) -> None:
    first = ours.start(LINES, JSON_LINES, idempotency_key="order-7")
    again = ours.start(LINES, JSON_LINES, idempotency_key="order-7")
    assert (first["status"], again["status"]) == (202, 200)
    assert again["json"]["id"] == first["json"]["id"]
    assert again["headers"]["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first["headers"]
    assert list(executions(aws)) == ours.batches() == [first["json"]["id"]]
    complete(aws, first["json"]["id"])
    replayed = ours.start(LINES, JSON_LINES, idempotency_key="order-7")
    assert replayed["json"]["state"] == "Completed"


@pytest.mark.parametrize(
    ("body", "content_type", "model"),
    [
        (LINES + "{}", JSON_LINES, "tickets"),
        (LINES, "text/csv", "tickets"),
        (LINES, JSON_LINES, "small"),
    ],
)
def test_another_request_under_the_same_key_is_refused(
    ours: Api, machine: object, body: str, content_type: str, model: str
) -> None:
    ours.started(idempotency_key="order-8")
    refused = ours.start(body, content_type, model, idempotency_key="order-8")
    assert_problem(refused, 409, "Idempotency-Key")
    assert refused["json"]["type"] == "urn:lectern:problem:idempotency-key-reused"
    assert len(ours.batches()) == 1


def test_a_key_is_its_callers_own_and_is_forgotten_after_a_day(
    ours: Api, machine: object, aws: Aws
) -> None:
    other = Api(ours.module, uuid.uuid4().hex)
    first = ours.started(idempotency_key="nightly")
    assert other.started("{}", idempotency_key="nightly") != first
    kept = [
        item["id"]["S"]
        for item in aws("dynamodb").scan(TableName="batches")["Items"]
        if item.get("batch", {}).get("S") == first
    ]
    assert len(kept) == 1
    assert "nightly" not in kept[0]
    expires = int(record(aws, kept[0])["expires"])
    assert expires == pytest.approx(time.time() + 86_400, abs=60)
    write(aws, kept[0], expires=int(time.time()) - 1)
    assert ours.started("{}", idempotency_key="nightly") != first


def test_many_at_once_under_one_key_start_one_batch(ours: Api, machine: object, aws: Aws) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: ours.start(LINES, JSON_LINES, idempotency_key="x"), range(16))
        )
    started = [answer for answer in found if answer["status"] == 202]
    others = [answer for answer in found if answer["status"] != 202]
    assert len(started) == 1
    # One that comes while the first is being written may be told to come again.
    assert {answer["status"] for answer in others} <= {200, 503}
    assert {answer["json"]["id"] for answer in others if answer["status"] == 200} <= {
        started[0]["json"]["id"]
    }
    assert list(executions(aws)) == [started[0]["json"]["id"]]


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "tab\t"])
def test_a_key_is_visible_ascii(ours: Api, machine: object, key: str) -> None:
    refused = ours.start(LINES, JSON_LINES, idempotency_key=key)
    assert_problem(refused, 422, "Idempotency-Key: ")
    assert refused["json"]["errors"][0]["field"] == "Idempotency-Key"


def test_a_start_that_failed_leaves_nothing_and_can_be_tried_again(
    ours: Api, machine: Callable[..., str], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = os.environ["STATE_MACHINE_ARN"]
    monkeypatch.setenv("STATE_MACHINE_ARN", f"{arn}-that-is-gone")
    with pytest.raises(Exception, match="StateMachineDoesNotExist"):
        ours.start(LINES, JSON_LINES, idempotency_key="again")
    assert ours.batches() == []
    monkeypatch.setenv("STATE_MACHINE_ARN", arn)
    batch_id = ours.started(idempotency_key="again")
    assert ours.batches() == list(executions(aws)) == [batch_id]


def test_a_start_that_was_cut_short_goes_on_when_it_is_asked_again(
    ours: Api, machine: Callable[..., str], aws: Aws
) -> None:
    batch_id = ours.started(idempotency_key="cut")
    lost = machine()
    assert executions(aws) == {}, lost
    again = ours.start(LINES, JSON_LINES, idempotency_key="cut")
    assert (again["status"], again["json"]["id"]) == (200, batch_id)
    assert list(executions(aws)) == [batch_id]


def test_batches_are_listed_newest_first_and_in_pages(ours: Api, machine: object, aws: Aws) -> None:
    started = [ours.started() for _ in range(5)]
    assert ours.batches() == started[::-1]
    first = ours.listed(limit="2")
    second = ours.listed(limit="2", next_token=first["next_token"])
    last = ours.listed(limit="2", next_token=second["next_token"])
    pages = [[batch["id"] for batch in page["batches"]] for page in (first, second, last)]
    assert pages == [started[4:2:-1], started[2:0:-1], started[:1]]
    assert last["next_token"] is None
    assert ours.listed(limit="5")["next_token"] is None
    assert first["batches"][0] == ours.batch(started[4])
    write(aws, started[2], expires=int(time.time()) - 1)
    assert started[2] not in ours.batches()
    assert_problem(ours("GET", f"/v1/batches/{started[2]}"), 404)


def test_batches_are_listed_by_model_and_by_state(ours: Api, machine: object, aws: Aws) -> None:
    tickets, small = ours.started(), ours.started(model="small")
    rare, *_ = [ours.started() for _ in range(4)]
    complete(aws, rare)
    assert ours.batches(model="small") == [small]
    assert ours.batches(state="Completed") == [rare]
    assert ours.batches(state="Completed", model="small") == []
    assert ours.listed(state="Completed", limit="1")["next_token"] is None
    assert tickets in ours.batches(model="tickets", state="InProgress")


def test_a_rare_state_is_found_behind_many_others(
    ours: Api, machine: object, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = importlib.import_module("batch_records")
    monkeypatch.setattr(records, "ONE_QUERY", 2)
    monkeypatch.setattr(records, "MOST_QUERIES", 2)
    oldest, *_ = [ours.started() for _ in range(6)]
    complete(aws, oldest)
    page = ours.listed(state="Completed")
    assert page["batches"] == []
    page = ours.listed(state="Completed", next_token=page["next_token"])
    assert [batch["id"] for batch in page["batches"]] == [oldest]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "two"),
        ("limit", ""),
        ("state", "Running"),
        ("model", "never-heard-of"),
        ("next_token", ""),
        ("next_token", "x"),
        ("next_token", "ä"),
        ("next_token", base64.urlsafe_b64encode(b"after:../..").decode()),
        ("next_token", base64.urlsafe_b64encode(b"before:a").decode()),
    ],
)
def test_a_list_that_cannot_be_is_refused(
    ours: Api, machine: object, field: str, value: str
) -> None:
    refused = ours("GET", "/v1/batches", query={field: value})
    assert_problem(refused, 422, f"{field}: ")
    assert refused["json"]["errors"][0]["field"] == field


def test_another_callers_batch_is_unknown(ours: Api, machine: object, aws: Aws) -> None:
    other = Api(ours.module, uuid.uuid4().hex)
    batch_id = ours.started()
    complete(aws, batch_id)
    for method in ("GET", "DELETE"):
        refused = other(method, f"/v1/batches/{batch_id}")
        assert_problem(refused, 404, batch_id)
        assert refused["json"]["type"] == "urn:lectern:problem:unknown-batch"
    token = importlib.import_module("batch_requests").token_of(batch_id)
    assert other.batches() == other.batches(next_token=token) == []
    own = other.started()
    assert other.batches() == [own]


def test_without_tenancy_everyone_sees_every_batch(
    ours: Api, machine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANCY", "off")
    other = Api(ours.module, uuid.uuid4().hex)
    batch_id = ours.started()
    assert batch_id in other.batches()
    assert other.batch(batch_id)["id"] == batch_id


def test_a_stopped_batch_stays_stopped_and_its_execution_ends(
    ours: Api, machine: object, aws: Aws
) -> None:
    batch_id = ours.started()
    for _ in range(2):
        answer = ours("DELETE", f"/v1/batches/{batch_id}")
        assert (answer["status"], answer["json"]["state"]) == (200, "Stopped")
        assert answer["json"]["reason"] == "the batch was stopped"
        assert answer["json"]["finished"] is not None
    assert executions(aws)[batch_id]["status"] == "ABORTED"
    assert ours.batch(batch_id)["state"] == "Stopped"


def test_a_batch_that_waits_for_its_upload_can_be_stopped(ours: Api, machine: object) -> None:
    batch_id = ours.start({"upload": {}})["json"]["id"]
    answer = ours("DELETE", f"/v1/batches/{batch_id}")
    assert (answer["json"]["state"], answer["json"]["upload"]) == ("Stopped", None)


def test_a_finished_batch_is_not_stopped(ours: Api, machine: object, aws: Aws) -> None:
    batch_id = ours.started()
    complete(aws, batch_id)
    answer = ours("DELETE", f"/v1/batches/{batch_id}")
    assert (answer["status"], answer["json"]["state"]) == (200, "Completed")
    assert answer["json"]["result_url"]


@pytest.mark.parametrize(
    ("state", "ends_as", "reason"),
    [
        ({"Type": "Fail", "Error": "X", "Cause": "/opt/ml is on fire"}, "Failed", "history"),
        ({"Type": "Wait", "Seconds": 30, "End": True}, "Stopped", "execution was stopped"),
    ],
)
def test_an_execution_that_ended_without_a_word_ends_the_batch(
    ours: Api,
    machine: Callable[..., str],
    aws: Aws,
    state: dict[str, Any],
    ends_as: str,
    reason: str,
) -> None:
    machine(**state)
    batch_id = ours.started()
    if ends_as == "Stopped":
        arn = executions(aws)[batch_id]["executionArn"]
        aws("stepfunctions").stop_execution(executionArn=arn)
    found = eventually(lambda: ours.batch(batch_id), lambda one: one["state"] != "InProgress")
    assert (found["state"], reason in found["reason"]) == (ends_as, True)
    assert "/opt/ml" not in found["reason"]
    assert record(aws, batch_id)["state"] == ends_as


def test_the_reason_that_was_recorded_is_told(ours: Api, machine: object, aws: Aws) -> None:
    batch_id = ours.started()
    write(aws, batch_id, state="Failed", reason="no version of the model was in service")
    found = ours.batch(batch_id)
    assert found["reason"] == "no version of the model was in service"
    assert found["result_url"] is None


def test_a_batch_whose_execution_never_came_is_failed_after_a_minute(
    ours: Api, machine: Callable[..., str], aws: Aws
) -> None:
    batch_id = ours.started()
    machine()
    assert ours.batch(batch_id)["state"] == "InProgress"
    write(aws, batch_id, created="2026-01-01T00:00:00.000Z")
    found = ours.batch(batch_id)
    assert (found["state"], "start it again" in found["reason"]) == ("Failed", True)


def test_a_batch_reads_objects_that_it_may_and_no_others(
    ours: Api, machine: object, aws: Aws
) -> None:
    s3 = aws("s3")
    for bucket, key in (
        (BUCKET, "batches/mine/rows.jsonl"),
        (BUCKET, "batches/runs/x/lines"),
        (BUCKET, "uploads/x"),
        (BUCKET, "pipelines/tickets/rows.jsonl"),
        (OTHER, "rows.CSV"),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=LINES)
    for uri, content_type in (
        (f"s3://{BUCKET}/batches/mine/rows.jsonl", JSON_LINES),
        (f"s3://{OTHER}/rows.CSV", "text/csv"),
    ):
        kept = record(aws, ours.started({"input": uri}, JSON))
        assert (kept["input"], kept["content_type"]) == (uri, content_type)
    for refused in (
        f"s3://{BUCKET}/batches/runs/x/lines",
        f"s3://{BUCKET}/uploads/x",
        f"s3://{BUCKET}/pipelines/tickets/rows.jsonl",
        f"s3://{BUCKET}/batches/../pipelines/tickets/rows.jsonl",
        "s3://another/batches/mine/rows.jsonl",
        f"s3://{BUCKET}/batches/mine/",
        f"s3://{BUCKET}/batches/mine/missing.jsonl",
        f"s3://{OTHER}/missing.jsonl",
        f"https://{BUCKET}/batches/mine/rows.jsonl",
        f"s3://{BUCKET}",
        "",
        7,
    ):
        answer = ours.start({"input": refused})
        assert_problem(answer, 422, "input: ")
        assert answer["json"]["errors"][0]["field"] == "input"


@pytest.mark.parametrize(
    ("status", "body", "content_type", "model"),
    [
        (404, LINES, JSON_LINES, "nothing"),
        (409, LINES, JSON_LINES, "fresh"),
        (415, LINES, "text/plain", "tickets"),
        (400, "", JSON_LINES, "tickets"),
        (400, " \n\n ", "text/csv", "tickets"),
        (400, b"caf\xe9", "text/csv", "tickets"),
        (400, b"\xff\n", JSON_LINES, "tickets"),
        (400, "{", JSON, "tickets"),
        (400, '{"lines": [NaN]}', JSON, "tickets"),
        (400, "[]", JSON, "tickets"),
        (422, "{}", JSON, "tickets"),
        (422, '{"lines": []}', JSON, "tickets"),
        (422, '{"lines": "a"}', JSON, "tickets"),
        (422, '{"lines": ["a"], "input": "s3://b/c"}', JSON, "tickets"),
        (422, '{"upload": 1}', JSON, "tickets"),
        (422, '{"upload": {"content_type": "text/plain"}}', JSON, "tickets"),
        (422, '{"upload": {"content_type": ["text/csv"]}}', JSON, "tickets"),
        (422, '{"upload": {"key": "x"}}', JSON, "tickets"),
    ],
)
def test_a_batch_that_cannot_start_is_a_problem(
    ours: Api,
    machine: object,
    aws: Aws,
    status: int,
    body: str | bytes,
    content_type: str,
    model: str,
) -> None:
    assert_problem(ours.start(body, content_type, model), status)
    assert executions(aws) == {}
    assert ours.batches() == []


def test_the_largest_body_is_taken_and_one_byte_more_is_not(ours: Api, machine: object) -> None:
    largest = b"x" * 5_500_000
    assert ours.start(largest, JSON_LINES)["status"] == 202
    assert_problem(ours.start(largest + b"x", JSON_LINES), 413)


@pytest.mark.parametrize("batch_id", ["unknown", "A", "a:b", "a--", "-a", "a" * 64, "%2e%2e"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_batch_is_a_404(ours: Api, machine: object, method: str, batch_id: str) -> None:
    assert_problem(ours(method, f"/v1/batches/{batch_id}"), 404)


def test_a_kept_key_is_no_batch(ours: Api, machine: object, aws: Aws) -> None:
    ours.started(idempotency_key="mine")
    for item in aws("dynamodb").scan(TableName="batches")["Items"]:
        if item["id"]["S"].startswith("idempotency-key#"):
            assert_problem(ours("GET", f"/v1/batches/{item['id']['S']}"), 404)
            assert "owner" not in item, "so it stands in no list"


@pytest.mark.parametrize("model", ["tickets", "T" * 63, "a" * 30 + "-bc"])
def test_a_batch_id_is_a_valid_name_for_a_transform_job(api: ModuleType, model: str) -> None:
    batch_id = importlib.import_module("batches")._new_id(model)
    assert len(batch_id) <= 63
    assert importlib.import_module("batch_requests").BATCH_ID.fullmatch(batch_id)


def record(aws: Aws, item_id: str) -> dict[str, str]:
    item = aws("dynamodb").get_item(TableName="batches", Key={"id": {"S": item_id}})["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


def seconds(moment: str) -> float:
    assert moment.endswith("Z")
    return datetime.fromisoformat(moment).timestamp()


def eventually(
    look: Callable[[], dict[str, Any]], is_it: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while not is_it(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
