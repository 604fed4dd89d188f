"""SageMaker over HTTP: JSON 1.1 for the control plane, the runtime's path for invocations."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from local.ministack import Handler, Response
from local.sagemaker.errors import SageMakerError, UnknownOperationException
from local.sagemaker.service import SageMaker

CONTROL_TYPE = "application/x-amz-json-1.1"
# As many invocations as an endpoint's queue may hold, away from the control plane's threads.
CONCURRENT_INVOCATIONS = 100


def handler(sagemaker: SageMaker) -> Handler:
    """Answer requests signed for SageMaker; its calls may block, so each has a thread."""
    invocations = ThreadPoolExecutor(CONCURRENT_INVOCATIONS, thread_name_prefix="invocation")

    async def handle(
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, list[str]],
    ) -> Response:
        if path.startswith("/endpoints/"):
            return await _on(invocations, _invoke, sagemaker, path, headers, body)
        return await asyncio.to_thread(_call, sagemaker, headers, body)

    return handle


async def _on(
    pool: ThreadPoolExecutor, work: Callable[..., Response], *arguments: object
) -> Response:
    # The request's account and region travel in context variables.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, context.run, work, *arguments)


def _call(sagemaker: SageMaker, headers: Mapping[str, str], body: bytes) -> Response:
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        answer = sagemaker.call(operation, _without_nulls(json.loads(body or b"{}")))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        return _error("SerializationException", "the body is not JSON", 400, CONTROL_TYPE, {})
    except SageMakerError as error:
        return _error(error.code, error.message, error.status, CONTROL_TYPE, error.extra)
    return 200, {"Content-Type": CONTROL_TYPE}, json.dumps(answer, default=_epoch).encode()


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    """JSON 1.1 knows no null: a member that has none as its value is not given."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _invoke(sagemaker: SageMaker, path: str, headers: Mapping[str, str], body: bytes) -> Response:
    _, _, name, action = (*path.split("/", 3), "")[:4]
    try:
        if action == "invocations":
            answer = sagemaker.invoke(unquote(name), body, headers)
        elif action == "async-invocations":
            answer = sagemaker.invoke_async(unquote(name), body, headers)
        else:
            raise UnknownOperationException(
                f"{action}: only POST /endpoints/NAME/invocations and "
                "/endpoints/NAME/async-invocations are answered here"
            )
    except SageMakerError as error:
        return _error(error.code, error.message, error.status, "application/json", error.extra)
    return answer.status, dict(answer.headers), answer.body


def _error(
    code: str, message: str, status: int, content_type: str, extra: Mapping[str, object]
) -> Response:
    # The control plane spells it `message`, the runtime's model `Message`.
    name = "message" if content_type == CONTROL_TYPE else "Message"
    document = {"__type": code, name: message, **extra}
    headers = {"Content-Type": content_type, "x-amzn-ErrorType": code}
    return status, headers, json.dumps(document, default=_epoch).encode()


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"an answer holds {value!r}, which JSON cannot carry")
