"""The problems the API reports, as RFC 9457 `application/problem+json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# kind: status, title
KINDS = {
    "malformed-body": (400, "Malformed body"),
    "malformed-request": (400, "Malformed request"),
    "not-found": (404, "Not found"),
    "unknown-model": (404, "Unknown model"),
    "unknown-batch": (404, "Unknown batch"),
    "unknown-result": (404, "Unknown result"),
    "not-acceptable": (406, "Not acceptable"),
    # A person has to act (approve, deploy), so retrying is no help: 409 rather than 503.
    "not-deployed": (409, "Model not deployed"),
    "idempotency-key-reused": (409, "Idempotency key reused"),
    "body-too-large": (413, "Body too large"),
    "unsupported-content-type": (415, "Unsupported content type"),
    "invalid-request": (422, "Invalid request"),
    "invalid-input": (422, "Input refused by the model"),
    "model-fault": (502, "Model fault"),
    "endpoint-unavailable": (503, "Endpoint unavailable"),
    "busy": (503, "Busy"),
    "endpoint-timeout": (504, "Endpoint timeout"),
}
PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """An answer other than success; `errors` names the fields at fault, each with what is allowed.

    `more` are members beside those that every problem has.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, object]] = (),
        retry_after_seconds: int | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = KINDS[kind]
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.retry_after_seconds = retry_after_seconds
        self.more = more or {}

    def document(self, request_id: str) -> dict[str, Any]:
        """The body of the answer."""
        return {
            "type": f"urn:lectern:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": self.errors,
            "request_id": request_id,
            **self.more,
        }

    def for_gateway(self, request_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """The answer of a proxy integration."""
        own = {"Content-Type": PROBLEM_JSON, "x-request-id": request_id}
        if self.retry_after_seconds is not None:
            own["Retry-After"] = str(self.retry_after_seconds)
        return {
            "statusCode": self.status,
            "headers": {**own, **headers},
            "body": json.dumps(self.document(request_id)),
        }


def field_error(field: str, message: str) -> dict[str, str]:
    """One entry of `errors`: the field as a reader writes it, `parameters.top_k`."""
    return {"field": field, "message": message}
