"""Invokes an endpoint with a sample and judges the answer."""

from __future__ import annotations

import json
import re
import time
from functools import cache
from typing import Any, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

import queue_samples as queue
import samples

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time

WAKING = {
    "ModelNotReadyException",
    "Throttling",
    "ThrottlingException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalDependencyException",
}
PAUSE_SECONDS = 2
# A container that answers 5xx may still be starting its workers; one that keeps on is broken.
MOST_CONTAINER_FAULTS = 5


class SmokeTestError(Exception):
    """The endpoint must not serve; the text says why."""


class RefusedSampleError(SmokeTestError):
    """The model's handler calls the sample a bad request."""


@cache
def runtime() -> Client:
    """Invokes the endpoint."""
    return boto3.client(
        "sagemaker-runtime",
        config=Config(connect_timeout=5, read_timeout=65, retries={"total_max_attempts": 1}),
    )


@cache
def sagemaker() -> Client:
    """Describes the endpoint."""
    return boto3.client("sagemaker")


@cache
def cloudformation() -> Client:
    """Describes the stack that waits for the answer."""
    return boto3.client("cloudformation")


def is_rolling_back(stack_name: str) -> bool:
    """Whether the stack is undoing its last change."""
    [stack] = cloudformation().describe_stacks(StackName=stack_name)["Stacks"]
    return "ROLLBACK" in stack["StackStatus"]


def prove(
    *, name: str, config_name: str, task: str, inputs: str | None, seconds_left: float
) -> None:
    """Wait until the endpoint answers a sample of its task well; raises SmokeTestError.

    `inputs` is the S3 URI below which an asynchronous endpoint finds its samples.
    """
    deadline = time.monotonic() + seconds_left
    _wait_until_in_service(name, config_name, deadline)
    if complaint := samples.complaint(task, _answer(name, task, inputs, deadline)):
        raise SmokeTestError(complaint)


def _answer(name: str, task: str, inputs: str | None, deadline: float) -> str:
    """The answer to the first request that the model does not refuse as a bad one."""
    *first, last = samples.requests(task)
    for request in first:
        try:
            return _ask(name, request, inputs, deadline)
        except RefusedSampleError:
            continue
    return _ask(name, last, inputs, deadline)


def _ask(name: str, request: bytes, inputs: str | None, deadline: float) -> str:
    if inputs is None:
        return _invoke(name, request, deadline)
    seconds = deadline - time.monotonic()
    try:
        return queue.answer(name, request, inputs, seconds_left=seconds)
    except queue.NoAnswerError as error:
        words = str(error)
        kind = RefusedSampleError if _is_refusal(words) else SmokeTestError
        raise kind(words) from error


def _wait_until_in_service(name: str, config_name: str, deadline: float) -> None:
    while True:
        described = sagemaker().describe_endpoint(EndpointName=name)
        status = described["EndpointStatus"]
        if status == "InService":
            break
        if status in ("Failed", "OutOfService", "UpdateRollbackFailed"):
            raise SmokeTestError(f"it is {status}: {described.get('FailureReason', 'no reason')}")
        _pause(deadline, f"it is still {status}")
    if described["EndpointConfigName"] != config_name:
        raise SmokeTestError(
            f"it serves endpoint config {described['EndpointConfigName']}, not {config_name}: "
            f"its update was undone ({described.get('FailureReason', 'no reason given')})"
        )


def _invoke(name: str, request: bytes, deadline: float) -> str:
    container_faults = 0
    while True:
        try:
            answer = runtime().invoke_endpoint(
                EndpointName=name,
                ContentType="application/json",
                Accept="application/json",
                Body=request,
            )
            body: bytes = answer["Body"].read()
            return body.decode("utf-8", errors="replace")
        except ClientError as error:
            response: Any = error.response
            reason = _reason(response)
            if response["Error"]["Code"] == "ModelError":
                container_faults += 1
                if (
                    response.get("OriginalStatusCode", 0) < 500
                    or container_faults == MOST_CONTAINER_FAULTS
                ):
                    words = str(response.get("OriginalMessage"))
                    kind = RefusedSampleError if _is_refusal(words) else SmokeTestError
                    raise kind(f"it answered: {reason}") from error
            elif response["Error"]["Code"] not in WAKING:
                raise SmokeTestError(f"it could not be invoked: {reason}") from error
        except (ConnectionError, HTTPClientError) as error:
            reason = str(error)
        _pause(deadline, f"it gave no answer: {reason}")


def _pause(deadline: float, reason: str) -> None:
    if time.monotonic() + PAUSE_SECONDS > deadline:
        raise SmokeTestError(f"{reason}, and the time to wait is over")
    time.sleep(PAUSE_SECONDS)


def _is_refusal(words: str) -> bool:
    # The handler's fault stands, escaped, inside of the container's own JSON.
    return re.search(r"\bfault\W+client\b", words) is not None


def _reason(response: dict[str, Any]) -> str:
    original = response.get("OriginalMessage") or response["Error"].get("Message", "")
    return _innermost(str(original))


def _innermost(message: str) -> str:
    """The text at the heart of the container's nested JSON messages."""
    try:
        found = json.loads(message)
    except ValueError:
        return message
    inner = found.get("message") if isinstance(found, dict) else None
    return _innermost(inner) if isinstance(inner, str) else message
