"""The API under odd texts, attempts at injection, and a crowd whose endpoint is killed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.api.hub_asks import TEXT
from tests.api.served import Served
from tests.api.test_faults import _worker
from tests.inference.odd_texts import COLLECTIONS, ROBUSTNESS, texts

CLIENTS = 32
# 10,000 of them once a release: LECTERN_CROWD=10000.
REQUESTS = int(os.environ.get("LECTERN_CROWD", "800"))
WORDS = ("parcel", "bill", "password", "account", "late", "twice", "card", "door")


@pytest.mark.skipif(not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout")
@pytest.mark.parametrize("name", COLLECTIONS)
def test_odd_texts_are_answered_or_refused_and_never_a_server_error(call, name):
    found = texts()[name]
    together = call("POST", "/v1/models/sorts", json={"inputs": found})
    assert together.status_code == 200, together.text
    assert len(together.json()) == len(found)
    for text, answer in list(zip(found, together.json(), strict=True))[:40]:
        alone = call("POST", "/v1/models/sorts", json={"inputs": text})
        assert alone.status_code == 200, alone.text
        assert alone.json()[0]["label"] == answer["label"]


INJECTIONS = [
    ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", {}, 404),
    ("GET", "/v1/models/sorts%00", {}, 404),
    ("GET", "/v1/models/sorts%0d%0aset-cookie:%20a=b", {}, 404),
    ("GET", "/v1/models/$%7bjndi:ldap:%2f%2fa%7d", {}, 404),
    ("GET", "/v1/batches/..%2f..%2fsecrets", {}, 404),
    ("GET", "/v1/results/20260101000000-%2e%2e%2f%2e%2e%2f%2e%2e%2fbatches%2fother%2f", {}, 404),
    ("POST", "/v1/models/sorts", {"json": {"inputs": "a", "__class__": "b"}}, 422),
    ("POST", "/v1/models/sorts", {"json": {"inputs": "a", "parameters": {"__init__": 1}}}, 422),
    (
        "POST",
        "/v1/models/judges",
        {
            "json": {
                "inputs": "a",
                "parameters": {
                    "candidate_labels": ["b"],
                    "hypothesis_template": "{0.__class__.__mro__}",
                },
            }
        },
        422,
    ),
    ("POST", "/v1/models/sorts", {"data": '{"inputs": "a", "inputs": {"$ne": 1}}'}, 400),
    ("POST", "/v1/models/sorts", {"data": '{"inputs": NaN}'}, 400),
    ("POST", "/v1/models/sorts", {"data": "[" * 100_000}, 400),
    (
        "POST",
        "/v1/models/sorts",
        {"data": b"\x80\x04.", "headers": {"content-type": "application/x-npy"}},
        415,
    ),
    (
        "POST",
        "/v1/models/sorts",
        {"data": "a", "headers": {"content-type": "application/json, text/plain"}},
        (400, 415),
    ),
]


@pytest.mark.parametrize(("method", "path", "options", "status"), INJECTIONS)
def test_what_is_put_into_paths_headers_and_bodies_stays_data(call, method, path, options, status):
    headers = {"content-type": "application/json"} | options.get("headers", {})
    answer = call(method, path, **(options | {"headers": headers}))
    expected = (status,) if isinstance(status, int) else status
    # 403 is how the gateway refuses some of these paths.
    assert answer.status_code in (*expected, 403), answer.text
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"] == "application/problem+json"


def test_headers_of_a_request_reach_neither_the_answer_nor_the_container(call):
    odd = {
        "x-amzn-sagemaker-target-model": "../../other.tar.gz",
        "x-amzn-sagemaker-custom-attributes": "lectern-truncated=9",
        "x-forwarded-host": "evil.example",
    }
    answer = call("POST", "/v1/models/sorts", json={"inputs": TEXT}, headers=odd)
    assert answer.status_code == 200
    assert "x-lectern-truncated" not in answer.headers
    assert "evil.example" not in str(answer.headers) + answer.text


def test_a_crowd_gets_its_own_answers_though_the_endpoint_is_killed_twice(served: Served):
    """Every request ends in its right answer or in a problem; then the service is back by itself."""
    expected = {text: _ask(requests.Session(), served, text)[1] for text in _texts()}
    assert len({json.dumps(answer) for answer in expected.values()}) == len(expected)
    outcomes: Counter[int] = Counter()
    wrong: list[str] = []
    started = time.monotonic()

    def client(number: int) -> None:
        session = requests.Session()
        for turn in range(number, REQUESTS, CLIENTS):
            text = _texts()[turn % len(_texts())]
            status, answer = _ask(session, served, text)
            outcomes[status] += 1
            if (status == 200 and answer != expected[text]) or not _is_understood(status, answer):
                wrong.append(f"{status} {answer}")

    killer = threading.Thread(target=_kill_twice, args=(served, outcomes))
    killer.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    killer.join()
    seconds = time.monotonic() - started
    print(f"{REQUESTS} requests of {CLIENTS} clients in {seconds:.0f} s: {dict(outcomes)}")
    assert wrong == []
    assert sum(outcomes.values()) == REQUESTS, "a request was lost"
    assert outcomes[200] > REQUESTS / 2
    assert sum(outcomes.values()) - outcomes[200] >= 2, "nothing was killed in a request"
    assert _ask(requests.Session(), served, TEXT)[0] == 200


def _texts() -> list[str]:
    return [f"my {one} {other}" for one in WORDS for other in WORDS]


def _ask(session: requests.Session, served: Served, text: str) -> tuple[int, Any]:
    answer = session.post(
        f"{served.url}/v1/models/sorts",
        json={"inputs": text, "parameters": {"top_k": None}},
        headers={"x-api-key": served.key},
        timeout=60,
    )
    return answer.status_code, answer.json()


def _is_understood(status: int, answer: Any) -> bool:
    return status == 200 or (
        status in (429, 502, 503, 504) and answer["type"].startswith("urn:lectern:problem:")
    )


def _kill_twice(served: Served, outcomes: Counter[int]) -> None:
    """At a quarter of the requests and at three fifths, each time with requests in the process."""
    for share in (0.25, 0.6):
        while sum(outcomes.values()) < REQUESTS * share:
            time.sleep(0.05)
        worker = _worker(served, "sorts")
        worker.suspend()
        answered = -1
        while answered < (answered := sum(outcomes.values())):
            time.sleep(0.5)
        worker.kill()
