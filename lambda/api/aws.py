"""The AWS clients of the function, each built once and only when a route needs it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import botocore.session
from botocore.config import Config

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time
# botocore's own description of SSM, without the operations that nothing here calls: the first
# request of a fresh function would wait for all of it to be read, longer than for any other part.
DESCRIPTIONS = Path(__file__).parent / "descriptions"


@cache
def runtime() -> Client:
    """Invokes endpoints. A retry would run the inference again, so there is none."""
    read_timeout_seconds = float(os.environ["READ_TIMEOUT_SECONDS"])
    return _session().client(
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
    return _session().client("sagemaker", config=_brief())


@cache
def ssm() -> Client:
    """Reads the records of what serves."""
    return _session().client("ssm", config=_brief())


@cache
def stepfunctions() -> Client:
    """Starts, describes and stops the executions of batches."""
    return _session().client("stepfunctions", config=_brief())


@cache
def dynamodb() -> Client:
    """Reads and writes the records of batches."""
    return _session().client("dynamodb", config=_brief())


@cache
def functions() -> Client:
    """Invokes the function that asks later."""
    return _session().client("lambda", config=_brief())


@cache
def s3() -> Client:
    """Holds the lines and results of batches; objects under a KMS key need SigV4 in signed URLs."""
    return _session().client("s3", config=_brief(signature_version="s3v4"))


@cache
def _session() -> boto3.Session:
    """boto3's session, which looks into `descriptions/` first."""
    session = botocore.session.get_session()
    session.set_config_variable("data_path", str(DESCRIPTIONS))
    return boto3.Session(botocore_session=session)


def _brief(signature_version: str = "v4") -> Config:
    return Config(
        connect_timeout=2,
        read_timeout=8,
        retries={"total_max_attempts": 3, "mode": "standard"},
        signature_version=signature_version,
    )
