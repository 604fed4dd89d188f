"""Batches: starts the state machine around a transform job, and tells how an execution stands."""

from __future__ import annotations

import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

import aws
import models
import requested
from exchange import Answer, Request
from problems import Problem
from requested import LINES

# It becomes an execution's name, a transform job's name (at most 63) and a part of keys.
BATCH_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
STATES = {
    "RUNNING": "InProgress",
    "PENDING_REDRIVE": "InProgress",
    "SUCCEEDED": "Completed",
    "FAILED": "Failed",
    "TIMED_OUT": "Failed",
    "ABORTED": "Stopped",
}
LARGEST_COUNTED_BYTES = 5_000_000
RESULT_URL_SECONDS = 3600


def start(model: models.Model, request: Request) -> Answer:
    """Start a batch of the model; raises a problem when it has no version in service."""
    batch = requested.batch(request)
    models.record(model)
    bucket = os.environ["DATA_BUCKET"]
    batch_id = _new_id(model.name)
    if batch.lines is not None:
        key = f"batches/{batch_id}/input/lines.jsonl"
        aws.s3().put_object(Bucket=bucket, Key=key, Body=batch.lines, ContentType=LINES)
    else:
        key = _existing_key(bucket, batch.input_uri or "")
    execution_input = {
        "model": model.name,
        "batch_id": batch_id,
        "input_uri": f"s3://{bucket}/{key}",
        "output_uri": f"s3://{bucket}/batches/{batch_id}/output/",
        "content_type": LINES,
    }
    aws.stepfunctions().start_execution(
        stateMachineArn=os.environ["STATE_MACHINE_ARN"],
        name=batch_id,
        input=json.dumps(execution_input),
    )
    # Relative, so that it holds behind a stage's path and a custom domain alike.
    location = {"Location": f"../../batches/{batch_id}"}
    document = {"id": batch_id, "model": model.name, "state": "InProgress"}
    return Answer(document, status=202, headers=location, model=model.name)


def describe(batch_id: str, _: Request) -> Answer:
    """The state of a batch, with a URL of its result and the counts once it is complete."""
    if not BATCH_ID.fullmatch(batch_id):
        raise _unknown(batch_id)
    machine = os.environ["STATE_MACHINE_ARN"]
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{batch_id}"
    try:
        found = aws.stepfunctions().describe_execution(executionArn=execution)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn"):
            raise _unknown(batch_id) from error
        raise
    asked = json.loads(found["input"])
    described: dict[str, Any] = {
        "id": batch_id,
        "model": asked["model"],
        "state": STATES[found["status"]],
        "started": _utc(found["startDate"]),
        "finished": _utc(found["stopDate"]) if "stopDate" in found else None,
    }
    if described["state"] == "Completed":
        described |= _result(asked)
    elif described["state"] in ("Failed", "Stopped"):
        described["reason"] = _reason(found, batch_id)
    return Answer(described)


def _new_id(model: str) -> str:
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{model[:36].strip('-').lower()}-{moment}-{secrets.token_hex(4)}"


def _existing_key(bucket: str, uri: str) -> str:
    scheme, _, path = uri.partition("://")
    given, _, key = path.partition("/")
    if (scheme, given) != ("s3", bucket) or not re.fullmatch(r"batches/.*[^/]", key):
        raise Problem(
            "invalid-request", f"input: must be an object under s3://{bucket}/batches/, got {uri!r}"
        )
    try:
        aws.s3().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # S3 says 403 for a missing object to whoever may not list the bucket.
        if error.response["Error"]["Code"] in ("404", "403", "NoSuchKey"):
            raise Problem("invalid-request", f"input: there is no object {uri!r}") from error
        raise
    return key


def _result(asked: dict[str, Any]) -> dict[str, Any]:
    bucket, _, prefix = asked["output_uri"].removeprefix("s3://").partition("/")
    key = f"{prefix.rstrip('/')}/{PurePosixPath(asked['input_uri']).name}.out"
    result = {
        "result_url": aws.s3().generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=RESULT_URL_SECONDS
        )
    }
    if aws.s3().head_object(Bucket=bucket, Key=key)["ContentLength"] > LARGEST_COUNTED_BYTES:
        return result
    answers = aws.s3().get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
    errors = sum(1 for answer in answers if _is_error(answer))
    return result | {"lines": len(answers), "errors": errors}


def _is_error(line: bytes) -> bool:
    answer = json.loads(line)
    return isinstance(answer, dict) and "error" in answer


def _reason(execution: dict[str, Any], batch_id: str) -> str:
    if execution["status"] == "TIMED_OUT":
        return "the batch did not finish within the time it may take"
    if execution["status"] == "ABORTED":
        return "the batch was stopped"
    if execution.get("error") == "NothingServes":
        return "no version of the model was in service when the batch began"
    return (
        "the transform job failed; its log streams are "
        f"/aws/sagemaker/TransformJobs {batch_id}/*, its reason is in DescribeTransformJob"
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _unknown(batch_id: str) -> Problem:
    return Problem("unknown-batch", f"there is no batch {batch_id[:63]!r}")
