"""The API gateway's own refusals, in the form of every other problem: RFC 9457."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

from infra.api_settings import Auth

RESPONSE_TYPES = apigateway.ResponseType


@dataclass(frozen=True)
class GatewayProblem:
    """One refusal; its status is absent where it stands for several."""

    response_type: apigateway.ResponseType
    kind: str
    title: str
    detail: str
    status: int | None = None
    retry_after_seconds: int | None = None

    @property
    def template(self) -> str:
        """The body; the gateway fills in the request's id."""
        document: dict[str, object] = {
            "type": f"urn:lectern:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [],
            "request_id": "$context.requestId",
        }
        return json.dumps({key: value for key, value in document.items() if value is not None})

    def headers(self, allowed_origin: str | None) -> dict[str, str]:
        """The headers as the gateway writes constants: in single quotes."""
        headers = {
            "Content-Type": "'application/problem+json'",
            "x-request-id": "context.requestId",
        }
        if allowed_origin is not None:
            headers["Access-Control-Allow-Origin"] = f"'{allowed_origin}'"
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = f"'{self.retry_after_seconds}'"
        return headers


_PROBLEMS = [
    GatewayProblem(
        RESPONSE_TYPES.UNAUTHORIZED,
        "unauthorized",
        "Unauthorized",
        "send who you are: an API key in x-api-key, or a key or token as Authorization: Bearer",
        status=401,
    ),
    GatewayProblem(
        RESPONSE_TYPES.ACCESS_DENIED,
        "access-denied",
        "Access denied",
        "the caller may not make this request",
        status=403,
    ),
    GatewayProblem(
        RESPONSE_TYPES.WAF_FILTERED,
        "filtered",
        "Filtered",
        "the firewall in front of the API refused the request",
        status=403,
    ),
    GatewayProblem(
        RESPONSE_TYPES.INVALID_API_KEY,
        "invalid-api-key",
        "Invalid API key",
        "send a key of this API in the x-api-key header, or as a bearer token",
        status=403,
    ),
    # So the gateway calls a path or method that it does not have.
    GatewayProblem(
        RESPONSE_TYPES.MISSING_AUTHENTICATION_TOKEN,
        "not-found",
        "Not found",
        "there is no such path, or not with this method",
        status=404,
    ),
    GatewayProblem(
        RESPONSE_TYPES.BAD_REQUEST_BODY,
        "malformed-body",
        "Malformed body",
        "the body must be a JSON object with the members that the API's documentation names",
        status=400,
    ),
    GatewayProblem(
        RESPONSE_TYPES.BAD_REQUEST_PARAMETERS,
        "malformed-request",
        "Malformed request",
        "a required header or parameter is missing",
        status=400,
    ),
    GatewayProblem(
        RESPONSE_TYPES.REQUEST_TOO_LARGE,
        "body-too-large",
        "Body too large",
        "the body has more than 10 MB",
        status=413,
    ),
    GatewayProblem(
        RESPONSE_TYPES.THROTTLED,
        "throttled",
        "Too many requests",
        "more requests than the API key may send at once",
        status=429,
        retry_after_seconds=1,
    ),
    GatewayProblem(
        RESPONSE_TYPES.QUOTA_EXCEEDED,
        "quota-exceeded",
        "Quota exceeded",
        "the API key has sent all requests of its period",
        status=429,
    ),
    GatewayProblem(
        RESPONSE_TYPES.INTEGRATION_TIMEOUT,
        "endpoint-timeout",
        "Endpoint timeout",
        "the model did not answer in time",
        status=504,
    ),
    # These two stand for many, each with its own status, which a template cannot name.
    GatewayProblem(
        RESPONSE_TYPES.DEFAULT_4_XX,
        "refused",
        "Request refused",
        "the gateway refused the request",
    ),
    GatewayProblem(
        RESPONSE_TYPES.DEFAULT_5_XX,
        "gateway-fault",
        "Gateway fault",
        "the gateway could not answer; try again",
    ),
]
# To a request without a signature, the gateway says the same as to a path that it does not have.
_UNSIGNED = GatewayProblem(
    RESPONSE_TYPES.MISSING_AUTHENTICATION_TOKEN,
    "unsigned",
    "Unsigned, or not found",
    "sign the request with AWS credentials (Signature Version 4), "
    "or see whether there is such a path with this method",
    status=403,
)


def problems(auth: Auth) -> list[GatewayProblem]:
    """Every refusal of a gateway that tells callers apart in this way."""
    if auth != "iam":
        return _PROBLEMS
    return [_UNSIGNED if problem.kind == "not-found" else problem for problem in _PROBLEMS]
