"""Answers that come later: of an async endpoint, and of the function that asks in our place."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.functions.conftest import MODELS, PREFIX
from tests.functions.stand_ins import (
    Context,
    SageMaker,
    answers,
    model_error,
    queues,
    refuses,
)
from tests.functions.test_api import RANKING, TEXT, Call, assert_problem

BUCKET = "lectern-test-data"
QUEUE = {
    "task": "text-classification",
    "endpoint": "lectern-test-queue",
    "kind": "async",
    "pipeline": None,
    "parameter": f"{PREFIX}queue",
}
LATER = {"prefer": "respond-async"}
REFUSED = json.dumps(
    {"code": "too_long", "fault": "client", "field": "inputs", "message": "inputs is too long"}
)


class Lambda:
    """Keeps the events that functions are invoked with; a client of AWS Lambda."""

    def __init__(self) -> None:
        self.invoked: list[dict[str, Any]] = []

    def invoke(self, **asked: Any) -> dict[str, Any]:
        self.invoked.append(asked)
        return {"StatusCode": 202}


@pytest.fixture
def s3(aws: Callable[[str], Any]) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def functions(
    api: ModuleType, s3: Any, aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Lambda:
    """The API with an async model more, `queue`, and a function that is invoked for later."""
    monkeypatch.setenv("MODELS", json.dumps(MODELS | {"queue": QUEUE}))
    monkeypatch.setenv("LATER_FUNCTION", "later")
    monkeypatch.setenv("READ_TIMEOUT_SECONDS", "5")
    record = {"version": "7", "task": QUEUE["task"], "endpoint": QUEUE["endpoint"]}
    aws("ssm").put_parameter(
        Name=QUEUE["parameter"],
        Value=json.dumps(record | {"timeout_seconds": 30}),
        Type="String",
        Overwrite=True,
    )
    invoked = Lambda()
    monkeypatch.setattr(importlib.import_module("aws"), "functions", lambda: invoked)
    return invoked


@pytest.fixture
def later(functions: Lambda, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the function for the events that it was invoked with."""
    module = importlib.import_module("later")
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(module, "MARGIN_SECONDS", 0.0)

    def run(seconds: float = 20) -> None:
        for asked in functions.invoked:
            assert asked["FunctionName"] == "later"
            assert asked["InvocationType"] == "Event"
            module.handler(json.loads(asked["Payload"]), Context(seconds))

    return run


def get(call: Call, accepted: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer: dict[str, Any] = call("GET", accepted["json"]["result"], **headers)
    return answer


def assert_accepted(answer: dict[str, Any], model: str) -> None:
    document, headers = answer["json"], answer["headers"]
    assert answer["status"] == 202, answer
    assert re.fullmatch(r"[0-9]{14}-[A-Za-z0-9_-]{32}", document["id"])
    path = f"/v1/results/{document['id']}"
    assert document == {
        "id": document["id"],
        "model": model,
        "state": "InProgress",
        "result": path,
    }
    assert urljoin(f"/v1/models/{model}", headers["location"]) == path
    assert headers["retry-after"] == "1"


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    headers = ("content-type", "x-lectern-model-version")
    return (one["status"], one["body"]) == (other["status"], other["body"]) and all(
        one["headers"].get(name) == other["headers"].get(name) for name in headers
    )


@pytest.mark.parametrize("accept", ["application/json", "application/json;verbose"])
def test_an_async_models_answer_is_fetched_when_it_is_there(
    functions: Lambda, predict: Call, call: Call, sagemaker: SageMaker, s3: Any, accept: str
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, answers(RANKING))
    accepted = predict({"inputs": TEXT}, model="queue", accept=accept)
    assert_accepted(accepted, "queue")
    assert "preference-applied" not in accepted["headers"], "nobody preferred anything"
    [asked] = sagemaker.invocations
    assert (asked["endpoint"], asked["action"]) == ("lectern-test-queue", "async-invocations")
    assert json.loads(asked["body"]) == {"inputs": TEXT, "parameters": {}}
    assert asked["headers"]["x-amzn-sagemaker-accept"] == accept
    assert asked["headers"]["x-amzn-sagemaker-content-type"] == "application/json"
    assert asked["headers"]["x-amzn-sagemaker-invocationtimeoutseconds"] == "30"
    attributes = asked["headers"]["x-amzn-sagemaker-custom-attributes"]
    assert attributes == "lectern-request=request-1"
    answer = get(call, accepted)
    assert (answer["status"], answer["json"]) == (200, RANKING)
    assert answer["headers"]["content-type"] == accept
    assert answer["headers"]["x-lectern-model-version"] == "7"
    assert not functions.invoked


def test_an_async_models_answer_may_be_rows(
    functions: Lambda, predict: Call, call: Call, sagemaker: SageMaker, s3: Any
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, answers(RANKING * 2))
    accepted = predict("one\ntwo\n", model="queue", content_type="text/csv", accept="text/csv")
    assert_accepted(accepted, "queue")
    assert sagemaker.invocations[0]["headers"]["x-amzn-sagemaker-accept"] == "application/json"
    answer = get(call, accepted)
    assert answer["headers"]["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer["body"] == "input,label,score\r\n0,billing,0.9\r\n1,billing,0.9\r\n"


def test_an_async_model_that_works_is_asked_again_later(
    functions: Lambda, predict: Call, call: Call, sagemaker: SageMaker, s3: Any
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, None)
    accepted = predict({"inputs": TEXT}, model="queue", prefer="respond-async")
    assert accepted["headers"]["preference-applied"] == "respond-async"
    running = get(call, accepted)
    assert (running["status"], running["json"]) == (202, accepted["json"])
    assert running["headers"]["retry-after"] == "1"
    assert "location" not in running["headers"]


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        (422, "invalid-input", model_error(REFUSED)),
        (502, "model-fault", model_error("[Errno 2] /opt/ml/model is gone")),
        (502, "model-fault", model_error("Worker died.", original_status=500)),
        (504, "endpoint-timeout", model_error("Your invocation timed out", original_status=0)),
        (413, "body-too-large", model_error("", original_status=413)),
    ],
)
def test_a_failure_of_an_async_model_is_the_problem_of_a_call_that_waits(
    functions: Lambda,
    predict: Call,
    call: Call,
    sagemaker: SageMaker,
    s3: Any,
    status: int,
    kind: str,
    fault: Any,
) -> None:
    sagemaker.invoke = fault
    at_once = predict({"inputs": TEXT}, model="tickets")
    sagemaker.invoke = queues(s3, BUCKET, fault)
    accepted = predict({"inputs": TEXT}, model="queue")
    assert_accepted(accepted, "queue")
    answer = get(call, accepted)
    assert (answer["status"], answer["json"]["type"]) == (status, f"urn:lectern:problem:{kind}")
    detail = at_once["json"]["detail"].replace("tickets", "queue")
    assert answer["json"] == at_once["json"] | {"detail": detail}
    assert "/opt/ml" not in answer["json"]["detail"]
    assert "retry-after" not in answer["headers"], "it stays what it is"


@pytest.mark.parametrize(
    "refused",
    [
        refuses("ValidationError", "Endpoint x of account 1 not found."),
        refuses("ServiceUnavailable", status=503),
    ],
)
def test_a_queue_that_takes_nothing_is_a_503_at_once(
    functions: Lambda, predict: Call, sagemaker: SageMaker, refused: Any
) -> None:
    sagemaker.invoke = refused
    answer = predict({"inputs": TEXT}, model="queue")
    assert_problem(answer, 503, "not available")
    assert answer["headers"]["retry-after"] == "30"


def test_what_is_wrong_with_a_request_is_said_at_once(
    functions: Lambda, predict: Call, sagemaker: SageMaker
) -> None:
    assert predict({"inputs": 7}, model="queue")["status"] == 422
    assert predict({"inputs": 7}, **LATER)["status"] == 422
    assert predict({"inputs": TEXT}, model="fresh", **LATER)["status"] == 409
    assert predict({"inputs": TEXT}, model="nightly", **LATER)["status"] == 409
    assert not functions.invoked
    assert not sagemaker.invocations


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize("model", ["tickets", "small"])
def test_who_prefers_not_to_wait_gets_the_same_answer_later(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
    model: str,
    accept: str,
) -> None:
    sagemaker.invoke = answers(RANKING, attributes="lectern-truncated=1")
    at_once = predict({"inputs": TEXT}, model=model, accept=accept)
    accepted = predict({"inputs": TEXT}, model=model, accept=accept, **LATER)
    assert_accepted(accepted, model)
    assert accepted["headers"]["preference-applied"] == "respond-async"
    assert get(call, accepted)["status"] == 202
    later()
    answer = get(call, accepted)
    assert same(answer, at_once)
    assert answer["headers"]["x-lectern-truncated"] == "1"
    first, second = sagemaker.invocations
    assert (first["body"], second["action"]) == (second["body"], "invocations")


@pytest.mark.parametrize(
    ("prefer", "waits"),
    [
        ("respond-async, wait=10", False),
        ("wait=10, Respond-Async", False),
        ("respond-async;foo=bar", False),
        ("wait=10", True),
        ("handling=lenient, respond-asynchronously", True),
        ("return=respond-async", True),
    ],
)
def test_the_preference_is_read_as_its_rfc_writes_it(
    functions: Lambda, predict: Call, sagemaker: SageMaker, prefer: str, waits: bool
) -> None:
    sagemaker.invoke = answers(RANKING)
    assert predict({"inputs": TEXT}, prefer=prefer)["status"] == (200 if waits else 202)


def test_an_endpoint_that_wakes_up_is_asked_until_it_answers(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
) -> None:
    script = [
        refuses("ModelNotReadyException", status=429),
        refuses("ThrottlingException"),
        refuses("ServiceUnavailable", status=503),
        refuses("ValidationError", "Endpoint x of account 1 not found."),
        answers(RANKING),
    ]
    sagemaker.invoke = lambda asked: script.pop(0)(asked)
    accepted = predict({"inputs": TEXT}, **LATER)
    later()
    assert get(call, accepted)["json"] == RANKING
    assert script == []


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (422, model_error(REFUSED)),
        (502, model_error("Worker died.", original_status=500)),
        (502, refuses("ValidationError", "1 validation error detected")),
        (503, refuses("InternalFailure", status=500)),
    ],
)
def test_what_may_have_run_is_never_asked_again(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
    status: int,
    fault: Any,
) -> None:
    sagemaker.invoke = fault
    at_once = predict({"inputs": TEXT})
    accepted = predict({"inputs": TEXT}, **LATER)
    later()
    answer = get(call, accepted)
    assert same(answer, at_once)
    assert answer["status"] == status
    assert "retry-after" not in answer["headers"]
    assert len(sagemaker.invocations) == 2


def test_a_read_timeout_is_never_asked_again(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("READ_TIMEOUT_SECONDS", "0.6")

    def sleep(asked: dict[str, Any]) -> Any:
        time.sleep(1)
        return answers(RANKING)(asked)

    sagemaker.invoke = sleep
    accepted = predict({"inputs": TEXT}, **LATER)
    later()
    assert_problem(get(call, accepted), 504, "in time")
    assert len(sagemaker.invocations) == 1


def test_an_endpoint_that_never_wakes_up_is_given_up_in_time(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
) -> None:
    sagemaker.invoke = refuses("ModelNotReadyException", status=429)
    accepted = predict({"inputs": TEXT}, **LATER)
    started = time.monotonic()
    # An attempt may take 5 s, so none begins in the last five.
    later(seconds=5.5)
    assert time.monotonic() - started < 2
    assert len(sagemaker.invocations) > 2
    assert_problem(get(call, accepted), 503, "waking up")


def test_an_event_that_comes_twice_is_worked_off_once(
    functions: Lambda,
    predict: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
) -> None:
    sagemaker.invoke = answers(RANKING)
    predict({"inputs": TEXT}, **LATER)
    functions.invoked *= 2
    later()
    assert len(sagemaker.invocations) == 1


def test_what_nobody_foresaw_is_an_answer_too_and_reaches_the_alarm(
    functions: Lambda,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
) -> None:
    sagemaker.invoke = refuses("AccessDeniedException", "not authorized")
    accepted = predict({"inputs": TEXT}, **LATER)
    with pytest.raises(Exception, match="not authorized"):
        later()
    assert_problem(get(call, accepted), 502, "its log has the reason")


def test_a_call_that_is_never_answered_ends(
    functions: Lambda,
    predict: Call,
    call: Call,
    sagemaker: SageMaker,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, None)
    lost = [predict({"inputs": TEXT}, model="queue"), predict({"inputs": TEXT}, **LATER)]
    results = importlib.import_module("results")
    now = time.time()
    monkeypatch.setattr(results.time, "time", lambda: now + 1_700)
    assert [get(call, one)["status"] for one in lost] == [202, 202]
    monkeypatch.setattr(results.time, "time", lambda: now + 1_900)
    assert [get(call, one)["status"] for one in lost] == [202, 504]
    monkeypatch.setattr(results.time, "time", lambda: now + 21_700)
    assert [get(call, one)["status"] for one in lost] == [504, 504]


def test_an_answer_too_large_for_lambda_is_the_same_problem(
    functions: Lambda, predict: Call, call: Call, sagemaker: SageMaker, s3: Any
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, answers("x" * 5_000_001))
    answer = get(call, predict({"inputs": TEXT}, model="queue"))
    assert_problem(answer, 502, "larger than 5000000 bytes")


def test_nothing_is_looked_up_by_what_no_id_looks_like(
    functions: Lambda, call: Call, s3: Any
) -> None:
    s3.put_object(Bucket=BUCKET, Key="results/all/planted/record.json", Body=b"{}")
    assert_problem(call("GET", "/v1/results/planted"), 404, "there is no result")


@pytest.mark.parametrize(
    "result",
    [
        "20260101000000-" + "a" * 32,
        "20260101000000-" + "a" * 31,
        "20260101000000-" + "a" * 31 + ".",
        "20260101000000-" + "a" * 32 + "\n",
        "..",
        "a%2Fb",
        "20260101000000-" + "é" * 32,
        "x" * 5_000,
    ],
)
def test_an_id_that_was_never_given_is_unknown(functions: Lambda, call: Call, result: str) -> None:
    answer = call("GET", f"/v1/results/{result}")
    assert_problem(answer, 404, "there is no result")
    assert answer["json"]["type"] == "urn:lectern:problem:unknown-result"
    assert len(answer["json"]["detail"]) < 200


def test_with_tenancy_a_result_is_its_callers_alone(
    functions: Lambda,
    api: ModuleType,
    predict: Call,
    call: Call,
    sagemaker: SageMaker,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TENANCY", "on")
    sagemaker.invoke = queues(s3, BUCKET, answers(RANKING))
    caller = {"name": "key:one"}
    exchange = importlib.import_module("exchange")
    monkeypatch.setattr(exchange, "_caller", lambda _: caller["name"])
    accepted = predict({"inputs": TEXT}, model="queue")
    assert get(call, accepted)["status"] == 200
    caller["name"] = "key:two"
    assert get(call, accepted)["status"] == 404
    folders = {
        item["Key"].split("/")[1]
        for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="results/")["Contents"]
        if accepted["json"]["id"] in item["Key"]
    }
    assert folders == {hashlib.sha256(b"key:one").hexdigest()[:32]}


def test_no_text_is_logged_or_handed_to_the_function(
    functions: Lambda,
    api: ModuleType,
    predict: Call,
    call: Call,
    later: Callable[..., None],
    sagemaker: SageMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(api.logger.registered_handler, "stream", log)
    sagemaker.invoke = model_error(f"cannot read {TEXT}")
    accepted = predict({"inputs": TEXT}, **LATER)
    later()
    get(call, accepted)
    assert '"outcome":"model-fault"' in log.getvalue()
    assert "secret" not in log.getvalue()
    assert "secret" not in functions.invoked[0]["Payload"].decode()


def test_a_client_that_can_only_wait_is_told_of_the_other_way(
    functions: Lambda, call: Call, sagemaker: SageMaker
) -> None:
    body = json.dumps({"inputs": TEXT})
    answer = call("POST", "/hf/models/queue", body, content_type="application/json")
    assert answer["status"] == 409
    assert "POST to /v1/models/queue" in answer["json"]["detail"]
    assert not sagemaker.invocations
