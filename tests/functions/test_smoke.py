"""The smoke test of a deployment: what it accepts, what it refuses, and that it always answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

from tests.functions.stand_ins import (
    Context,
    Refusal,
    SageMaker,
    answers,
    function,
    model_error,
    queues,
    refuses,
    serve,
)
from tests.functions.test_release import CloudFormation

GOOD = answers([{"label": "billing", "score": 0.8}, {"label": "account", "score": 0.2}])
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def smoke(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with function("smoke") as module:
        monkeypatch.setattr(module.endpoint, "PAUSE_SECONDS", 0.05)
        monkeypatch.setattr(module.endpoint.queue, "PAUSE_SECONDS", 0.05)
        yield module


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where CloudFormation waits for the answer, and what it was told."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.headers["content-type"] == ""
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serve(server)
    yield f"http://127.0.0.1:{server.server_port}/answer?signed", heard
    server.shutdown()


@pytest.fixture
def run(
    smoke: ModuleType,
    sagemaker: SageMaker,
    told: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Runs the test on an endpoint in service; returns what CloudFormation is told."""
    sagemaker.operations["DescribeEndpoint"] = endpoint()
    url, heard = told

    def send(
        request: str = "Create",
        stack_status: str = "UPDATE_IN_PROGRESS",
        seconds: float = 17,
        task: str = "text-classification",
        **more: str,
    ) -> dict[str, Any]:
        event = {
            "RequestType": request,
            "ResponseURL": url,
            "StackId": "arn:stack",
            "RequestId": "request",
            "LogicalResourceId": "TicketsSmokeTest",
            "ResourceProperties": {
                "EndpointName": "lectern-test-tickets",
                "EndpointConfigName": "config-2",
                "Task": task,
                "StackName": "lectern-test-inference",
                **more,
            },
        }
        with CloudFormation(stack_status, "") as cloudformation:
            monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation.url)
            smoke.handler(event, Context(seconds))
        [answer] = heard
        assert answer["PhysicalResourceId"] == "lectern-test-tickets"
        assert (answer["StackId"], answer["RequestId"]) == ("arn:stack", "request")
        assert answer["LogicalResourceId"] == "TicketsSmokeTest"
        assert len(json.dumps(answer)) < 4096
        return answer

    return send


def endpoint(
    status: str = "InService", config: str = "config-2", **more: str
) -> Callable[[dict[str, Any]], Any]:
    return lambda asked: {
        "EndpointName": asked["EndpointName"],
        "EndpointConfigName": config,
        "EndpointStatus": status,
        **more,
    }


def test_a_good_answer_passes(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.invoke = GOOD
    assert run()["Status"] == "SUCCESS"
    [asked] = sagemaker.invocations
    assert asked["endpoint"] == "lectern-test-tickets"
    assert asked["headers"]["content-type"] == asked["headers"]["accept"] == "application/json"


@pytest.mark.parametrize(
    ("reason", "invoke"),
    [
        (
            "the weights lack",
            model_error(
                json.dumps(
                    {
                        "code": "model_not_loaded",
                        "fault": "server",
                        "message": "the weights lack classifier.weight",
                    }
                )
            ),
        ),
        ("No such file", model_error("[Errno 2] No such file or directory")),
        ("Worker died", model_error("Worker died.", original_status=500)),
        ("not JSON", lambda _: (200, {}, b"<html>")),
        ("shape", answers([])),
        ("shape", answers({"label": "a", "score": 1.0})),
        ("shape", answers([{"label": 1, "score": 0.5}])),
        ("not finite", lambda _: (200, {}, b'[{"label": "a", "score": NaN}]')),
        ("could not be invoked", refuses("ValidationError", "no")),
    ],
)
def test_a_bad_endpoint_fails_the_deployment_with_its_own_reason(
    run: Run, sagemaker: SageMaker, reason: str, invoke: Any
) -> None:
    sagemaker.invoke = invoke
    answer = run()
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("smoke test of lectern-test-tickets: ")
    assert reason in answer["Reason"]


RIGHT = {
    "sentiment-analysis": [{"label": "POSITIVE", "score": 1}],
    "zero-shot-classification": {"sequence": "x", "labels": ["a", "b"], "scores": [0.8, 0.2]},
    "token-classification": [{"entity": "PER", "score": 0.9, "index": 1, "word": "ada", "start": 0, "end": 3}],
    "question-answering": {"score": 0.4, "start": 0, "end": 9, "answer": "a day early"},
    "table-question-answering": {"answer": "2", "coordinates": [[0, 1]], "cells": ["2"], "aggregator": "NONE"},
    "fill-mask": [{"score": 0.1, "token": 7, "token_str": "day", "sequence": "a day"}],
    "feature-extraction": [[[0.1, -0.2], [0.3, 0.4]]],
    "summarization": [{"summary_text": "it came"}],
    "translation": [{"translation_text": "es kam"}],
    "translation_en_to_de": [{"translation_text": "es kam"}],
    "text2text-generation": [{"generated_text": "it came"}],
    "text-generation": [{"generated_text": ""}],
}  # fmt: skip
# Each is JSON, and none is what any task answers.
WRONG = [{"label": "a", "score": 1.0}, [{"label": "a"}], [7], [[[]]], [["x"]], "done", None, {}]


@pytest.mark.parametrize("task", RIGHT)
def test_each_task_is_asked_a_question_of_its_own_and_its_answers_form_is_known(
    run: Run, sagemaker: SageMaker, smoke: ModuleType, task: str
) -> None:
    sagemaker.invoke = answers(RIGHT[task])
    assert run(task=task)["Status"] == "SUCCESS"
    [asked] = sagemaker.invocations
    assert "inputs" in json.loads(asked["body"])
    for answer in WRONG:
        told = smoke.endpoint.samples.complaint(task, json.dumps(answer))
        assert f"shape of {task}" in (told or "nothing"), answer


def test_an_entity_need_not_be_found(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.invoke = answers([])
    assert run(task="token-classification")["Status"] == "SUCCESS"


REFUSES_THE_MASK = model_error(
    json.dumps({"code": "invalid_input", "fault": "client", "message": "inputs has no <mask>"})
)


def test_the_mask_is_written_as_another_model_has_it_when_the_first_is_refused(
    run: Run, sagemaker: SageMaker
) -> None:
    script = [REFUSES_THE_MASK, answers(RIGHT["fill-mask"])]
    sagemaker.invoke = lambda call: script.pop(0)(call)
    assert run(task="fill-mask")["Status"] == "SUCCESS"
    first, second = (json.loads(call["body"])["inputs"] for call in sagemaker.invocations)
    assert ("[MASK]" in first, "<mask>" in second) == (True, True)


def test_a_model_that_refuses_every_sample_fails_with_its_reason(
    run: Run, sagemaker: SageMaker
) -> None:
    sagemaker.invoke = REFUSES_THE_MASK
    answer = run(task="fill-mask")
    assert answer["Status"] == "FAILED"
    assert "inputs has no <mask>" in answer["Reason"]


def test_a_broken_model_is_asked_once(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.invoke = model_error(
        json.dumps({"code": "model_not_loaded", "fault": "server", "message": "no weights"})
    )
    assert "no weights" in run(task="fill-mask")["Reason"]
    assert len(sagemaker.invocations) == 1


def test_a_long_reason_is_trimmed_to_what_cloudformation_takes(
    run: Run, sagemaker: SageMaker
) -> None:
    sagemaker.invoke = model_error("cannot load\nTraceback:\n    ^^^^\n" * 1_000)
    answer = run()
    assert answer["Status"] == "FAILED"
    assert "cannot load Traceback: ^^^^ cannot load" in answer["Reason"]


def test_an_endpoint_that_wakes_up_in_time_passes(run: Run, sagemaker: SageMaker) -> None:
    script = [
        refuses("ModelNotReadyException", status=429),
        refuses("ThrottlingException"),
        model_error("", original_status=503),
        GOOD,
    ]
    sagemaker.invoke = lambda call: script.pop(0)(call)
    assert run()["Status"] == "SUCCESS"
    assert len(sagemaker.invocations) == 4


def test_an_endpoint_that_never_wakes_up_fails_before_the_function_ends(
    run: Run, sagemaker: SageMaker
) -> None:
    sagemaker.invoke = refuses("ModelNotReadyException", "still loading", status=429)
    answer = run(seconds=15.5)
    assert answer["Status"] == "FAILED"
    assert "still loading" in answer["Reason"]


def test_an_update_that_was_silently_undone_fails(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.invoke = GOOD
    sagemaker.operations["DescribeEndpoint"] = endpoint(
        config="config-1", FailureReason="the ping health check failed"
    )
    answer = run("Update")
    assert answer["Status"] == "FAILED"
    assert "config-1, not config-2" in answer["Reason"]
    assert "the ping health check failed" in answer["Reason"]
    assert sagemaker.invocations == []


def test_an_endpoint_that_is_still_updating_is_waited_for(run: Run, sagemaker: SageMaker) -> None:
    states = ["Updating", "SystemUpdating", "InService"]
    sagemaker.operations["DescribeEndpoint"] = lambda asked: endpoint(states.pop(0))(asked)
    sagemaker.invoke = GOOD
    assert run()["Status"] == "SUCCESS"


def test_a_failed_endpoint_fails_with_sagemakers_reason(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.operations["DescribeEndpoint"] = endpoint("Failed", FailureReason="no model.tar.gz")
    assert "no model.tar.gz" in run()["Reason"]


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_a_rollback_is_never_blocked(run: Run, sagemaker: SageMaker, status: str) -> None:
    sagemaker.operations["DescribeEndpoint"] = endpoint("Failed")
    assert run("Update", stack_status=status)["Status"] == "SUCCESS"
    assert sagemaker.invocations == []


def test_a_deletion_is_never_blocked(run: Run, sagemaker: SageMaker) -> None:
    sagemaker.operations.clear()
    assert run("Delete", stack_status="DELETE_IN_PROGRESS")["Status"] == "SUCCESS"


def test_an_unexpected_fault_is_answered_too(run: Run, sagemaker: SageMaker) -> None:
    def refuse(_: Any) -> Any:
        raise Refusal("AccessDeniedException", "not authorized to perform: DescribeEndpoint")

    sagemaker.operations["DescribeEndpoint"] = refuse
    answer = run()
    assert answer["Status"] == "FAILED"
    assert "not authorized" in answer["Reason"]


BUCKET = "lectern-test-smoke"
SAMPLES = f"s3://{BUCKET}/results/smoke"


@pytest.fixture
def s3(aws: Callable[[str], Any]) -> Any:
    client = aws("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def test_an_async_endpoint_is_asked_through_its_queue(
    run: Run, sagemaker: SageMaker, s3: Any
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, GOOD)
    assert run(Samples=SAMPLES)["Status"] == "SUCCESS"
    [asked] = sagemaker.invocations
    assert asked["action"] == "async-invocations"
    assert asked["headers"]["x-amzn-sagemaker-inputlocation"].startswith(f"{SAMPLES}/")
    assert "inputs" in json.loads(asked["body"])


@pytest.mark.parametrize(
    ("reason", "invoke"),
    [
        ("the weights lack", model_error("the weights lack classifier.weight")),
        ("shape", answers({"label": "a", "score": 1.0})),
        ("time to wait is over", None),
    ],
)
def test_a_bad_async_endpoint_fails_the_deployment_with_its_own_reason(
    run: Run, sagemaker: SageMaker, s3: Any, reason: str, invoke: Any
) -> None:
    sagemaker.invoke = queues(s3, BUCKET, invoke)
    answer = run(seconds=15.5, Samples=SAMPLES)
    assert answer["Status"] == "FAILED"
    assert reason in answer["Reason"]


def test_an_async_endpoint_that_takes_nothing_fails(
    run: Run, sagemaker: SageMaker, s3: Any
) -> None:
    sagemaker.invoke = refuses("ValidationError", "is not asynchronous")
    assert "is not asynchronous" in run(Samples=SAMPLES)["Reason"]


def test_an_async_models_mask_is_written_another_way_when_the_first_is_refused(
    run: Run, sagemaker: SageMaker, s3: Any
) -> None:
    script = [REFUSES_THE_MASK, answers(RIGHT["fill-mask"])]
    sagemaker.invoke = queues(s3, BUCKET, lambda call: script.pop(0)(call))
    assert run(task="fill-mask", Samples=SAMPLES)["Status"] == "SUCCESS"
