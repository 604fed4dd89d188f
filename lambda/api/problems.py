"""The problems the API reports, as RFC 9457 `application/problem+json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import Response

# kind: status, title
KINDS = {
    "malformed-body": (400, "Malformed body"),
    "not-found": (404, "Not found"),
    "unknown-model": (404, "Unknown model"),
    "unknown-batch": (404, "Unknown batch"),
    "not-acceptable": (406, "Not acceptable"),
    # A person has to act (approve, deploy), so retrying is no help: 409 rather than 503.
    "not-deployed": (409, "Model not deployed"),
    "body-too-large": (413, "Body too large"),
    "unsupported-content-type": (415, "Unsupported content type"),
    "invalid-request": (422, "Invalid request"),
    "invalid-input": (422, "Input refused by the model"),
    "model-fault": (502, "Model fault"),
    "endpoint-unavailable": (503, "Endpoint unavailable"),
    "busy": (503, "Busy"),
    "endpoint-timeout": (504, "Endpoint timeout"),
}


class Problem(Exception):
    """An answer other than success; `more` are members beside those that every problem has."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        retry_after_seconds: int | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.more = more or {}

    def response(self, request_id: str) -> Response[str]:
        """The HTTP answer."""
        body: dict[str, Any] = {
            "type": f"urn:lectern:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }
        headers: dict[str, str] = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        return Response(
            status_code=self.status,
            content_type="application/problem+json",
            body=json.dumps(body),
            headers=headers,
        )
