"""Puts a sample into the queue of an asynchronous endpoint and waits for what comes of it."""

from __future__ import annotations

import time
import uuid
from functools import cache
from typing import Any, TypeAlias

import boto3
from botocore.exceptions import ClientError

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time

PAUSE_SECONDS = 1
# S3 says 403 for a missing object to whoever may not list the bucket.
MISSING = {"404", "403", "NoSuchKey", "AccessDenied"}


class NoAnswerError(Exception):
    """Nothing, or a failure, came of the sample; the text says why."""


@cache
def runtime() -> Client:
    """Invokes the endpoint."""
    return boto3.client("sagemaker-runtime")


@cache
def s3() -> Client:
    """Holds the sample, and what came of it."""
    return boto3.client("s3")


def answer(name: str, request: bytes, inputs: str, *, seconds_left: float) -> str:
    """What the endpoint answers to the request; raises NoAnswerError."""
    deadline = time.monotonic() + seconds_left
    uri = f"{inputs}/{uuid.uuid4().hex}/input.json"
    bucket, key = _place(uri)
    s3().put_object(Bucket=bucket, Key=key, Body=request, ContentType="application/json")
    try:
        taken = runtime().invoke_endpoint_async(
            EndpointName=name,
            ContentType="application/json",
            Accept="application/json",
            InputLocation=uri,
        )
    except ClientError as error:
        reason = error.response["Error"].get("Message", "")
        raise NoAnswerError(f"it could not be invoked: {reason}") from error
    while True:
        if (found := _read(taken["OutputLocation"])) is not None:
            return found
        if (failure := _read(taken["FailureLocation"])) is not None:
            raise NoAnswerError(f"it answered: {failure}")
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise NoAnswerError("it gave no answer, and the time to wait is over")
        time.sleep(PAUSE_SECONDS)


def _read(uri: str) -> str | None:
    bucket, key = _place(uri)
    try:
        body: bytes = s3().get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in MISSING:
            return None
        raise
    return body.decode("utf-8", errors="replace")


def _place(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
