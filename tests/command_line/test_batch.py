"""`lectern batch`: a file of lines to a result, with an account's own rights or over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from lectern.batch_ways import OverHttp
from lectern.deployment import Model
from lectern.faults import LecternError
from tests.command_line.conftest import (
    DATA_BUCKET,
    MODELS,
    PARAMETER,
    Lectern,
    at_rest,
    serve_version,
    template,
)
from tests.functions.stand_ins import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SageMaker, serve
from tests.functions.tables import batch_table

Aws = Callable[[str], Any]
# The stand-in's state machine hands the input back as the result.
ANSWERS = (
    '{"id": "a", "prediction": [{"label": "billing", "score": 0.9}]}\n'
    '{"error": {"code": "invalid_json", "message": "not valid JSON", "line": 2}}\n'
    '{"id": "c", "prediction": []}\n'
)
KEYLESS = ("--stage", "keyless")
RUN = "batches/runs/{}"
MACHINE = {
    "StartAt": "Copy",
    "States": {
        "Copy": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:copyObject",
            "Parameters": {
                "Bucket": DATA_BUCKET,
                "CopySource.$": f"States.Format('{DATA_BUCKET}/{RUN}/lines', $.batch_id)",
                "Key.$": f"States.Format('{RUN}/result.jsonl', $.batch_id)",
            },
            "ResultPath": "$.copied",
            "Next": "Complete",
        },
        "Complete": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:updateItem",
            "Parameters": {
                "TableName": "batches",
                "Key": {"id": {"S.$": "$.batch_id"}},
                "UpdateExpression": "SET #state = :completed",
                "ConditionExpression": "content_type = :lines",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {
                    ":completed": {"S": "Completed"},
                    ":lines": {"S": "application/jsonlines"},
                },
            },
            "End": True,
        },
    },
}


@pytest.fixture(scope="session")
def keyless(ministack_url: str, stacks: None) -> None:
    """The stacks of a stage whose API takes no keys."""

    def aws(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=ministack_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )

    machine = aws("stepfunctions").create_state_machine(
        name="lectern-keyless-batch",
        definition=json.dumps(MACHINE),
        roleArn="arn:aws:iam::123456789012:role/batch",
    )["stateMachineArn"]
    outputs = {
        "storage": {"DataBucketName": DATA_BUCKET},
        "inference": {"Models": json.dumps(MODELS)},
        "batch": {"StateMachineArn": machine, "BatchTableName": batch_table(aws)},
        "api": {"ApiUrl": "https://x", "ApiAuth": "iam"},
    }
    for part, values in outputs.items():
        name = f"lectern-keyless-{part}"
        aws("cloudformation").create_stack(StackName=name, TemplateBody=template(values))
        at_rest(aws, name)


@pytest.fixture
def account(keyless: None, deployed: Aws) -> Aws:
    return deployed


def test_answers_are_brought_back_and_bad_lines_named(
    lectern: Lectern, account: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(account, sagemaker, "1")
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    output = tmp_path / "answers" / "out.jsonl"
    words = ("batch", "tickets", str(tmp_path / "lines.jsonl"), "--output", str(output), *KEYLESS)
    document = lectern(*words, "--json").json
    assert "-tickets-" in document.pop("id")
    assert document == {
        "lines": 3,
        "answered": 2,
        "errors": [{"line": 2, "message": "not valid JSON"}],
        "output": str(output),
    }
    assert output.read_text() == ANSWERS
    shown = lectern(*words).out
    assert "2 of 3 lines answered" in shown
    assert "line 2: not valid JSON" in shown


def test_a_failed_batch_ends_with_the_reason(
    lectern: Lectern, account: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(account, sagemaker, "1")
    # Of another content type than the state machine here takes.
    (tmp_path / "others.csv").write_text("a text\n")
    ended = lectern("batch", "tickets", str(tmp_path / "others.csv"), *KEYLESS)
    assert ended.code == 1
    assert " failed: " in ended.err
    assert "conditional request failed" in ended.err


def test_a_model_without_a_version_starts_no_batch(
    lectern: Lectern, account: Aws, tmp_path: Path
) -> None:
    account("ssm").delete_parameters(Names=[PARAMETER])
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    ended = lectern("batch", "tickets", str(tmp_path / "lines.jsonl"), *KEYLESS)
    assert ended.code == 1
    assert "no version of tickets is in service" in ended.err


def test_a_file_of_another_kind_starts_no_batch(
    lectern: Lectern, account: Aws, tmp_path: Path
) -> None:
    (tmp_path / "lines.txt").write_text(ANSWERS)
    ended = lectern("batch", "tickets", str(tmp_path / "lines.txt"), *KEYLESS)
    assert (ended.code, ended.out) == (2, "")
    assert ".jsonl, .ndjson, .json, .csv" in ended.err


def test_an_empty_file_starts_no_batch(lectern: Lectern, account: Aws, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").touch()
    ended = lectern("batch", "tickets", str(tmp_path / "lines.jsonl"), *KEYLESS)
    assert (ended.code, ended.out) == (2, "")
    assert "FILE: at least one line" in ended.err


def test_an_output_that_cannot_be_written_is_found_before_the_batch(
    lectern: Lectern, account: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(account, sagemaker, "1")
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    (tmp_path / "file").touch()
    words = ("batch", "tickets", str(tmp_path / "lines.jsonl"), *KEYLESS, "--output")
    before = executions(account)
    ended = lectern(*words, str(tmp_path))
    assert ended.code == 2
    assert "--output: a file, got the directory" in ended.err
    ended = lectern(*words, str(tmp_path / "file" / "out.jsonl"))
    assert ended.code == 1
    assert ended.err.startswith("lectern: ")
    assert "Traceback" not in ended.err
    assert executions(account) == before


def executions(aws: Aws) -> int:
    machine = aws("cloudformation").describe_stacks(StackName="lectern-keyless-batch")["Stacks"][0]
    arn = machine["Outputs"][0]["OutputValue"]
    return len(aws("stepfunctions").list_executions(stateMachineArn=arn)["executions"])


class Api:
    """The HTTP API with scripted answers: what a test cannot have of the real one at will."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.asked.append((self.command, self.path, headers, body))
                status, answer = api.answers[f"{self.command} {self.path}"]
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        serve(self.server)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.server.shutdown()


TICKETS = Model("tickets", "text-classification", "real-time", None, None, PARAMETER)


def test_a_file_goes_up_as_it_was_signed_and_without_the_key(api: Api, tmp_path: Path) -> None:
    upload = {"method": "PUT", "url": f"{api.url}/up?s=1", "headers": {"content-type": "text/csv"}}
    started = {"id": "b-1", "upload": upload}
    api.answers = {"POST /v1/models/tickets/batches": (202, started), "PUT /up?s=1": (200, b"")}
    (tmp_path / "rows.csv").write_bytes(b"a text\r\n" * 100_000)
    way = OverHttp(url=api.url, key="secret")
    assert way.start(TICKETS, tmp_path / "rows.csv", "text/csv") == "b-1"
    [post, put] = api.asked
    assert json.loads(post[3]) == {"upload": {"content_type": "text/csv"}}
    assert post[2]["x-api-key"] == "secret"
    assert put[3] == (tmp_path / "rows.csv").read_bytes()
    assert put[2]["content-type"] == "text/csv"
    assert "x-api-key" not in put[2]


def test_a_problem_is_told_in_its_own_words(api: Api, tmp_path: Path) -> None:
    way = OverHttp(url=api.url, key="secret")
    problem = {"status": 409, "detail": "no version of tickets is approved yet"}
    api.answers = {
        "POST /v1/models/tickets/batches": (409, problem),
        "GET /v1/batches/b-1": (502, b"<html>bad gateway"),
    }
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    with pytest.raises(LecternError, match="answered 409: no version of tickets is approved yet"):
        way.start(TICKETS, tmp_path / "lines.jsonl", "application/jsonlines")
    with pytest.raises(LecternError, match="answered 502: <html>bad gateway"):
        way.describe("b-1")
    with pytest.raises(LecternError, match="does not answer"):
        OverHttp(url="http://127.0.0.1:1", key="secret").describe("b-1")
