"""What a Lambda step does: one invocation, and the outputs read from its answer."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.cloud import Cloud
from local.sagemaker.store import Json

_TYPES: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Boolean": (bool,),
    "Float": (float, int),
}


class FunctionFailed(Exception):
    """The function raised, could not be called, or does not give what the step names."""


def call_function(cloud: Cloud, arn: str, payload: Json) -> Json:
    """The function's answer; raises FunctionFailed with the function's own message."""
    try:
        answer = cloud.functions.invoke(FunctionName=arn, Payload=json.dumps(payload).encode())
        body = json.loads(answer["Payload"].read() or b"null")
    except (BotoCoreError, ClientError) as error:
        raise FunctionFailed(f"ClientError: lambda:Invoke {arn}: {error}") from None
    except ValueError as error:
        raise FunctionFailed(f"ClientError: {arn} answered no JSON: {error}") from None
    if answer.get("FunctionError"):
        message = body.get("errorMessage", body) if isinstance(body, dict) else body
        raise FunctionFailed(f"ClientError: Lambda function {arn} failed: {message}")
    return body


def outputs(answer: Json, wanted: dict[str, str]) -> dict[str, Any]:
    """The members of the answer that the step names, each of its type."""
    found = {}
    for name, kind in wanted.items():
        if not isinstance(answer, dict) or name not in answer:
            given = sorted(answer) if isinstance(answer, dict) else type(answer).__name__
            raise FunctionFailed(
                f"ClientError: OutputParameters: the function's answer has no {name!r}, got {given}"
            )
        value = answer[name]
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
            raise FunctionFailed(
                f"ClientError: OutputParameters: {name!r} must be of type {kind}, got {value!r}"
            )
        found[name] = value
    return found
