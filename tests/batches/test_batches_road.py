"""Batches from `curl` alone, through the gateway, the function, Step Functions and a real model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.batches.conftest import Curl
from tests.road.walk import Road

WORDS = [
    "late",
    "bill",
    "invoice",
    "charged",
    "twice",
    "password",
    "account",
    "locked",
    "app",
    "crashes",
    "refund",
]
JSON = ("-H", "content-type: application/json")
LINES = ("-H", "content-type: application/jsonlines")
BAD = {17, 2_501, 5_000}


def rows(count: int) -> list[str]:
    return [
        json.dumps({"id": number, "inputs": f"my {WORDS[number % len(WORDS)]} {number}"})
        for number in range(1, count + 1)
    ]


def result_of(curl: Curl, batch: dict[str, Any]) -> list[Any]:
    status, _, body = curl.run(batch["result_url"])
    assert status == 200
    return [json.loads(line) for line in body.splitlines()]


@pytest.fixture(scope="module")
def uploaded(curl: Curl, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every state that was seen of a batch of 5,000 lines, from its start to its end."""
    lines = rows(5_000)
    for number in BAD:
        lines[number - 1] = "not json"
    file = tmp_path_factory.mktemp("upload") / "lines.jsonl"
    file.write_text("\n".join(lines))
    started = curl("/v1/models/tickets/batches", *JSON, "--data", '{"upload": {}}', status=202)
    upload = started["upload"]
    headers = [word for name in upload["headers"].items() for word in ("-H", ": ".join(name))]
    put = ("--upload-file", str(file), *headers, upload["url"])
    assert curl.run(*put)[0] == 200
    # Whoever sends a file twice has one batch all the same.
    assert curl.run(*put)[0] == 200
    return [started, *curl.follow(started["id"])]


def test_a_file_is_uploaded_and_followed_to_its_result(
    curl: Curl, uploaded: list[dict[str, Any]]
) -> None:
    first, last = uploaded[0], uploaded[-1]
    assert (first["state"], first["started"]) == ("AwaitingUpload", None)
    assert last["state"] == "Completed", last
    assert (last["lines"], last["done"], last["errors"]) == (5_000, 5_000, 3)
    assert first["created"] <= last["started"] <= last["finished"]
    answers = result_of(curl, last)
    assert len(answers) == 5_000
    for number, answer in enumerate(answers, 1):
        if number in BAD:
            assert answer["error"]["line"] == number
            assert answer["error"]["code"] == "invalid_json"
        else:
            assert answer["id"] == number
            assert answer["prediction"][0]["label"] in ("red", "grün", "blue")


def test_its_progress_is_seen(uploaded: list[dict[str, Any]]) -> None:
    done = [batch["done"] for batch in uploaded]
    assert done == sorted(done)
    between = {count for count in done if 0 < count < 5_000}
    assert between, "no progress was seen"
    assert all(count % 500 == 0 for count in between)


def test_a_second_upload_started_nothing(road: Road, uploaded: list[dict[str, Any]]) -> None:
    jobs = road.client("sagemaker").list_transform_jobs(NameContains=uploaded[0]["id"])
    assert len(jobs["TransformJobSummaries"]) == 1


def test_the_same_key_gives_the_same_batch(curl: Curl) -> None:
    words = ("/v1/models/tickets/batches", *LINES, "-H", "idempotency-key: order-7")
    first = curl(*words, "--data-binary", '{"inputs": "late"}\n', status=202)
    again = curl(*words, "--data-binary", '{"inputs": "late"}\n', status=200)
    assert again["id"] == first["id"]
    other = curl(*words, "--data-binary", '{"inputs": "other"}\n', status=409)
    assert other["type"] == "urn:lectern:problem:idempotency-key-reused"
    curl(f"/v1/batches/{first['id']}", "-X", "DELETE")
    after = curl(*words, "--data-binary", '{"inputs": "late"}\n')
    assert (after["id"], after["state"]) == (first["id"], "Stopped")


def test_a_running_batch_is_stopped_and_so_is_its_job(curl: Curl, road: Road) -> None:
    # Each line takes a while: they are many, and long.
    body = "\n".join(json.dumps({"inputs": "my bill is late " * 6}) for _ in range(40_000))
    stopped_file = road.state / "long.jsonl"
    stopped_file.write_text(body)
    started = curl(
        "/v1/models/tickets/batches", *LINES, "--data-binary", f"@{stopped_file}", status=202
    )
    path = f"/v1/batches/{started['id']}"
    sagemaker = road.client("sagemaker")

    def status() -> str | None:
        jobs = sagemaker.list_transform_jobs(NameContains=started["id"])["TransformJobSummaries"]
        return jobs[0]["TransformJobStatus"] if jobs else None

    until(lambda: status() == "InProgress")
    assert curl(path)["state"] == "InProgress"
    for _ in range(2):
        stopped = curl(path, "-X", "DELETE")
        assert (stopped["state"], stopped["result_url"]) == ("Stopped", None)
    until(lambda: status() == "Stopped")
    assert curl(path)["state"] == "Stopped"


def test_batches_are_listed_in_pages(curl: Curl, uploaded: list[dict[str, Any]]) -> None:
    ids: list[str] = []
    token = ""
    while True:
        page = curl(f"/v1/batches?limit=1{token}")
        ids += [batch["id"] for batch in page["batches"]]
        if page["next_token"] is None:
            break
        token = f"&next_token={page['next_token']}"
    assert len(ids) > 1
    assert ids == sorted(ids, reverse=True)
    assert ids[-1] == uploaded[0]["id"]
    complete = curl("/v1/batches?state=Completed&model=tickets")["batches"]
    assert uploaded[0]["id"] in [batch["id"] for batch in complete]
    assert curl("/v1/batches?limit=0", status=422)["errors"][0]["field"] == "limit"


def test_another_key_sees_none_of_it(theirs: Curl, uploaded: list[dict[str, Any]]) -> None:
    assert theirs("/v1/batches")["batches"] == []
    path = f"/v1/batches/{uploaded[0]['id']}"
    for words in ((path,), (path, "-X", "DELETE")):
        assert theirs(*words, status=404)["type"] == "urn:lectern:problem:unknown-batch"


def test_an_object_in_an_allowed_bucket_is_read_and_no_other(curl: Curl, road: Road) -> None:
    s3 = road.client("s3")
    for bucket in ("lectern-inputs", "lectern-private"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="rows.csv", Body=b"my bill is late\n")
    words = ("/v1/models/tickets/batches", *JSON, "--data")
    started = curl(*words, '{"input": "s3://lectern-inputs/rows.csv"}', status=202)
    path = f"/v1/batches/{started['id']}"
    until(lambda: curl(path)["lines"] == 1)
    curl(path, "-X", "DELETE")
    refused = curl(*words, '{"input": "s3://lectern-private/rows.csv"}', status=422)
    assert "s3://lectern-inputs/" in refused["detail"]


def test_a_batch_without_lines_has_an_empty_result(curl: Curl) -> None:
    started = curl("/v1/models/tickets/batches", *JSON, "--data", '{"upload": {}}', status=202)
    upload = started["upload"]
    content_type = f"content-type: {upload['headers']['content-type']}"
    assert curl.run("-X", "PUT", "--data-binary", "", "-H", content_type, upload["url"])[0] == 200
    last = curl.follow(started["id"])[-1]
    assert (last["state"], last["lines"], last["errors"]) == ("Completed", 0, 0)
    assert result_of(curl, last) == []


def test_rows_of_csv_are_answered_in_order_on_the_command_line(road: Road, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(
        b'my bill is late\n"two\r\nlines, one text"\ntwo,columns\n\n"refund'
    )
    output = tmp_path / "answers.jsonl"
    shown = road.lectern(
        *("batch", "tickets", str(tmp_path / "rows.csv"), "--output", str(output)),
        *("--local", "--json"),
    )
    document = json.loads(shown)
    assert (document["lines"], document["answered"]) == (5, 2)
    assert [error["line"] for error in document["errors"]] == [4, 5, 6]
    answers = [json.loads(line) for line in output.read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [1, 2, 4, 5, 6]
    assert ["error" in answer for answer in answers] == [False, False, True, True, True]


def until(is_so: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
