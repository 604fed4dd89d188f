"""API Gateway's access log lines: the stage's format, filled with what the request was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.-]*[A-Za-z0-9_])")


@dataclass(frozen=True)
class Exchange:
    """One request to a stage and how it was answered."""

    request_id: str
    api_id: str
    stage: str
    account: str
    method: str
    path: str
    resource_path: str
    headers: Mapping[str, str]
    started: datetime
    seconds: float
    status: int
    response_length: int

    def line(self, log_format: str) -> str:
        """The log line; what is not known here is a dash, as on AWS."""
        values = self._values()
        return VARIABLE.sub(lambda match: values.get(match.group(1), "-"), log_format)

    def _values(self) -> dict[str, str]:
        started = self.started.astimezone(UTC)
        return {
            "accountId": self.account,
            "apiId": self.api_id,
            "extendedRequestId": self.request_id,
            "httpMethod": self.method,
            "identity.sourceIp": "127.0.0.1",
            "identity.userAgent": self.headers.get("user-agent", "-"),
            "integration.latency": "-",
            "path": f"/{self.stage}{self.path}",
            "protocol": "HTTP/1.1",
            "requestId": self.request_id,
            "requestTime": started.strftime("%d/%b/%Y:%H:%M:%S %z"),
            "requestTimeEpoch": str(int(started.timestamp() * 1000)),
            "resourcePath": self.resource_path,
            "responseLatency": str(round(self.seconds * 1000)),
            "responseLength": str(self.response_length),
            "stage": self.stage,
            "status": str(self.status),
        }
