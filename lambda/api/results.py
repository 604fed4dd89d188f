"""Answers that are not waited for: asked now, fetched later under an id that nobody can guess.

A call's folder in the data bucket holds its input, its record and, where the function `later`
asked, its outcome. Of an async endpoint, SageMaker writes the answer or the failure elsewhere, and
the record says where.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

import aws
import faults
import models
import predictions
from exchange import JSON, Answer, Request
from problems import Problem
from requested import Prediction

RESULT_ID = re.compile(r"[0-9]{14}-[A-Za-z0-9_-]{32}")
# How long a request may wait in an endpoint's queue: what SageMaker takes when nothing is said.
QUEUE_SECONDS = 21_600
# How long Lambda may hold the event of a call, and how long the function `later` may run.
LATER_SECONDS = 900 + 900
POLL_SECONDS = 1
# S3 says 403 for a missing object to whoever may not list the bucket.
MISSING = {"404", "403", "NoSuchKey", "AccessDenied"}


def start(model: models.Model, asked: Prediction, request: Request) -> Answer:
    """Ask the model without waiting; raises a problem when nothing can take the request."""
    endpoint, record = models.endpoint(model), models.record(model)
    result_id = f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_urlsafe(24)}"
    folder = _folder(request, result_id)
    bucket = os.environ["DATA_BUCKET"]
    key = f"{folder}/input.json"
    aws.s3().put_object(Bucket=bucket, Key=key, Body=asked.body, ContentType=JSON)
    call = {
        "model": model.name,
        "task": model.task,
        "accept": asked.accept,
        "inputs": asked.inputs,
        "version": str(record["version"]),
        "request_id": request.request_id,
    }
    if model.kind == "async":
        seconds = int(record.get("timeout_seconds", 900))
        call |= _queue(
            model,
            asked,
            EndpointName=endpoint,
            InputLocation=f"s3://{bucket}/{key}",
            InferenceId=result_id,
            InvocationTimeoutSeconds=seconds,
            # Which the container writes to its log.
            CustomAttributes=f"lectern-request={request.request_id}",
        )
        _write(f"{folder}/record.json", call | {"until": time.time() + QUEUE_SECONDS + seconds})
    else:
        _write(f"{folder}/record.json", call | {"until": time.time() + LATER_SECONDS})
        aws.functions().invoke(
            FunctionName=os.environ["LATER_FUNCTION"],
            InvocationType="Event",
            Payload=json.dumps({"folder": folder, **call}).encode(),
        )
    # Relative, so that it holds behind a stage's path and a custom domain alike.
    headers = {"Location": f"../results/{result_id}"}
    if request.prefers_async():
        headers["Preference-Applied"] = "respond-async"
    return _in_progress(result_id, model.name, headers)


def find(request: Request) -> Answer:
    """The prediction, the problem that the call ended with, or word that it still runs."""
    result_id = request.path_parameters["result"]
    if not RESULT_ID.fullmatch(result_id):
        raise _unknown(result_id)
    folder = _folder(request, result_id)
    found = _read(f"{folder}/record.json")
    if found is None:
        raise _unknown(result_id)
    record = json.loads(found)
    answer = _queued_answer(record) if "output" in record else _later_answer(folder, record)
    if answer is not None:
        return answer
    if time.time() > record["until"]:
        raise Problem("endpoint-timeout", f"{record['model']} did not answer in time")
    return _in_progress(result_id, record["model"], {})


def write_outcome(folder: str, outcome: predictions.Answer | Problem) -> None:
    """Keep what came of a call."""
    if isinstance(outcome, Problem):
        told: dict[str, Any] = {
            "kind": outcome.kind,
            "detail": outcome.detail,
            "errors": outcome.errors,
            "more": dict(outcome.more),
        }
        _write(f"{folder}/outcome.json", {"problem": told})
        return
    answer = {"body": outcome.body, "version": outcome.version, "truncated": outcome.truncated}
    _write(f"{folder}/outcome.json", {"answer": answer})


def _queue(model: models.Model, asked: Prediction, **call: str | int) -> dict[str, str]:
    """Put the request into the endpoint's queue; where its answer or its failure will lie."""
    try:
        taken = aws.runtime().invoke_endpoint_async(ContentType=JSON, Accept=asked.asks_for, **call)
    except faults.INVOCATION_ERRORS as error:
        models.forget(model)
        problem = faults.problem_of_invocation(error, model.name)
        if problem is None:
            raise
        raise problem from error
    return {"output": taken["OutputLocation"], "failure": taken["FailureLocation"]}


def _queued_answer(record: dict[str, Any]) -> Answer | None:
    model = record["model"]
    body = _read(_key(record["output"]), answer_of=model)
    if body is not None:
        # A container's own header is not in S3, so nothing is known of shortened texts.
        found = predictions.Answer(body.decode("utf-8"), record["version"], truncated=0)
        return _said(found, record)
    words = _read(_key(record["failure"]))
    if words is None:
        return None
    raise _final(faults.problem_of_failure(words.decode("utf-8", "replace"), model))


def _later_answer(folder: str, record: dict[str, Any]) -> Answer | None:
    found = _read(f"{folder}/outcome.json")
    if found is None:
        return None
    outcome = json.loads(found)
    if "problem" in outcome:
        problem = outcome["problem"]
        raise Problem(
            problem["kind"], problem["detail"], errors=problem["errors"], more=problem["more"]
        )
    answer = predictions.Answer(**outcome["answer"])
    return _said(answer, record)


def _said(found: predictions.Answer, record: dict[str, Any]) -> Answer:
    return predictions.said(
        found,
        accept=record["accept"],
        model=record["model"],
        # A call of before these were kept asked for no rows, which alone need them.
        inputs=record.get("inputs", 1),
        task=record.get("task", ""),
    )


def _final(problem: Problem) -> Problem:
    """The same without word of when to try again: what a call has ended with stays."""
    problem.retry_after_seconds = None
    return problem


def _in_progress(result_id: str, model: str, headers: dict[str, str]) -> Answer:
    document = {
        "id": result_id,
        "model": model,
        "state": "InProgress",
        "result": f"/v1/results/{result_id}",
    }
    headers = {"Retry-After": str(POLL_SECONDS), **headers}
    return Answer(document, status=202, headers=headers, model=model)


def _folder(request: Request, result_id: str) -> str:
    owner = "all"
    if os.environ.get("TENANCY") == "on":
        owner = hashlib.sha256(request.caller.encode()).hexdigest()[:32]
    return f"results/{owner}/{result_id}"


def _read(key: str, *, answer_of: str | None = None) -> bytes | None:
    """The object's bytes, or None when there is none; of a model's answer only what fits."""
    try:
        found = aws.s3().get_object(Bucket=os.environ["DATA_BUCKET"], Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise
    if answer_of is not None:
        predictions.check_size(found["ContentLength"], answer_of)
    body: bytes = found["Body"].read()
    return body


def _write(key: str, document: dict[str, Any]) -> None:
    aws.s3().put_object(
        Bucket=os.environ["DATA_BUCKET"],
        Key=key,
        Body=json.dumps(document).encode(),
        ContentType=JSON,
    )


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _unknown(result_id: str) -> Problem:
    return Problem("unknown-result", f"there is no result {result_id[:63]!r}")
