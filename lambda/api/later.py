"""Asks an endpoint for a prediction that nobody waits for, until it answers or time is over.

Lambda may hand an event over twice, so a call is claimed first: an inference runs once.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any, Protocol

from botocore.exceptions import ClientError

import aws
import faults
import models
import predictions
import results
from observed import count, logger
from problems import Problem
from requested import Prediction

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0
# For writing the outcome.
MARGIN_SECONDS = 5.0
ALREADY_THERE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class Context(Protocol):
    """What the function needs of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still run."""
        ...


def handler(event: dict[str, Any], context: Context) -> None:
    """Work one call off, and keep what came of it, whatever that is."""
    started = time.perf_counter()
    logger.set_correlation_id(event["request_id"])
    folder, name = event["folder"], event["model"]
    if not _is_ours(folder):
        logger.info("claimed before", extra={"model": name})
        return
    seconds_left = context.get_remaining_time_in_millis() / 1000
    deadline = time.monotonic() + seconds_left - MARGIN_SECONDS
    outcome: predictions.Answer | Problem = Problem(
        "model-fault", f"{name} could not answer; its log has the reason"
    )
    try:
        outcome = _answer(event, deadline)
    except Problem as problem:
        outcome = problem
    finally:
        results.write_outcome(folder, outcome)
        seconds = time.perf_counter() - started
        ended = outcome.kind if isinstance(outcome, Problem) else "ok"
        count(model=name, outcome=ended, seconds=seconds)
        milliseconds = round(seconds * 1000, 1)
        logger.info(
            "answered", extra={"model": name, "outcome": ended, "milliseconds": milliseconds}
        )


def _answer(event: dict[str, Any], deadline: float) -> predictions.Answer:
    model = models.find(event["model"])
    key = f"{event['folder']}/input.json"
    found = aws.s3().get_object(Bucket=os.environ["DATA_BUCKET"], Key=key)
    asked = Prediction(body=found["Body"].read(), accept=event["accept"])
    # An attempt is begun only when it can be waited for.
    last = deadline - float(os.environ["READ_TIMEOUT_SECONDS"])
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return predictions.predict(model, asked, event["request_id"])
        except Problem as problem:
            if not faults.never_began(problem.__cause__) or time.monotonic() + pause > last:
                raise
        except ClientError as error:
            if not faults.is_throttle(error):
                raise
            if time.monotonic() + pause > last:
                raise faults.busy() from error
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _is_ours(folder: str) -> bool:
    try:
        aws.s3().put_object(
            Bucket=os.environ["DATA_BUCKET"],
            Key=f"{folder}/claim.json",
            Body=b"{}",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in ALREADY_THERE:
            return False
        raise
    return True
