"""Clients of the other services of this local AWS."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

_FUNCTION_SECONDS = 900
Client = Any
"""A class that boto3 makes at run time; there is no type of it to name."""


class Cloud:
    """S3, CloudWatch Logs, CloudWatch and Lambda, made on first use and shared by all threads."""

    def __init__(self, endpoint_url: str, region: str, account: str) -> None:
        self.endpoint_url = endpoint_url
        self.region = region
        self.account = account
        self._lock = threading.RLock()

    @cached_property
    def s3(self) -> Client:
        return self._client("s3")

    @cached_property
    def logs(self) -> Client:
        return self._client("logs")

    @cached_property
    def cloudwatch(self) -> Client:
        return self._client("cloudwatch")

    @cached_property
    def functions(self) -> Client:
        # A function may take its time, and a second call would run it twice.
        return self._client("lambda", attempts=1, read_timeout=_FUNCTION_SECONDS)

    def credentials(self) -> dict[str, str]:
        """The variables by which a container reaches this AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": "local",
        }

    def _client(self, service: str, attempts: int = 4, read_timeout: float = 60) -> Client:
        # Clients are safe to share between threads, making them is not.
        with self._lock:
            session: Client = boto3.session.Session()
            return session.client(
                service,
                endpoint_url=self.endpoint_url,
                region_name=self.region,
                aws_access_key_id=self.account,
                aws_secret_access_key="local",  # noqa: S106
                config=Config(
                    s3={"addressing_style": "path"},
                    max_pool_connections=32,
                    retries={"total_max_attempts": attempts},
                    connect_timeout=5,
                    read_timeout=read_timeout,
                ),
            )
