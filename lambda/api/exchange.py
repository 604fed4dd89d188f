"""An HTTP request as API Gateway hands it over, and the answer in the form it takes back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from problems import Problem

JSON = "application/json"
CSV = "text/csv"
# Of callers that no authorizer has told apart.
ANYONE = "anyone"


@dataclass(frozen=True)
class Request:
    """One request; names of headers are in lower case."""

    method: str
    resource: str
    """The path with its parameters' names, as `/v1/models/{model}`."""
    path: str
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    caller: str
    """Who asks, for what belongs to one caller: `key:ID`, `sub:SUBJECT`, `arn:…`, or anyone."""
    _raw: str
    _is_base64: bool

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Request:
        """Read an event of a REST API's proxy integration."""
        context: Mapping[str, Any] = event["requestContext"]
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        return cls(
            method=event["httpMethod"],
            resource=event["resource"],
            path=event["path"],
            path_parameters=event.get("pathParameters") or {},
            query=event.get("queryStringParameters") or {},
            headers=headers,
            request_id=context.get("requestId") or "",
            caller=_caller(context),
            _raw=event.get("body") or "",
            _is_base64=bool(event.get("isBase64Encoded")),
        )

    def prefers_async(self) -> bool:
        """Whether the caller asks not to wait (RFC 7240's `respond-async`)."""
        given = self.headers.get("prefer")
        return given is not None and any(
            preference.partition(";")[0].strip().lower() == "respond-async"
            for preference in given.split(",")
        )

    def body(self, largest_bytes: int) -> bytes:
        """The bytes that were sent; raises a 400 for none and a 413 for too many."""
        if self._is_base64:
            try:
                sent = base64.b64decode(self._raw, validate=True)
            except binascii.Error as error:
                raise Problem("malformed-body", "the body is not valid base64") from error
        else:
            sent = self._raw.encode("utf-8", errors="surrogatepass")
        if not sized(sent, largest_bytes).strip():
            raise Problem("malformed-body", "the body is empty")
        return sent


@dataclass(frozen=True)
class Answer:
    """What goes back: a document that becomes JSON, or a text as it is."""

    body: Any
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    """The model that answered, for the metrics."""

    def for_gateway(self, request_id: str, more: Mapping[str, str]) -> dict[str, Any]:
        """The answer of a proxy integration."""
        body = self.body if isinstance(self.body, str) else json.dumps(self.body)
        headers = {
            "Content-Type": self.content_type,
            "x-request-id": request_id,
            **self.headers,
            **more,
        }
        return {"statusCode": self.status, "headers": headers, "body": body}


def sized(body: bytes, largest_bytes: int) -> bytes:
    """The body again; raises a 413 when it is too large."""
    if len(body) > largest_bytes:
        raise Problem(
            "body-too-large", f"the body has {len(body)} bytes, at most {largest_bytes} are taken"
        )
    return body


def _caller(context: Mapping[str, Any]) -> str:
    identity: Mapping[str, Any] = context.get("identity") or {}
    authorizer: Mapping[str, Any] = context.get("authorizer") or {}
    claims = authorizer.get("claims") or {}
    if key := identity.get("apiKeyId"):
        return f"key:{key}"
    if subject := claims.get("sub") or authorizer.get("principalId"):
        return f"sub:{subject}"
    if arn := identity.get("userArn"):
        return str(arn)
    return ANYONE
