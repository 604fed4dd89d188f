"""CSV in and out over HTTP, beside the JSON of the same request."""

from __future__ import annotations

import csv
import io
import subprocess
from typing import Any

import pytest
import requests

from tests.api.hub_asks import LABELS, TEXT
from tests.api.served import Served
from tests.api.test_clients import fenced
from tests.api.test_faults import problem
from tests.road.walk import wait_for

SENT = {"content-type": "text/csv"}
WANTED = {"accept": "text/csv"}
TEXTS = [TEXT, 'late, "very" late', "two\r\nlines", "größer ✓"]


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def table(answer: requests.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    text = io.StringIO(answer.content.decode("utf-8"), newline="")
    return list(csv.DictReader(text, strict=True))


def texts(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in found]


@pytest.mark.parametrize(
    ("model", "column"), [("rewrites", "generated_text"), ("translates", "translation_text")]
)
def test_texts_come_as_rows_and_go_as_rows(call, model, column):
    as_json = call("POST", f"/v1/models/{model}", json={"inputs": TEXTS[:2]}).json()
    body = written([[text] for text in TEXTS[:2]])
    rows = table(call("POST", f"/v1/models/{model}", data=body, headers=SENT | WANTED))
    assert rows == [{"input": str(i), column: one[column]} for i, one in enumerate(as_json)]


def test_rows_are_classified_as_the_list_of_their_texts(call):
    as_json = call("POST", "/v1/models/sorts", json={"inputs": TEXTS})
    body = written([[text] for text in TEXTS])
    assert call("POST", "/v1/models/sorts", data=body, headers=SENT).json() == as_json.json()
    rows = table(call("POST", "/v1/models/sorts", data=body, headers=SENT | WANTED))
    assert rows == texts([{"input": i, **one} for i, one in enumerate(as_json.json())])


def test_rows_of_two_columns_are_pairs(call):
    pairs = [("is it late", "the parcel, at last"), ("a bill", "")]
    inputs = [{"text": text, "text_pair": pair} for text, pair in pairs]
    as_json = call("POST", "/v1/models/sorts", json={"inputs": inputs})
    body = written([list(pair) for pair in pairs])
    assert call("POST", "/v1/models/sorts", data=body, headers=SENT).json() == as_json.json()


def test_every_label_of_a_text_is_a_row(call):
    asked = {"inputs": TEXTS, "parameters": {"top_k": None}}
    as_json = call("POST", "/v1/models/sorts", json=asked).json()
    rows = table(call("POST", "/v1/models/sorts", json=asked, headers=WANTED))
    assert rows == texts([{"input": i, **one} for i, all_ in enumerate(as_json) for one in all_])
    assert len(rows) > len(TEXTS)
    alone = {"inputs": TEXT, "parameters": {"candidate_labels": LABELS}}
    judged = table(call("POST", "/v1/models/judges", json=alone, headers=WANTED))
    assert sorted(row["label"] for row in judged) == sorted(LABELS)
    assert {row["input"] for row in judged} == {"0"}


def test_masks_and_spans_are_told_apart(call):
    # Of one text alone, its answer's lists are those of its masks.
    asked = {"inputs": "the [MASK] is [MASK]", "parameters": {"top_k": 2}}
    rows = table(call("POST", "/v1/models/fills", json=asked, headers=WANTED))
    assert [(row["input"], row["mask"]) for row in rows] == [("0", "0")] * 2 + [("0", "1")] * 2
    body = b"the [MASK]\n[MASK] late\n"
    filled = table(call("POST", "/v1/models/fills", data=body, headers=SENT | WANTED))
    assert {(row["input"], row["mask"]) for row in filled} == {("0", "0"), ("1", "0")}
    as_json = call("POST", "/v1/models/spans", json={"inputs": TEXTS}).json()
    spans = table(call("POST", "/v1/models/spans", json={"inputs": TEXTS}, headers=WANTED))
    assert len(spans) == sum(len(found) for found in as_json)


def test_rows_may_come_later(call):
    body = written([[text] for text in TEXTS])
    headers = SENT | WANTED
    at_once = call("POST", "/v1/models/sorts", data=body, headers=headers)
    taken = call(
        "POST", "/v1/models/sorts", data=body, headers=headers | {"prefer": "respond-async"}
    )
    assert taken.status_code == 202, taken.text
    path = taken.json()["result"]
    wait_for("the result", lambda: call("GET", path).status_code == 200, seconds=60)
    assert table(call("GET", path)) == table(at_once)


def test_what_csv_cannot_say_is_told(call):
    def ask(model: str, body: bytes, **headers: str) -> requests.Response:
        answer: requests.Response = call(
            "POST", f"/v1/models/{model}", data=body, headers=SENT | headers
        )
        return answer

    found = problem(ask("sorts", b'one\n"two\n'), 400, "malformed-body")
    assert found["detail"].startswith("row 2 (line 2): a quote is never closed")
    found = problem(ask("reads", b"one\n"), 415, "unsupported-content-type")
    assert '{"question", "context"}' in found["detail"]
    found = problem(ask("judges", b"one\n"), 415, "unsupported-content-type")
    assert "candidate_labels" in found["detail"]
    found = problem(ask("embeds", b"one\n", **WANTED), 406, "not-acceptable")
    assert "feature-extraction is answered in application/json" in found["detail"]
    assert ask("embeds", b"one\ntwo\n").status_code == 200


def test_the_curl_line_of_the_documentation_answers_as_it_shows(served: Served):
    [command] = fenced("docs/api.md", "csv")
    run = subprocess.run(
        ["bash", "-c", command.replace("/tickets", "/sorts")],
        env={"URL": served.url, "KEY": served.key, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
    )
    header, *rows = run.stdout.decode().split("\r\n")
    assert header == "input,label,score", run.stderr
    assert [row.partition(",")[0] for row in rows] == ["0", "1", ""]
