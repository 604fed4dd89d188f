"""The records of batches in their table: one item a batch, and one for each idempotency key."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import UTC, datetime
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

import aws
from problems import Problem

Record: TypeAlias = dict[str, Any]

# Whose batches are where callers are not kept apart.
EVERYONE = "everyone"
BY_OWNER = "by-owner"
DAY_SECONDS = 86_400
IDEMPOTENT_SECONDS = DAY_SECONDS
# Of a rare filter: what was found so far is answered, with a token to go on.
MOST_QUERIES = 10
ONE_QUERY = 100


class KeyTakenError(Exception):
    """Another request with the same idempotency key came first."""


def owner_of(caller: str) -> str:
    """To whom a caller's batches belong."""
    return caller if os.environ.get("TENANCY") == "on" else EVERYONE


def add(record: Record, *, idempotency_key: str | None, digest: str) -> None:
    """Write a new batch, and with it the key under which it was asked; raises KeyTakenError."""
    table = os.environ["BATCH_TABLE"]
    expires = int(time.time()) + int(os.environ["BATCH_EXPIRE_DAYS"]) * DAY_SECONDS
    item = _item(record | {"expires": expires})
    if idempotency_key is None:
        aws.dynamodb().put_item(TableName=table, Item=item)
        return
    kept = {
        "id": _key_id(record["owner"], idempotency_key),
        "batch": record["id"],
        "digest": digest,
        "expires": int(time.time()) + IDEMPOTENT_SECONDS,
    }
    # Forgotten items may stand in the table for days.
    free = {
        "TableName": table,
        "Item": _item(kept),
        "ConditionExpression": "attribute_not_exists(#id) OR #expires < :now",
        "ExpressionAttributeNames": {"#id": "id", "#expires": "expires"},
        "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
    }
    try:
        aws.dynamodb().transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": item}}, {"Put": free}]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "TransactionCanceledException":
            raise KeyTakenError from error
        raise


def under_key(owner: str, idempotency_key: str, digest: str) -> Record | None:
    """The batch that the same request started; raises a 409 problem where another request did."""
    kept = _read(_key_id(owner, idempotency_key))
    if kept is None:
        return None
    if kept["digest"] != digest:
        raise Problem(
            "idempotency-key-reused",
            "another request was sent with this Idempotency-Key: take a new key for a new request",
        )
    return _read(kept["batch"])


def forget(record: Record, idempotency_key: str | None) -> None:
    """Undo `add`, for a batch that could not begin."""
    keys = [record["id"]]
    if idempotency_key is not None:
        keys.append(_key_id(record["owner"], idempotency_key))
    for key in keys:
        aws.dynamodb().delete_item(TableName=os.environ["BATCH_TABLE"], Key={"id": {"S": key}})


def find(owner: str, batch_id: str) -> Record | None:
    """The owner's batch of this id."""
    record = _read(batch_id)
    return record if record is not None and record.get("owner") == owner else None


def newest(
    owner: str, *, limit: int, after: str | None, model: str | None, state: str | None
) -> tuple[list[Record], str | None]:
    """The owner's batches, newest first, and the id of the last one where more may follow."""
    wanted = {"#model": ("model", model), "#state": ("state", state)}
    equal = {name: found for name, found in wanted.items() if found[1] is not None}
    names = {"#owner": "owner", "#expires": "expires"} | {n: f[0] for n, f in equal.items()}
    values = {":owner": owner, ":now": int(time.time())} | {
        f":{f[0]}": f[1] for f in equal.values()
    }
    asked: dict[str, Any] = {
        "TableName": os.environ["BATCH_TABLE"],
        "IndexName": BY_OWNER,
        "KeyConditionExpression": "#owner = :owner",
        "FilterExpression": " AND ".join(
            ["#expires >= :now", *(f"{name} = :{name[1:]}" for name in equal)]
        ),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": _item(values),
        "ScanIndexForward": False,
        "Limit": ONE_QUERY,
    }
    found: list[Record] = []
    reached = after
    for _ in range(MOST_QUERIES):
        if reached is not None:
            asked["ExclusiveStartKey"] = _item({"owner": owner, "id": reached})
        answer = aws.dynamodb().query(**asked)
        found += [_record(item) for item in answer["Items"]]
        if len(found) > limit:
            return found[:limit], found[limit - 1]["id"]
        if "LastEvaluatedKey" not in answer:
            return found, None
        reached = answer["LastEvaluatedKey"]["id"]["S"]
    return found, reached


def end(record: Record, state: str, reason: str) -> Record | None:
    """Write how a batch ended that was not over; its record now, or None where it was over."""
    kept_seconds = int(os.environ["BATCH_EXPIRE_DAYS"]) * DAY_SECONDS
    names = ("state", "finished", "reason", "expires")
    values = {
        ":state": state,
        ":finished": now(),
        ":reason": reason,
        ":expires": int(time.time()) + kept_seconds,
        ":awaited": "AwaitingUpload",
        ":begun": "InProgress",
    }
    try:
        answer = aws.dynamodb().update_item(
            TableName=os.environ["BATCH_TABLE"],
            Key={"id": {"S": record["id"]}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in names),
            ConditionExpression="#state IN (:awaited, :begun)",
            ExpressionAttributeNames={f"#{name}": name for name in names},
            ExpressionAttributeValues=_item(values),
            ReturnValues="ALL_NEW",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return None
        raise
    return _record(answer["Attributes"])


def now() -> str:
    """This moment, as Step Functions writes it too."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(item_id: str) -> Record | None:
    answer = aws.dynamodb().get_item(
        TableName=os.environ["BATCH_TABLE"], Key={"id": {"S": item_id}}, ConsistentRead=True
    )
    if "Item" not in answer:
        return None
    record = _record(answer["Item"])
    # DynamoDB takes its time to remove what has expired.
    return record if record["expires"] >= time.time() else None


def _key_id(owner: str, idempotency_key: str) -> str:
    whole = f"{owner}\0{idempotency_key}".encode()
    return f"idempotency-key#{hashlib.sha256(whole).hexdigest()}"


def _item(record: Record) -> dict[str, dict[str, str]]:
    return {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in record.items()
    }


def _record(item: dict[str, dict[str, str]]) -> Record:
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}
