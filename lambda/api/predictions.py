"""Asks an endpoint for a prediction."""

from __future__ import annotations

from dataclasses import dataclass

import aws
import faults
import models
from problems import Problem
from requested import Prediction

# A Lambda answer ends at 6 MB as JSON, in which every quote of the body costs a second byte.
LARGEST_ANSWER_BYTES = 5_000_000


@dataclass(frozen=True)
class Answer:
    """What the endpoint said, and which version said it."""

    body: str
    version: str


def predict(model: models.Model, asked: Prediction) -> Answer:
    """Invoke the model's endpoint once; raises a problem for every fault it can have."""
    endpoint = models.endpoint(model)
    version = str(models.record(model)["version"])
    try:
        response = aws.runtime().invoke_endpoint(
            EndpointName=endpoint,
            ContentType=asked.content_type,
            Accept=asked.accept,
            Body=asked.body,
        )
        body: bytes = response["Body"].read()
    except faults.INVOCATION_ERRORS as error:
        models.forget(model)
        problem = faults.problem_of_invocation(error, model.name)
        if problem is None:
            raise
        raise problem from error
    if len(body) > LARGEST_ANSWER_BYTES:
        raise Problem(
            "model-fault",
            f"the answer of {model.name} is larger than {LARGEST_ANSWER_BYTES} bytes: "
            "ask with fewer inputs at once",
        )
    return Answer(body=body.decode("utf-8"), version=version)
