"""Each row of the fault table in docs/api.md, produced on the local AWS and mapped by the API."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import requests

from tests.api.hub_asks import LABELS, TEXT
from tests.api.served import PREFIX, Served
from tests.road.walk import ROOT, wait_for

JSON = {"content-type": "application/json"}
BIG = {"real-time": ("sorts", 5_500_000), "serverless": ("wakes", 3_900_000)}


def problem(answer: requests.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem of an answer, which has every member that the documentation promises."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["type"] == f"urn:lectern:problem:{kind}"
    assert {"type", "title", "detail", "errors", "request_id"} <= set(found)
    assert found.get("status", status) == status
    assert found["request_id"] == answer.headers["x-request-id"]
    told = json.dumps(found)
    for secret in ("Traceback", "/opt/ml", str(ROOT), "site-packages", "botocore"):
        assert secret not in told
    return found


REQUESTS = [
    # status, kind, and what is asked
    (401, "unauthorized", ("GET", "/v1/models", {"headers": {"x-api-key": ""}})),
    (403, "invalid-api-key", ("GET", "/v1/models", {"headers": {"x-api-key": "unknown"}})),
    (404, "not-found", ("GET", "/v1/nothing", {})),
    (404, "not-found", ("DELETE", "/v1/models", {})),
    (404, "unknown-model", ("POST", "/v1/models/nothing", {"json": {"inputs": "a"}})),
    (404, "unknown-model", ("GET", "/v1/models/%2e%2e", {})),
    (400, "malformed-body", ("POST", "/v1/models/sorts", {"data": "{", "headers": JSON})),
    (400, "malformed-body", ("POST", "/v1/models/sorts", {"data": "", "headers": JSON})),
    (400, "malformed-body", ("POST", "/v1/models/sorts", {"json": {"inputs": 5}})),
    (400, "malformed-body", ("POST", "/v1/models/sorts", {"json": ["a"]})),
    (
        406,
        "not-acceptable",
        ("POST", "/v1/models/sorts", {"json": {"inputs": "a"}, "headers": {"accept": "text/html"}}),
    ),
    (
        415,
        "unsupported-content-type",
        ("POST", "/v1/models/sorts", {"data": "a", "headers": {"content-type": "text/html"}}),
    ),
    (
        422,
        "invalid-request",
        ("POST", "/v1/models/sorts", {"json": {"inputs": "a", "parameters": {"top_k": 0}}}),
    ),
    # The handler's own refusal: a mask is missing, which only the model can know.
    (422, "invalid-input", ("POST", "/v1/models/fills", {"json": {"inputs": "no mask"}})),
]


@pytest.mark.parametrize(("status", "kind", "asked"), REQUESTS)
def test_what_is_wrong_with_a_request_is_said(call, status, kind, asked):
    method, path, options = asked
    found = problem(call(method, path, **options), status, kind)
    if status == 422 and kind == "invalid-request":
        assert found["errors"] == [
            {
                "field": "parameters.top_k",
                "message": "must be a whole number from 1 to 10000, or null",
            }
        ]


@pytest.mark.parametrize("kind", BIG)
def test_a_body_is_weighed_before_anything_is_invoked(call, kind):
    model, most = BIG[kind]
    around = len(json.dumps({"inputs": ""}))
    # One word and much white space: as large, and soon read.
    fitting = "late".ljust(most - around - len(', "parameters": {}'))
    taken = call("POST", f"/v1/models/{model}", json={"inputs": fitting})
    assert taken.status_code == 200, taken.text
    started = time.monotonic()
    too_much = call("POST", f"/v1/models/{model}", json={"inputs": "a" * (most - around + 1)})
    assert str(most) in problem(too_much, 413, "body-too-large")["detail"]
    assert time.monotonic() - started < 5


def test_the_gateway_s_own_limit_is_a_problem_too(call):
    answer = call("POST", "/v1/models/sorts", data="a" * 10_485_761, headers=JSON)
    assert answer.status_code == 413, answer.text


def test_a_model_without_an_endpoint_says_what_to_do(call):
    answer = call("POST", "/v1/models/nightly", json={"inputs": "a"})
    assert "batches" in problem(answer, 409, "not-deployed")["detail"]


def test_an_endpoint_that_is_gone_and_one_that_starts_are_unavailable(served: Served, call):
    sagemaker = served.road.client("sagemaker")
    name = f"{PREFIX}-reads"
    body = {"inputs": {"question": "where", "context": TEXT}}
    config = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    sagemaker.delete_endpoint(EndpointName=name)
    [gone] = wait_for("the endpoint's end", lambda: _unavailable(call, "reads", body))
    assert int(gone.headers["retry-after"]) >= 1
    problem(gone, 503, "endpoint-unavailable")
    wait_for(
        "its last trace",
        lambda: call("GET", "/v1/models/reads").json()["state"] == "NotDeployed",
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    starting = call("POST", "/v1/models/reads", json=body)
    assert int(starting.headers["retry-after"]) >= 1
    problem(starting, 503, "endpoint-unavailable")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90}
    )
    assert call("POST", "/v1/models/reads", json=body).status_code == 200


def test_a_worker_that_dies_in_a_request_is_the_models_fault_and_comes_back(served, call):
    answers: list[requests.Response] = []
    with _stopped(served, "judges") as worker:
        asking = threading.Thread(target=lambda: answers.append(_judged(call)))
        asking.start()
        time.sleep(1)
        worker.kill()
        asking.join(30)
    problem(answers[0], 502, "model-fault")
    wait_for("another worker", lambda: _judged(call).status_code == 200, seconds=60)


def test_an_endpoint_that_does_not_answer_in_time_is_a_timeout(served: Served, call):
    with _read_timeout(served, 1), _stopped(served, "judges"):
        [answer] = wait_for("the function's new setting", lambda: _timed_out(call), seconds=60)
        assert int(answer.headers["retry-after"]) >= 1
        problem(answer, 504, "endpoint-timeout")
    assert _judged(call).status_code == 200


def test_a_serverless_endpoint_takes_so_many_at_once_and_no_more(served: Served, call):
    answers: list[requests.Response] = []
    body = {"inputs": TEXT}

    def ask() -> None:
        answers.append(call("POST", "/v1/models/wakes", json=body))

    with _stopped(served, "wakes") as worker:
        first = threading.Thread(target=ask)
        first.start()
        time.sleep(1)
        ask()
        worker.resume()
        first.join(30)
    refused, answered = answers
    assert answered.status_code == 200, answered.text
    assert int(refused.headers["retry-after"]) >= 1
    problem(refused, 503, "busy")


def test_a_serverless_endpoint_that_loads_its_model_is_waited_for(served: Served, call):
    worker = _worker(served, "wakes")
    worker.kill()
    wait_for("the next process", lambda: _workers(served, "wakes") not in ([], [worker]))
    # Seconds of imports lie before it, as in a cold start.
    answer = call("POST", "/v1/models/wakes", json={"inputs": TEXT})
    assert answer.status_code == 200, answer.text


def test_a_key_may_send_so_much_at_once_and_so_much_in_all(served: Served, call):
    for limits, kind in (
        ({"throttle": {"rateLimit": 0.01, "burstLimit": 1}}, "throttled"),
        ({"quota": {"limit": 1, "period": "DAY"}}, "quota-exceeded"),
    ):
        headers = {"x-api-key": _key_with(served, limits)}
        assert call("GET", "/v1/models", headers=headers).status_code == 200
        problem(call("GET", "/v1/models", headers=headers), 429, kind)


def test_a_function_that_crashes_says_nothing_of_its_inside(served: Served, call):
    with _environment(served, MODELS="not JSON"):
        [answer] = wait_for("the crash", lambda: _crashed(call), seconds=30)
        found = answer.json()
        assert found["type"] == "urn:lectern:problem:gateway-fault", found
        assert "JSON" not in answer.text
    wait_for("the function", lambda: call("GET", "/v1/models").status_code == 200, seconds=30)


def test_the_number_of_a_request_reaches_the_log_of_the_container(served: Served, call):
    answer = call("POST", "/v1/models/sorts", json={"inputs": "a secret text of mine"})
    number = answer.headers["x-request-id"]
    logs = served.road.client("logs")

    def lines(group: str) -> list[str]:
        found = logs.filter_log_events(logGroupName=group)["events"]
        return [event["message"] for event in found]

    container = f"/aws/sagemaker/Endpoints/{PREFIX}-sorts"
    wait_for("the log", lambda: any(number in line for line in lines(container)), seconds=20)
    groups = logs.describe_log_groups()["logGroups"]
    everything = "".join(line for group in groups for line in lines(group["logGroupName"]))
    assert "a secret text of mine" not in everything
    assert served.key not in everything


def _unavailable(call: Any, model: str, body: dict[str, Any]) -> list[requests.Response]:
    answer = call("POST", f"/v1/models/{model}", json=body)
    # In a list, since an answer with an error is false by itself.
    return [answer] if answer.status_code == 503 else []


def _crashed(call: Any) -> list[requests.Response]:
    answer = call("GET", "/v1/models")
    return [answer] if answer.status_code >= 500 else []


def _judged(call: Any) -> requests.Response:
    body = {"inputs": TEXT, "parameters": {"candidate_labels": LABELS}}
    answer: requests.Response = call("POST", "/v1/models/judges", json=body)
    return answer


def _timed_out(call: Any) -> list[requests.Response]:
    answer = _judged(call)
    return [answer] if answer.elapsed.total_seconds() < 20 else []


def _worker(served: Served, model: str) -> psutil.Process:
    """The serving process of a model."""
    [found] = _workers(served, model)
    return found


def _workers(served: Served, model: str) -> list[psutil.Process]:
    """Those whose command names the folder of the model's endpoint."""
    endpoint = re.escape(f"/{PREFIX}-{model}/")
    return [
        process
        for process in served.road.processes()
        # The one that serves, not the one that watches over it.
        if re.search(f"-m local.serving .*{endpoint}", _command(process)) and not process.children()
    ]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def _stopped(served: Served, model: str) -> Iterator[psutil.Process]:
    """The model's process, which takes requests and answers none."""
    worker = _worker(served, model)
    worker.suspend()
    try:
        yield worker
    finally:
        if worker.is_running():
            worker.send_signal(signal.SIGCONT)


@contextmanager
def _environment(served: Served, **changes: str) -> Iterator[None]:
    """Other variables of the API's function."""
    functions = served.road.client("lambda")
    [name] = [
        function["FunctionName"]
        for function in functions.list_functions()["Functions"]
        if "Front" in function["FunctionName"]
    ]
    given = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    changed = {"Variables": {**given, **changes}}
    functions.update_function_configuration(FunctionName=name, Environment=changed)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": given})


def _read_timeout(served: Served, seconds: float) -> Any:
    return _environment(served, READ_TIMEOUT_SECONDS=str(seconds))


def _key_with(served: Served, limits: dict[str, Any]) -> str:
    """The value of a new key with a usage plan of its own."""
    gateway = served.road.client("apigateway")
    name = f"limited-{uuid.uuid4().hex[:8]}"
    key = gateway.create_api_key(name=name, enabled=True)
    stages = [{"apiId": served.url.split("/restapis/")[1].split("/")[0], "stage": "local"}]
    plan = gateway.create_usage_plan(name=name, apiStages=stages, **limits)
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    value: str = gateway.get_api_key(apiKey=key["id"], includeValue=True)["value"]
    return value
