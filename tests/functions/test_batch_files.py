"""The function that cuts the files of batches and joins the answers, on MiniStack's real S3."""

from __future__ import annotations

import importlib
import json
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.functions.stand_ins import Context, function
from tests.functions.tables import batch_table

BUCKET = "lectern-test-data"
LINES = "application/jsonlines"
CSV = "text/csv"
Aws = Callable[[str], Any]


@pytest.fixture
def files(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "batch")
    monkeypatch.setenv("DATA_BUCKET", BUCKET)
    monkeypatch.setenv("BATCH_TABLE", batch_table(aws))
    monkeypatch.setenv("EXPIRE_DAYS", "30")
    aws("s3").create_bucket(Bucket=BUCKET)
    with function("batch") as module:
        yield module


class Batch:
    """One batch: its file is cut, a stand-in for the model answers, the answers are joined."""

    def __init__(self, files: ModuleType, aws: Aws, content: bytes, content_type: str) -> None:
        self.id = f"20260101-000000000-tickets-{uuid.uuid4().hex[:10]}"
        self.files, self.aws, self.content_type = files, aws, content_type
        self.input = f"s3://{BUCKET}/uploads/{self.id}"
        self.calls = 0
        aws("s3").put_object(Bucket=BUCKET, Key=f"uploads/{self.id}", Body=content)
        aws("dynamodb").put_item(
            TableName="batches", Item={"id": {"S": self.id}, "state": {"S": "InProgress"}}
        )

    def step(self, name: str, seconds_left: float = 900, **more: Any) -> dict[str, Any]:
        """One step to its end, as the state machine runs it."""
        event = {"step": name, "batch_id": self.id, "content_type": self.content_type, **more}
        cursor: dict[str, Any] = {}
        while True:
            self.calls += 1
            reached = self.files.handler({**event, "cursor": cursor}, Context(seconds_left))
            # Through JSON, as it travels.
            cursor = json.loads(json.dumps(reached["cursor"]))
            if reached["over"]:
                return reached

    def split(self, seconds_left: float = 900, megabytes: int = 1) -> int:
        reached = self.step("split", seconds_left, input=self.input, max_payload_mb=megabytes)
        return int(reached["lines"])

    def join(self, seconds_left: float = 900) -> bytes:
        self.step("join", seconds_left)
        return self.get("result.jsonl")

    def names(self) -> list[str]:
        prefix = f"batches/runs/{self.id}/parts/"
        pages = self.aws("s3").get_paginator("list_objects_v2")
        return [
            found["Key"].removeprefix(prefix)
            for page in pages.paginate(Bucket=BUCKET, Prefix=prefix)
            for found in page.get("Contents", [])
        ]

    def parts(self) -> dict[str, bytes]:
        return {name: self.get(f"parts/{name}") for name in self.names()}

    def answer(self, reply: Callable[[int, bytes], bytes] | None = None) -> None:
        """What the transform job leaves: for each part, one answer a line."""
        for name, content in self.parts().items():
            lines = content.split(b"\n")[:-1]
            answers = [(reply or echo)(number, line) for number, line in enumerate(lines, 1)]
            self.put(f"answers/{name}.out", b"".join(answer + b"\n" for answer in answers))

    def get(self, name: str) -> bytes:
        key = f"batches/runs/{self.id}/{name}"
        return bytes(self.aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put(self, name: str, body: bytes) -> None:
        self.aws("s3").put_object(Bucket=BUCKET, Key=f"batches/runs/{self.id}/{name}", Body=body)

    def record(self) -> dict[str, Any]:
        item = self.aws("dynamodb").get_item(TableName="batches", Key={"id": {"S": self.id}})[
            "Item"
        ]
        return {name: next(iter(value.values())) for name, value in item.items()}


def echo(number: int, line: bytes) -> bytes:
    """An answer as the serving code writes it: its own line's number, and the id."""
    try:
        asked = json.loads(line)
        identity = {"id": asked["id"]} if "id" in asked else {}
        return json.dumps({**identity, "prediction": asked["inputs"]}).encode()
    except (ValueError, KeyError, TypeError):
        error = {"code": "invalid_json", "fault": "client", "message": "bad", "line": number}
        return json.dumps({"error": error}).encode()


@pytest.fixture
def batch(files: ModuleType, aws: Aws) -> Callable[..., Batch]:
    return lambda content, content_type=LINES: Batch(files, aws, content, content_type)


def line(number: int) -> bytes:
    return json.dumps({"id": number, "inputs": f"text {number}"}).encode()


def answers(result: bytes) -> list[Any]:
    assert result == b"" or result.endswith(b"\n")
    return [json.loads(answer) for answer in result.split(b"\n")[:-1]]


def test_a_file_is_cut_into_parts_of_500_lines_in_order(batch: Callable[..., Batch]) -> None:
    lines = [line(number) for number in range(1, 1204)]
    cut = batch(b"\n".join(lines))
    assert cut.split() == 1203
    assert list(cut.parts()) == ["000000-500.jsonl", "000001-500.jsonl", "000002-203.jsonl"]
    assert b"".join(cut.parts().values()) == b"".join(one + b"\n" for one in lines)
    assert cut.record()["lines"] == "1203"


def test_answers_are_joined_in_the_order_of_the_lines(batch: Callable[..., Batch]) -> None:
    whole = batch(b"".join(line(number) + b"\n" for number in range(1, 1204)))
    whole.split()
    whole.answer()
    found = answers(whole.join())
    assert [answer["id"] for answer in found] == list(range(1, 1204))
    record = whole.record()
    assert (record["state"], record["lines"], record["done"], record["errors"]) == (
        "Completed",
        "1203",
        "1203",
        "0",
    )


@pytest.mark.parametrize(
    "content",
    [
        b'{"inputs": "a"}\r\n{"inputs": "b"}\r\n',
        b'{"inputs": "a"}\r\n{"inputs": "b"}',
        b'\xef\xbb\xbf{"inputs": "a"}\n{"inputs": "b"}\n',
        b'{"inputs": "a"}\n{"inputs": "b"}',
    ],
)
def test_line_ends_and_marks_are_no_part_of_a_line(
    batch: Callable[..., Batch], content: bytes
) -> None:
    one = batch(content)
    assert one.split() == 2
    [part] = one.parts().values()
    assert part == b'{"inputs": "a"}\n{"inputs": "b"}\n'


@pytest.mark.parametrize("content_type", [LINES, CSV])
def test_an_empty_file_has_an_empty_result(batch: Callable[..., Batch], content_type: str) -> None:
    empty = batch(b"", content_type)
    assert empty.split() == 0
    assert empty.parts() == {}
    assert empty.join() == b""
    assert empty.record()["state"] == "Completed"


def test_a_bad_line_costs_no_other_and_is_numbered_in_the_whole_file(
    batch: Callable[..., Batch],
) -> None:
    lines = [line(number) for number in range(1, 1301)]
    bad = {3: b"not json", 700: b"", 701: b"   ", 900: b"x" * 1_000_001, 1300: b"[]"}
    for number, content in bad.items():
        lines[number - 1] = content
    mixed = batch(b"\n".join(lines))
    assert mixed.split() == 1300
    assert max(map(len, b"".join(mixed.parts().values()).split(b"\n"))) < 1_000
    mixed.answer()
    found = answers(mixed.join())
    assert len(found) == 1300
    errors = {at: one["error"] for at, one in enumerate(found, 1) if "error" in one}
    assert sorted(errors) == sorted(bad)
    assert all(error["line"] == number for number, error in errors.items())
    assert errors[700]["message"] == 'empty: write {"inputs": ""} for an empty text'
    assert errors[900]["message"] == "longer than 1000000 bytes"
    assert all(found[at - 1]["id"] == at for at in range(1, 1301) if at not in bad)
    assert mixed.record()["errors"] == "5"


def test_a_prediction_that_speaks_of_an_error_is_none(batch: Callable[..., Batch]) -> None:
    one = batch(b'{"inputs": "\\"error\\""}\n{"inputs": {"error": 1}}\n')
    one.split()
    one.answer()
    one.join()
    assert one.record()["errors"] == "0"


def test_rows_of_csv_become_lines_with_the_line_they_start_on(
    batch: Callable[..., Batch],
) -> None:
    table = batch(b'\xef\xbb\xbf"two\r\nlines"\r\nplain\r\na,b\r\n\r\n"caf\xc3\xa9"', CSV)
    assert table.split() == 5
    [part] = table.parts().values()
    assert [json.loads(one) for one in part.split(b"\n")[:-1]] == [
        {"id": 1, "inputs": "two\r\nlines"},
        {"id": 3, "inputs": "plain"},
        {},
        {},
        {"id": 6, "inputs": "café"},
    ]
    table.answer()
    found = answers(table.join())
    assert [answer["id"] for answer in found] == [1, 3, 4, 5, 6]
    assert [answer["error"]["line"] for answer in found if "error" in answer] == [4, 5]
    assert found[2]["error"]["code"] == "invalid_csv"


def test_an_error_of_the_model_names_the_line_of_the_csv_row(batch: Callable[..., Batch]) -> None:
    def refuse(number: int, asked: bytes) -> bytes:
        identity = {"id": json.loads(asked)["id"]}
        error = {"code": "invalid_input", "fault": "client", "message": "no", "line": number}
        return json.dumps({**identity, "error": error}).encode()

    table = batch(b'"two\nlines"\nplain\n', CSV)
    table.split()
    table.answer(refuse)
    assert [answer["error"]["line"] for answer in answers(table.join())] == [1, 3]


@pytest.mark.parametrize("content_type", [LINES, CSV])
def test_cutting_goes_on_where_time_ran_out(batch: Callable[..., Batch], content_type: str) -> None:
    row = (lambda n: b'"text\n%d"' % n) if content_type == CSV else line
    content = b"".join(row(number) + b"\r\n" for number in range(1, 1603))
    at_once, slowly = batch(content, content_type), batch(content, content_type)
    assert at_once.split() == slowly.split(seconds_left=1) == 1602
    assert (at_once.calls, slowly.calls) == (1, 4)
    assert at_once.parts() == slowly.parts()


def test_a_file_that_changes_while_it_is_cut_is_refused(
    batch: Callable[..., Batch], files: ModuleType, aws: Aws
) -> None:
    changing = batch(b"".join(line(number) + b"\n" for number in range(1, 1603)))
    event = {
        "step": "split",
        "batch_id": changing.id,
        "input": changing.input,
        "max_payload_mb": 1,
        "content_type": LINES,
    }
    reached = files.handler({**event, "cursor": {}}, Context(1))
    aws("s3").put_object(Bucket=BUCKET, Key=f"uploads/{changing.id}", Body=b"other\n" * 9_000)
    with pytest.raises(Exception, match="was overwritten while it was read"):
        files.handler({**event, "cursor": reached["cursor"]}, Context(900))


def test_a_missing_file_is_refused_with_its_name(batch: Callable[..., Batch], aws: Aws) -> None:
    missing = batch(b"")
    aws("s3").delete_object(Bucket=BUCKET, Key=f"uploads/{missing.id}")
    with pytest.raises(Exception, match=f"there is no object s3://{BUCKET}/uploads/"):
        missing.split()


def test_joining_goes_on_where_time_ran_out(batch: Callable[..., Batch]) -> None:
    def long(number: int, asked: bytes) -> bytes:
        return json.dumps({"id": json.loads(asked)["id"], "prediction": "x" * 9_000}).encode()

    content = b"".join(line(number) + b"\n" for number in range(1, 2_601))
    at_once, slowly = batch(content), batch(content)
    for one in (at_once, slowly):
        one.split()
        one.answer(long)
    one_result, other_result = at_once.join(), slowly.join(seconds_left=1)
    assert slowly.calls > 3
    assert one_result == other_result
    assert [answer["id"] for answer in answers(one_result)] == list(range(1, 2_601))
    assert slowly.record()["lines"] == "2600"


def test_line_ends_between_requests_are_no_answers(batch: Callable[..., Batch]) -> None:
    one = batch(b"".join(line(number) + b"\n" for number in range(1, 4)))
    one.split()
    one.put("answers/deeper/000000-3.jsonl.out", b'{"id":1}\n\n{"id":2}\n{"id":3}\n\n')
    assert one.join() == b'{"id":1}\n{"id":2}\n{"id":3}\n'


@pytest.mark.parametrize("count", [0, 2, 4])
def test_answers_that_are_not_one_a_line_are_refused(
    batch: Callable[..., Batch], count: int
) -> None:
    one = batch(b"".join(line(number) + b"\n" for number in range(1, 4)))
    one.split()
    if count:
        one.put("answers/000000-3.jsonl.out", b"{}\n" * count)
    with pytest.raises(Exception, match=r"000000-3\.jsonl"):
        one.join()
    assert one.record()["state"] == "InProgress"


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        ("Ssm.ParameterNotFoundException", "{}", "no version of the model was in service"),
        (
            "InputRefusedError",
            '{"errorMessage": "there is no object s3://b/k"}',
            "there is no object",
        ),
        (
            "States.TaskFailed",
            '{"FailureReason": "/opt/ml is on fire"}',
            "the transform job failed",
        ),
        ("SageMaker.ResourceLimitExceededException", "ml.p4d", "the transform job failed"),
        ("ValueError", '{"errorMessage": "/var/task is on fire"}', "(ValueError)"),
    ],
)
def test_a_failure_gives_a_reason_without_anybodys_paths(
    batch: Callable[..., Batch], files: ModuleType, error: str, cause: str, reason: str
) -> None:
    failed = batch(b"")
    event = {"step": "fail", "batch_id": failed.id, "error": error, "cause": cause}
    assert files.handler(event, Context()) == {"over": True}
    record = failed.record()
    assert record["state"] == "Failed"
    assert reason in record["reason"]
    assert "on fire" not in record["reason"]
    assert record["finished"] > "2026"


def test_a_batch_that_was_stopped_stays_stopped(batch: Callable[..., Batch], aws: Aws) -> None:
    stopped = batch(line(1))
    stopped.split()
    stopped.answer()
    aws("dynamodb").update_item(
        TableName="batches",
        Key={"id": {"S": stopped.id}},
        UpdateExpression="SET #state = :stopped",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":stopped": {"S": "Stopped"}},
    )
    stopped.join()
    assert stopped.record()["state"] == "Stopped"


def test_a_large_file_takes_no_more_memory_than_a_part(batch: Callable[..., Batch]) -> None:
    text = json.dumps({"inputs": "x" * 10_000}).encode() + b"\n"
    count = 60_000_000 // len(text)
    large = batch(text * count)
    tracemalloc.start()
    assert large.split() == count
    folder = f"batches/runs/{large.id}"
    for name in large.names():
        large.aws("s3").copy_object(
            Bucket=BUCKET,
            Key=f"{folder}/answers/{name}.out",
            CopySource=f"{BUCKET}/{folder}/parts/{name}",
        )
    joined = large.step("join")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert joined["over"]
    assert large.record()["lines"] == str(count)
    assert peak < 45_000_000, f"{peak} bytes for a file of 60 MB"


def test_an_unknown_step_is_refused(files: ModuleType) -> None:
    assert importlib.import_module("parts").lines_of("000000-12.jsonl") == 12
    with pytest.raises(ValueError, match="step: split, join or fail"):
        files.handler({"step": "guess", "batch_id": "x", "cursor": {}}, Context())
