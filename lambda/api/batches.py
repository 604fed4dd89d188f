"""Batches: starts the state machine around a transform job, lists, describes and stops them."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime

from botocore.exceptions import ClientError

import aws
import batch_documents
import batch_records
import batch_requests
import models
from batch_records import KeyTakenError, Record
from exchange import Answer, Request
from faults import busy
from problems import Problem

# An execution that a start left out this long ago is not coming.
SECONDS_TO_BEGIN = 60
MOST_OF_A_MODELS_NAME = 31


def start(model: models.Model, request: Request) -> Answer:
    """Start a batch of the model; raises a problem when it has no version in service."""
    asked = batch_requests.start(request)
    owner = batch_records.owner_of(request.caller)
    if asked.idempotency_key is not None:
        found = batch_records.under_key(owner, asked.idempotency_key, asked.digest)
        if found is not None:
            return _replayed(found)
    models.record(model)
    record = _record(model, owner, asked)
    if asked.lines is not None:
        bucket, key = batch_requests.object_of(record["input"])
        aws.s3().put_object(
            Bucket=bucket, Key=key, Body=asked.lines, ContentType=asked.content_type
        )
    try:
        batch_records.add(record, idempotency_key=asked.idempotency_key, digest=asked.digest)
    except KeyTakenError as error:
        key = asked.idempotency_key or ""
        found = batch_records.under_key(owner, key, asked.digest)
        if found is None:
            raise busy() from error
        return _replayed(found)
    if record["state"] == "InProgress":
        try:
            _begin(record)
        except ClientError:
            batch_records.forget(record, asked.idempotency_key)
            raise
    return _answer(record, status=202)


def list_newest(request: Request) -> Answer:
    """The caller's batches, newest first."""
    page = batch_requests.page(request)
    found, last = batch_records.newest(
        batch_records.owner_of(request.caller),
        limit=page.limit,
        after=page.after,
        model=page.model,
        state=page.state,
    )
    return Answer(
        {
            "batches": [batch_documents.document(record) for record in found],
            "next_token": None if last is None else batch_requests.token_of(last),
        }
    )


def describe(batch_id: str, request: Request) -> Answer:
    """How a batch stands."""
    record = _own(batch_id, request)
    if record["state"] == "InProgress":
        record = _reconciled(record)
    return Answer(batch_documents.document(record))


def stop(batch_id: str, request: Request) -> Answer:
    """Stop a batch that is not over; one that is stays as it is."""
    record = _own(batch_id, request)
    stopped = batch_records.end(record, "Stopped", "the batch was stopped")
    record = stopped or _own(batch_id, request)
    # Once more where the first time did not come so far: an execution stops once.
    if record["state"] == "Stopped":
        _stop_execution(record)
    return Answer(batch_documents.document(record))


def _record(model: models.Model, owner: str, asked: batch_requests.Start) -> Record:
    batch_id = _new_id(model.name)
    bucket = os.environ["DATA_BUCKET"]
    record = {
        "id": batch_id,
        "owner": owner,
        "model": model.name,
        "created": batch_records.now(),
        "content_type": asked.content_type,
        "state": "InProgress",
    }
    if asked.lines is not None:
        return record | {"input": f"s3://{bucket}/{batch_documents.run_key(batch_id, 'lines')}"}
    if asked.input_uri is not None:
        _check_object(asked.input_uri)
        return record | {"input": asked.input_uri}
    uri = f"s3://{bucket}/{batch_documents.upload_key(batch_id)}"
    return record | {"input": uri, "state": "AwaitingUpload"}


def _new_id(model: str) -> str:
    # Ids sort by time; what a caller could guess of one, the rest of it hides.
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S%f")[:-3]
    name = model[:MOST_OF_A_MODELS_NAME].strip("-").lower()
    return f"{moment}-{name}-{secrets.token_hex(5)}"


def _check_object(uri: str) -> None:
    own = os.environ["DATA_BUCKET"]
    others = os.environ["BATCH_BUCKETS"].split()
    bucket, key = batch_requests.object_of(uri)
    inside = key.startswith("batches/") and not key.startswith("batches/runs/")
    if not (bucket in others or (bucket == own and inside)):
        allowed = [f"s3://{own}/batches/", *(f"s3://{name}/" for name in others)]
        raise batch_requests.refused_input(
            f"must be an object under {' or '.join(allowed)}, got {uri!r}"
        )
    try:
        aws.s3().head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # S3 says 403 for a missing object to whoever may not list the bucket.
        if error.response["Error"]["Code"] in ("404", "403", "NoSuchKey", "NoSuchBucket"):
            raise batch_requests.refused_input(f"there is no object {uri!r}") from error
        raise


def _replayed(record: Record) -> Answer:
    # The first request may have ended between the record and the execution.
    if record["state"] == "InProgress" and "execution" not in record:
        _begin(record)
    return _answer(record, status=200, headers={"Idempotent-Replayed": "true"})


def _begin(record: Record) -> None:
    try:
        aws.stepfunctions().start_execution(
            stateMachineArn=os.environ["STATE_MACHINE_ARN"],
            name=record["id"],
            input=json.dumps({"batch_id": record["id"]}),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
            raise


def _answer(record: Record, *, status: int, headers: dict[str, str] | None = None) -> Answer:
    # Relative, so that it holds behind a stage's path and a custom domain alike.
    location = {"Location": f"../../batches/{record['id']}"}
    return Answer(
        batch_documents.document(record),
        status=status,
        headers=location | (headers or {}),
        model=record["model"],
    )


def _own(batch_id: str, request: Request) -> Record:
    owner = batch_records.owner_of(request.caller)
    known = batch_requests.BATCH_ID.fullmatch(batch_id)
    record = batch_records.find(owner, batch_id) if known else None
    if record is None:
        raise Problem("unknown-batch", f"there is no batch {batch_id[:63]!r}")
    return record


def _execution(record: Record) -> str:
    """The ARN of the execution that works on the batch."""
    machine = os.environ["STATE_MACHINE_ARN"]
    named = f"{machine.replace(':stateMachine:', ':execution:')}:{record['id']}"
    arn: str = record.get("execution", named)
    return arn


def _reconciled(record: Record) -> Record:
    """The record with the end that an execution came to without a word in it."""
    try:
        found = aws.stepfunctions().describe_execution(executionArn=_execution(record))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ExecutionDoesNotExist", "InvalidArn"):
            raise
        return _reconciled_unstarted(record)
    ended = _ENDS.get(found["status"])
    return record if ended is None else _ended(record, *ended)


def _reconciled_unstarted(record: Record) -> Record:
    age = datetime.now(UTC) - datetime.fromisoformat(record["created"])
    if age.total_seconds() < SECONDS_TO_BEGIN:
        return record
    return _ended(record, "Failed", "the batch could not be started: start it again")


def _ended(record: Record, state: str, reason: str) -> Record:
    return (
        batch_records.end(record, state, reason)
        or batch_records.find(record["owner"], record["id"])
        or record
    )


def _stop_execution(record: Record) -> None:
    try:
        aws.stepfunctions().stop_execution(
            executionArn=_execution(record), cause="the batch was stopped over the HTTP API"
        )
    except ClientError as error:
        over = ("ExecutionDoesNotExist", "InvalidArn", "ValidationException")
        if error.response["Error"]["Code"] not in over:
            raise


_ENDS: dict[str, tuple[str, str]] = {
    "FAILED": ("Failed", "the batch could not be worked on; its execution's history says more"),
    "TIMED_OUT": ("Failed", "the batch did not finish within the time it may take"),
    "ABORTED": ("Stopped", "the batch's execution was stopped"),
}
