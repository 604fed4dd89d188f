"""Answers that come later, in a real deployment: the CDK CLI, HTTP, queues, S3 and containers."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.road.walk import Road, wait_for

TEXT = "please refund the charge on my card"
LATER = {"prefer": "respond-async, wait=5"}
VERBOSE = {"accept": "application/json;verbose"}


def ask(road: Road, model: str, body: Any, **headers: str) -> requests.Response:
    return road.api("POST", f"/v1/models/{model}", json=body, headers=headers)


def result(road: Road, accepted: requests.Response) -> requests.Response:
    """What came of a call, once it is over."""
    assert accepted.status_code == 202, accepted.text
    path = accepted.json()["result"]
    model = accepted.json()["model"]
    assert urljoin(f"/v1/models/{model}", accepted.headers["location"]) == path

    def over() -> list[requests.Response]:
        answer = road.api("GET", path)
        if answer.status_code != 202:
            return [answer]
        assert answer.json() == accepted.json()
        return []

    [answer] = wait_for("a result", over)
    return answer


def test_the_async_model_is_in_service_after_its_smoke_test(road: Road) -> None:
    models = {model["name"]: model for model in road.api("GET", "/v1/models").json()["models"]}
    assert (models["patient"]["kind"], models["patient"]["state"]) == ("async", "InService")
    assert models["quick"]["kind"] == "serverless"
    endpoint = road.client("sagemaker").describe_endpoint(EndpointName="lectern-local-patient")
    client = endpoint["AsyncInferenceConfig"]["ClientConfig"]
    assert client == {"MaxConcurrentInvocationsPerInstance": 2}


@pytest.mark.parametrize("headers", [{}, VERBOSE])
@pytest.mark.parametrize(
    "body",
    [
        {"inputs": TEXT},
        {"inputs": [TEXT, "grün"], "parameters": {"top_k": None}},
    ],
)
def test_an_async_answer_is_byte_for_byte_that_of_a_call_that_waits(
    road: Road, body: Any, headers: dict[str, str]
) -> None:
    at_once = ask(road, "quick", body, **headers)
    assert at_once.status_code == 200, at_once.text
    for accepted in (
        ask(road, "patient", body, **headers),
        ask(road, "quick", body, **LATER, **headers),
    ):
        answer = result(road, accepted)
        assert (answer.status_code, answer.content) == (200, at_once.content)
        for name in ("content-type", "x-lectern-model-version"):
            assert answer.headers[name] == at_once.headers[name]
    assert accepted.headers["preference-applied"] == "respond-async"
    assert re.fullmatch(r"\d{14}-[\w-]{32}", accepted.json()["id"])


def test_plain_text_is_taken_too(road: Road) -> None:
    sent = {"data": TEXT.encode(), "headers": {"content-type": "text/plain"}}
    at_once = road.api("POST", "/v1/models/quick", **sent)
    answer = result(road, road.api("POST", "/v1/models/patient", **sent))
    assert answer.content == at_once.content


@pytest.mark.parametrize("model", ["patient", "quick"])
def test_an_input_that_the_model_refuses_ends_as_the_same_problem(road: Road, model: str) -> None:
    # The gateway and the function let it pass: only the model knows what it has to take.
    body = {"inputs": "late parcel " * 50, "parameters": {"truncation": False}}
    at_once = ask(road, "quick", body)
    assert at_once.status_code == 422, at_once.text
    assert at_once.json()["type"] == "urn:lectern:problem:invalid-input"
    answer = result(road, ask(road, model, body, **LATER))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    differs = {"request_id": None}
    assert answer.json() | differs == at_once.json() | differs


def test_what_is_wrong_by_itself_is_said_at_once(road: Road) -> None:
    for model in ("patient", "quick"):
        refused = ask(road, model, {"inputs": TEXT, "parameters": {"top_k": -1}}, **LATER)
        assert refused.status_code in (400, 422), refused.text


def test_an_unknown_result_is_a_404_and_needs_a_key(road: Road) -> None:
    for unknown in ("20260101000000-" + "a" * 32, "nothing"):
        answer = road.api("GET", f"/v1/results/{unknown}")
        assert (answer.status_code, answer.json()["type"]) == (
            404,
            "urn:lectern:problem:unknown-result",
        )
    refused = road.api("GET", "/v1/results/nothing", headers={"x-api-key": "no"})
    assert refused.status_code in (401, 403)


def test_the_command_line_waits_for_an_async_model(road: Road) -> None:
    answers = [
        json.loads(road.lectern("predict", model, TEXT, "grün", "--local", "--json"))
        for model in ("patient", "quick")
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 2
