"""Where batches are kept: their objects in the data bucket, their records in the table."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time

# What the model reads and writes, and what this function does.
PARTS, REFUSED, ANSWERS, RESULT = "parts/", "refused/", "answers/", "result.jsonl"
CHUNK_BYTES = 1 << 20
DAY_SECONDS = 86_400


@cache
def s3() -> Client:
    """Reads and writes the objects of batches."""
    return boto3.client("s3", config=_patient())


@cache
def dynamodb() -> Client:
    """Writes the records of batches."""
    return boto3.client("dynamodb", config=_patient())


def bucket() -> str:
    """The bucket that holds everything a batch makes."""
    return os.environ["DATA_BUCKET"]


def key(batch_id: str, name: str) -> str:
    """The key of one of the batch's own objects."""
    return f"batches/runs/{batch_id}/{name}"


def keys(batch_id: str, folder: str) -> dict[str, str]:
    """The key of each object in a folder of the batch, by its name."""
    pages = s3().get_paginator("list_objects_v2")
    return {
        found["Key"].rpartition("/")[2]: found["Key"]
        for page in pages.paginate(Bucket=bucket(), Prefix=key(batch_id, folder))
        for found in page.get("Contents", [])
    }


def update(batch_id: str, **values: str | int) -> bool:
    """Write to the record of a batch that is in progress; whether it still was."""
    names_of = {f"#{name}": name for name in values}
    try:
        dynamodb().update_item(
            TableName=os.environ["BATCH_TABLE"],
            Key={"id": {"S": batch_id}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression="#state = :in_progress",
            ExpressionAttributeNames={"#state": "state", **names_of},
            ExpressionAttributeValues={
                ":in_progress": {"S": "InProgress"},
                **{f":{name}": _typed(value) for name, value in values.items()},
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


def end(batch_id: str, state: str, **values: str | int) -> bool:
    """Write how a batch ended, and from when on it may be forgotten."""
    kept_seconds = int(os.environ["EXPIRE_DAYS"]) * DAY_SECONDS
    expires = int(time.time()) + kept_seconds
    return update(batch_id, state=state, finished=now(), expires=expires, **values)


def now() -> str:
    """This moment, as Step Functions writes it too."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _typed(value: str | int) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _patient() -> Config:
    return Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"total_max_attempts": 5, "mode": "standard"},
        # The function itself reads one stream and writes another.
        max_pool_connections=4,
    )
