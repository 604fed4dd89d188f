"""Asks an endpoint for a prediction."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import accepted
import aws
import faults
import fields
import models
import requested
from exchange import JSON, Request
from exchange import Answer as HttpAnswer
from observed import traced
from problems import Problem
from requested import Prediction

# A Lambda answer ends at 6 MB as JSON, in which every quote of the body costs a second byte.
LARGEST_ANSWER_BYTES = 5_000_000


@dataclass(frozen=True)
class Answer:
    """What the endpoint said, and which version said it."""

    body: str
    version: str
    truncated: int
    """How many of the texts were longer than the model reads, and lost their end."""


def prepare() -> None:
    """Load what the first prediction would load."""
    aws.ssm()
    aws.runtime()
    fields.load()


def answer(model: models.Model, request: Request) -> HttpAnswer:
    """Answer a request for predictions, in the shapes of the toolkit."""
    asked = requested.prediction(request, task=model.task, kind=model.kind)
    if model.kind == "async" or request.prefers_async():
        import results

        return results.start(model, asked, request)
    found = predict(model, asked, request.request_id)
    return said(found, accept=asked.accept, inputs=asked.inputs, model=model.name, task=model.task)


def said(found: Answer, *, accept: str, inputs: int, model: str, task: str) -> HttpAnswer:
    """The answer over HTTP, in the form that was asked for."""
    body = found.body
    if accept == accepted.ROWS:
        import csv_answers

        body = csv_answers.write(json.loads(body), task=task, inputs=inputs)
    return HttpAnswer(body, content_type=accept, headers=headers_of(found), model=model)


def headers_of(found: Answer) -> dict[str, str]:
    """What the answer's headers say beside its body."""
    headers = {"x-lectern-model-version": found.version}
    if found.truncated:
        headers["x-lectern-truncated"] = str(found.truncated)
    return headers


def predict(model: models.Model, asked: Prediction, request_id: str) -> Answer:
    """Invoke the model's endpoint once; raises a problem for every fault it can have."""
    endpoint = models.endpoint(model)
    if model.kind == "async":
        raise Problem(
            "not-deployed",
            f"{model.name} answers later only (endpoint.kind is async): "
            f"POST to /v1/models/{model.name}",
        )
    version = str(models.record(model)["version"])
    try:
        with traced("invoke endpoint", model=model.name):
            response = aws.runtime().invoke_endpoint(
                EndpointName=endpoint,
                ContentType=JSON,
                Accept=asked.asks_for,
                # Which the container writes to its log.
                CustomAttributes=f"lectern-request={request_id}",
                Body=asked.body,
            )
            body: bytes = response["Body"].read()
    except faults.INVOCATION_ERRORS as error:
        models.forget(model)
        problem = faults.problem_of_invocation(error, model.name)
        if problem is None:
            raise
        raise problem from error
    check_size(len(body), model.name)
    return Answer(body=body.decode("utf-8"), version=version, truncated=_truncated(response))


def check_size(size: int, model: str) -> None:
    """Raise a problem for an answer that does not fit into one of Lambda's."""
    if size > LARGEST_ANSWER_BYTES:
        raise Problem(
            "model-fault",
            f"the answer of {model} is larger than {LARGEST_ANSWER_BYTES} bytes: "
            "ask with fewer inputs at once",
        )


def _truncated(response: dict[str, Any]) -> int:
    # The one header that a container can set, and what the serving code writes into it.
    found = re.search(r"\blectern-truncated=(\d{1,9})\b", response.get("CustomAttributes", ""))
    return int(found[1]) if found else 0
