"""Turns what SageMaker answers into problems: whose fault it is, and whether to try again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
)

from problems import Problem

INVOCATION_ERRORS = (ClientError, ConnectionError, HTTPClientError)
THROTTLES = {
    "ModelNotReadyException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
}
UNAVAILABLE = {
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalDependencyException",
}
# What AWS answers before a container has seen the request.
NEVER_BEGAN = THROTTLES | {"ServiceUnavailable", "ServiceUnavailableException"}
LONGEST_MESSAGE = 500
# What the handler refuses for another reason than the input itself.
REFUSALS = {
    "unsupported_content_type": "unsupported-content-type",
    "not_acceptable": "not-acceptable",
}


def problem_of_invocation(
    error: ClientError | ConnectionError | HTTPClientError, model: str
) -> Problem | None:
    """The problem to answer for a failed InvokeEndpoint; None when it is not the endpoint's."""
    if isinstance(error, ReadTimeoutError):
        return _timeout(model)
    if isinstance(error, ClientError):
        return _problem_of_client_error(error, model)
    return _unavailable(model)


def problem_of_failure(words: str, model: str) -> Problem:
    """The problem that a failed asynchronous invocation ended with, from what SageMaker wrote."""
    status = re.search(r"Received (?:client|server) error \((\d{1,3})\)", words)
    original = {
        "OriginalStatusCode": int(status[1]) if status else None,
        "OriginalMessage": words,
    }
    return _problem_of_model_error(original, model)


def never_began(error: BaseException | None) -> bool:
    """Whether no container can have seen the request that failed with `error`."""
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        message = error.response["Error"].get("Message", "")
        return code in NEVER_BEGAN or _is_not_in_service(code, message)
    return isinstance(error, EndpointConnectionError | ConnectTimeoutError)


def is_throttle(error: ClientError) -> bool:
    """Whether AWS asked to come back later."""
    return error.response["Error"]["Code"] in THROTTLES


def busy() -> Problem:
    """The answer to a throttle outside of an invocation."""
    return Problem("busy", "too many requests at once", retry_after_seconds=2)


def handler_fault(original_message: str) -> dict[str, Any] | None:
    """The fault object of our inference code inside a container's message, if there is one.

    The inference toolkit wraps the exception's text into the `message` of its own JSON object.
    """
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"\{", original_message)):
        try:
            found, _ = decoder.raw_decode(original_message, start)
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict):
            continue
        if found.get("fault") in ("client", "server") and "code" in found:
            return found
        if isinstance(found.get("message"), str):
            return handler_fault(found["message"])
    return None


def _problem_of_client_error(error: ClientError, model: str) -> Problem | None:
    code = error.response["Error"]["Code"]
    message = error.response["Error"].get("Message", "")
    if code == "ModelError":
        return _problem_of_model_error(error.response, model)
    if code in THROTTLES:
        return Problem(
            "busy",
            f"{model} takes no more requests at the moment, or is waking up",
            retry_after_seconds=5,
        )
    if code in UNAVAILABLE:
        return _unavailable(model)
    if _is_not_in_service(code, message):
        return _unavailable(model)
    if code in ("ValidationError", "ValidationException"):
        return Problem("model-fault", f"the endpoint of {model} refused the request")
    return None


def _is_not_in_service(code: str, message: str) -> bool:
    return code in ("ValidationError", "ValidationException") and bool(
        re.search(r"not found|could not find|not in service|InService", message, re.IGNORECASE)
    )


def _problem_of_model_error(response: Mapping[str, Any], model: str) -> Problem:
    if response.get("OriginalStatusCode") == 413:
        return Problem("body-too-large", f"the body is too large for the container of {model}")
    fault = handler_fault(str(response.get("OriginalMessage", "")))
    if fault is not None and fault["fault"] == "client":
        return Problem(
            REFUSALS.get(fault["code"], "invalid-input"),
            str(fault.get("message", ""))[:LONGEST_MESSAGE],
            more={name: fault[name] for name in ("code", "field", "allowed") if name in fault},
        )
    if response.get("OriginalStatusCode") == 0:
        # SageMaker's own word for a container that took longer than an invocation may.
        return _timeout(model)
    return Problem("model-fault", f"{model} could not answer; its log has the reason")


def _timeout(model: str) -> Problem:
    return Problem(
        "endpoint-timeout",
        f"{model} did not answer in time: it may be waking up, or the input is too long",
        retry_after_seconds=10,
    )


def _unavailable(model: str) -> Problem:
    return Problem(
        "endpoint-unavailable",
        f"the endpoint of {model} is not available at the moment",
        retry_after_seconds=30,
    )
