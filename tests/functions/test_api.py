"""The HTTP API's function: what it asks of the endpoint, what it answers, what it never tells."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from botocore.loaders import Loader

from tests.functions.stand_ins import (
    Refusal,
    SageMaker,
    answers,
    model_error,
    refuses,
)

TEXT = "a secret text of a user"
RANKING = [{"label": "billing", "score": 0.9}]
Call = Callable[..., Any]


def assert_problem(answer: dict[str, Any], status: int, *told: str, **more: Any) -> None:
    problem = answer["json"]
    assert (answer["status"], problem["status"]) == (status, status), problem
    assert answer["headers"]["content-type"] == "application/problem+json"
    members = {"type", "title", "status", "detail", "errors", "request_id"}
    assert {name: value for name, value in problem.items() if name not in members} == more
    assert members <= set(problem)
    assert problem["request_id"] == "request-1"
    for words in told:
        assert words in problem["detail"]


def test_health_needs_nothing(call: Call) -> None:
    assert call("GET", "/v1/health")["json"] == {"status": "ok"}


def test_json_reaches_the_endpoint_with_our_headers_and_none_of_the_callers(
    predict: Call, sagemaker: SageMaker
) -> None:
    sagemaker.invoke = answers(RANKING)
    answer = predict(
        {"inputs": TEXT, "parameters": {"top_k": 2}},
        content_type="application/json; charset=utf-8",
        accept="application/json, text/plain, */*",
        x_amzn_sagemaker_custom_attributes="sneaked",
    )
    assert (answer["status"], answer["json"]) == (200, RANKING)
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["headers"]["x-lectern-model-version"] == "3"
    [asked] = sagemaker.invocations
    assert asked["endpoint"] == "lectern-test-tickets"
    assert asked["headers"]["content-type"] == "application/json"
    assert asked["headers"]["accept"] == "application/json"
    number = asked["headers"]["x-amzn-sagemaker-custom-attributes"]
    assert number == "lectern-request=request-1"
    assert json.loads(asked["body"]) == {"inputs": TEXT, "parameters": {"top_k": 2}}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-text; charset=UTF-8"])
@pytest.mark.parametrize("body", ["größer ✓", "größer ✓".encode()])
def test_plain_text_is_one_input(
    predict: Call, sagemaker: SageMaker, content_type: str, body: str | bytes
) -> None:
    sagemaker.invoke = answers(RANKING)
    assert predict(body, content_type=content_type)["status"] == 200
    [asked] = sagemaker.invocations
    # The container answers its own x-text with probabilities alone; the API promises the same form.
    assert asked["headers"]["content-type"] == "application/json"
    assert json.loads(asked["body"]) == {"inputs": "größer ✓", "parameters": {}}


def test_verbose_is_asked_of_the_endpoint_to_the_letter(
    predict: Call, sagemaker: SageMaker
) -> None:
    sagemaker.invoke = answers({"probabilities": [1.0], "labels": ["a"], "predicted_label": "a"})
    assert predict({"inputs": TEXT}, accept="application/json; verbose")["status"] == 200
    assert sagemaker.invocations[0]["headers"]["accept"] == "application/json;verbose"


@pytest.mark.parametrize(
    ("status", "told", "request_made"),
    [
        (404, "'nothing'", {"body": {"inputs": "x"}, "model": "nothing"}),
        (400, "JSON", {"body": "{"}),
        (400, "JSON", {"body": '{"inputs": NaN}'}),
        (400, "JSON", {"body": "[" * 100_000}),
        (400, "object", {"body": "[]"}),
        (400, "empty", {"body": ""}),
        (400, "UTF-8", {"body": b"\xff\xfe", "content_type": "text/plain"}),
        (415, "text/html", {"body": "x", "content_type": "text/html"}),
        (415, "application/x-npy", {"body": "x", "content_type": "application/x-npy"}),
        (415, "latin", {"body": "{}", "content_type": "application/json; charset=latin-1"}),
        (406, "text/html", {"body": {"inputs": "x"}, "accept": "text/html"}),
        (406, "q=0", {"body": {"inputs": "x"}, "accept": "application/json;q=0"}),
        (422, "inputs: missing", {"body": {}}),
        (422, "inputs: missing", {"body": {"inputs": None}}),
        (422, "inputs: must be", {"body": {"inputs": 7}}),
        (422, "inputs: must be", {"body": {"inputs": {"text": "a", "pair": "b"}}}),
        (422, "inputs: must be", {"body": {"inputs": {"text": "a", "text_pair": 1}}}),
        (422, "inputs[1]", {"body": {"inputs": ["a", 2]}}),
        (422, "surrogate", {"body": '{"inputs": "\\ud800"}'}),
        (422, "sequences", {"body": {"inputs": "a", "sequences": "b"}}),
        (422, "sequences: missing", {"body": {"sequences": None}, "model": "open"}),
        (
            422,
            "parameters: not a parameter",
            {"body": {"sequences": "a", "parameters": {}}, "model": "open"},
        ),
        (422, "parameters: must", {"body": {"inputs": "a", "parameters": "x"}, "model": "open"}),
        (
            422,
            "surrogate",
            {"body": '{"inputs": {"question": "\\ud800", "context": "b"}}', "model": "facts"},
        ),
        (
            406,
            "question-answering",
            {"body": {"inputs": {}}, "model": "facts", "accept": "application/json;verbose"},
        ),
        (422, "parameters.nope", {"body": {"inputs": "a", "parameters": {"nope": 1}}}),
        (422, "parameters.top_k", {"body": {"inputs": "a", "parameters": {"top_k": 0}}}),
        (422, "parameters.top_k", {"body": {"inputs": "a", "parameters": {"top_k": True}}}),
        (
            422,
            "parameters.long_text",
            {"body": {"inputs": "a", "parameters": {"long_text": "drop"}}},
        ),
        (422, "parameters: must", {"body": {"inputs": "a", "parameters": []}}),
        (
            413,
            "3900000",
            {
                "body": "\n" * 1_000_000 + "x" * 2_000_000,
                "model": "small",
                "content_type": "text/plain",
            },
        ),
        (413, "5500000", {"body": {"inputs": "x" * 5_500_000}}),
        (413, "3900000", {"body": {"inputs": "x" * 3_900_000}, "model": "small"}),
        (409, "approve", {"body": {"inputs": "x"}, "model": "fresh"}),
        (409, "/v1/models/nightly/batches", {"body": {"inputs": "x"}, "model": "nightly"}),
    ],
)
def test_a_request_that_cannot_be_answered_never_reaches_the_endpoint(
    predict: Call, sagemaker: SageMaker, status: int, told: str, request_made: dict[str, Any]
) -> None:
    assert_problem(predict(**request_made), status, told)
    assert sagemaker.invocations == []


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("tickets", {"inputs": [{"text": "a", "text_pair": "b"}, "c"], "parameters": {"long_text": "chunk"}}),
        ("open", {"inputs": "a", "parameters": {"candidate_labels": "x,y"}}),
        ("open", {"sequences": ["a"], "candidate_labels": ["x"], "multi_class": True}),
        ("facts", {"inputs": {"question": "wo?", "context": "größer ✓"}, "parameters": {"top_k": 2}}),
    ],
)  # fmt: skip
def test_each_task_takes_its_own_inputs(
    predict: Call, sagemaker: SageMaker, model: str, body: dict[str, Any]
) -> None:
    sagemaker.invoke = answers({"whatever": "the container answers"})
    answer = predict(body, model=model)
    assert (answer["status"], answer["json"]) == (200, {"whatever": "the container answers"})
    assert json.loads(sagemaker.invocations[0]["body"]) == body


def test_how_many_texts_were_cut_is_told_in_a_header(predict: Call, sagemaker: SageMaker) -> None:
    sagemaker.invoke = answers(RANKING, attributes="lectern-truncated=2")
    assert predict({"inputs": ["a", "b"]})["headers"]["x-lectern-truncated"] == "2"
    sagemaker.invoke = answers(RANKING)
    assert "x-lectern-truncated" not in predict({"inputs": "a"})["headers"]


def test_an_alphabet_of_many_bytes_costs_no_more_than_was_sent(
    predict: Call, sagemaker: SageMaker
) -> None:
    """A serverless endpoint ends at 4 MB, and JSON's escapes treble Cyrillic."""
    sagemaker.invoke = answers(RANKING)
    body = json.dumps({"inputs": "я" * 1_900_000}, ensure_ascii=False)
    assert predict(body, model="small")["status"] == 200
    assert len(sagemaker.invocations[0]["body"]) < 3_900_000


def test_a_large_body_is_fine_for_a_real_time_endpoint(predict: Call, sagemaker: SageMaker) -> None:
    sagemaker.invoke = answers(RANKING)
    assert predict({"inputs": "x" * 5_400_000})["status"] == 200


@pytest.mark.parametrize(
    ("status", "more", "fault"),
    [
        (422, {}, {"code": "invalid_input"}),
        (422, {"field": "parameters.top_k", "allowed": ["1", "2"]}, {"code": "invalid_parameter"}),
        (406, {"field": "Accept"}, {"code": "not_acceptable"}),
        (415, {"allowed": ["text/csv"]}, {"code": "unsupported_content_type"}),
    ],
)
def test_the_handlers_refusal_comes_through_with_code_field_and_allowed_values(
    predict: Call, sagemaker: SageMaker, status: int, more: dict[str, Any], fault: dict[str, Any]
) -> None:
    document = {**fault, **more, "message": "why", "fault": "client"}
    sagemaker.invoke = model_error(json.dumps(document))
    assert_problem(predict({"inputs": TEXT}), status, "why", **fault, **more)


@pytest.mark.parametrize(
    ("status", "told", "retry", "endpoint"),
    [
        (
            422,
            "too long",
            False,
            model_error(
                json.dumps({"code": "too_long", "fault": "client", "message": "a text is too long"})
            ),
        ),
        (
            422,
            "too long",
            False,
            model_error(
                json.dumps({"code": "too_long", "fault": "client", "message": "a text is too long"})
                + " : 400"
            ),
        ),
        (
            502,
            "tickets could not answer",
            False,
            model_error(
                json.dumps({"code": "x", "fault": "server", "message": "/opt/ml/model is bad"})
            ),
        ),
        (502, "tickets could not answer", False, model_error("CUDA out of memory at /opt/ml")),
        (502, "tickets could not answer", False, model_error("Worker died.", original_status=500)),
        (413, "too large", False, model_error("", original_status=413)),
        (
            503,
            "not available",
            True,
            refuses(
                "ValidationError",
                "Endpoint lectern-test-tickets of account 123456789012 not found.",
            ),
        ),
        (502, "refused", False, refuses("ValidationError", "1 validation error detected")),
        (503, "waking up", True, refuses("ModelNotReadyException", "not ready", status=429)),
        (503, "no more requests", True, refuses("ThrottlingException", "Rate exceeded")),
        (503, "not available", True, refuses("ServiceUnavailable", "x", status=503)),
    ],
)
def test_a_fault_of_the_endpoint_is_told_in_our_own_words_and_not_retried(
    predict: Call, sagemaker: SageMaker, status: int, told: str, retry: bool, endpoint: Any
) -> None:
    sagemaker.invoke = endpoint
    answer = predict({"inputs": TEXT})
    assert_problem(answer, status, told, **({"code": "too_long"} if status == 422 else {}))
    assert ("retry-after" in answer["headers"]) == retry
    assert "/opt/ml" not in answer["json"]["detail"]
    assert len(sagemaker.invocations) == 1


def test_an_endpoint_that_takes_too_long_is_a_504_after_one_attempt(
    predict: Call, sagemaker: SageMaker
) -> None:
    def sleep(_: Any) -> Any:
        time.sleep(1.5)
        return answers(RANKING)(_)

    sagemaker.invoke = sleep
    started = time.monotonic()
    assert_problem(predict({"inputs": TEXT}), 504, "in time")
    assert time.monotonic() - started < 1.4
    assert len(sagemaker.invocations) == 1


def test_an_endpoint_that_cannot_be_reached_is_a_503(
    predict: Call, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    assert_problem(predict({"inputs": TEXT}), 503, "not available")


def test_neither_texts_nor_keys_are_logged(
    api: ModuleType, predict: Call, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(api.logger.registered_handler, "stream", log)
    sagemaker.invoke = answers(RANKING)
    predict({"inputs": TEXT})
    sagemaker.invoke = model_error(f"cannot read {TEXT}")
    predict({"inputs": TEXT})
    predict({"inputs": TEXT, "nope": TEXT})
    logged = log.getvalue()
    assert '"answered"' in logged
    assert '"status":502' in logged
    assert '"model":"tickets"' in logged
    assert "/aws/sagemaker/Endpoints/x" in logged, "the log names where the reason is"
    assert "secret" not in logged


def test_an_unknown_route_is_a_problem(call: Call) -> None:
    assert_problem(call("GET", "/v1/nothing"), 404, "/v1/nothing")


def describe_endpoint(states: dict[str, str]) -> Callable[[dict[str, Any]], Any]:
    def describe(asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["EndpointName"]
        if name not in states:
            raise Refusal("ValidationException", f'Could not find endpoint "{name}".')
        return {"EndpointName": name, "EndpointArn": "arn", "EndpointStatus": states[name]}

    return describe


def test_models_are_listed_with_state_and_version(call: Call, sagemaker: SageMaker) -> None:
    sagemaker.operations["DescribeEndpoint"] = describe_endpoint(
        {"lectern-test-tickets": "InService", "lectern-test-small": "Updating"}
    )
    listed = {model["name"]: model for model in call("GET", "/v1/models")["json"]["models"]}
    assert {name: (model["state"], model["version"]) for name, model in listed.items()} == {
        "tickets": ("InService", "3"),
        "small": ("Updating", "3"),
        "fresh": ("NotDeployed", None),
        "nightly": ("BatchOnly", "3"),
        "open": ("NotDeployed", "3"),
        "facts": ("NotDeployed", "3"),
    }
    assert call("GET", "/v1/models/tickets")["json"] == listed["tickets"]
    assert listed["tickets"]["endpoint"] == "lectern-test-tickets"
    assert_problem(call("GET", "/v1/models/nothing"), 404)


def test_an_endpoint_that_has_not_passed_its_smoke_test_is_not_in_service(
    call: Call, sagemaker: SageMaker
) -> None:
    sagemaker.operations["DescribeEndpoint"] = describe_endpoint(
        {"lectern-test-fresh": "InService"}
    )
    assert call("GET", "/v1/models/fresh")["json"]["state"] == "Creating"


@pytest.mark.usefixtures("api")
def test_the_short_description_of_ssm_says_what_botocores_own_says() -> None:
    import aws

    def without_words(found: Any) -> Any:
        if isinstance(found, dict):
            return {k: without_words(v) for k, v in found.items() if k != "documentation"}
        return [without_words(each) for each in found] if isinstance(found, list) else found

    [path] = aws.DESCRIPTIONS.glob("ssm/*/service-2.json")
    short = json.loads(path.read_text())
    full = Loader().load_service_model("ssm", "service-2", path.parent.name)
    assert short["metadata"] == full["metadata"]
    assert set(short["operations"]) == {"GetParameter", "GetParametersByPath"}
    for part in ("operations", "shapes"):
        assert short[part] == {name: without_words(full[part][name]) for name in short[part]}
    assert aws.ssm().meta.service_model.operation_names == ["GetParameter", "GetParametersByPath"]


@pytest.mark.parametrize(
    ("initialization", "clients"),
    [("on-demand", 0), ("provisioned-concurrency", 1), ("snap-start", 1)],
)
def test_clients_are_made_ahead_only_where_nobody_waits_for_it(
    initialization: str, clients: int, request: pytest.FixtureRequest, monkeypatch: Any
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)
    request.getfixturevalue("api")
    import aws

    assert [made.cache_info().currsize for made in (aws.runtime, aws.ssm)] == [clients] * 2
