"""The AWS clients of the function, each built once and only when a route needs it."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, TypeAlias

import boto3
from botocore.config import Config

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time


@cache
def runtime() -> Client:
    """Invokes endpoints. A retry would run the inference again, so there is none."""
    read_timeout_seconds = float(os.environ["READ_TIMEOUT_SECONDS"])
    return boto3.client(
        "sagemaker-runtime",
        config=Config(
            connect_timeout=2,
            read_timeout=read_timeout_seconds,
            retries={"total_max_attempts": 1},
        ),
    )


@cache
def sagemaker() -> Client:
    """Describes endpoints."""
    return boto3.client("sagemaker", config=_brief())


@cache
def ssm() -> Client:
    """Reads the records of what serves."""
    return boto3.client("ssm", config=_brief())


@cache
def stepfunctions() -> Client:
    """Starts, describes and stops the executions of batches."""
    return boto3.client("stepfunctions", config=_brief())


@cache
def dynamodb() -> Client:
    """Reads and writes the records of batches."""
    return boto3.client("dynamodb", config=_brief())


@cache
def functions() -> Client:
    """Invokes the function that asks later."""
    return boto3.client("lambda", config=_brief())


@cache
def s3() -> Client:
    """Holds the lines and results of batches; objects under a KMS key need SigV4 in signed URLs."""
    return boto3.client("s3", config=_brief(signature_version="s3v4"))


def _brief(signature_version: str = "v4") -> Config:
    return Config(
        connect_timeout=2,
        read_timeout=8,
        retries={"total_max_attempts": 3, "mode": "standard"},
        signature_version=signature_version,
    )
