"""The table of batches, as the batch stack makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAME = "batches"


def batch_table(aws: Callable[[str], Any]) -> str:
    """Make the table unless there is one; returns its name."""
    text = [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "owner")]
    client = aws("dynamodb")
    if NAME not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName=NAME,
            AttributeDefinitions=text,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-owner",
                    "KeySchema": [
                        {"AttributeName": "owner", "KeyType": "HASH"},
                        {"AttributeName": "id", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    return NAME
