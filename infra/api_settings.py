"""What a stage file may say of the HTTP API: who may call, how much, and from where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from infra.batch_settings import BatchApiSettings
from infra.section import Section

# A key's name stands in logical ids, so it is made of words as a model's is.
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=31)]
# Tokens are proofs only as far as the keys that prove them came from where they say.
Issuer = Annotated[
    str, StringConstraints(pattern=r"^(https://[^\s/?#@]+|http://127\.0\.0\.1(:\d+)?)(/[^\s?#]*)?$")
]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[a-z0-9.-]+(:\d+)?)$")]
# What an account has in a region, of all its APIs together, unless it asked AWS for more.
MOST_REQUESTS_A_SECOND, MOST_REQUESTS_AT_ONCE = 10_000, 5_000
DEFAULT_KEY = "default"
Auth = Literal["api-key", "iam", "jwt", "cognito", "open-to-everyone"]


class JwtSettings(Section):
    """Whose tokens are accepted."""

    issuer: Issuer = Field(
        description="the OpenID Connect issuer, an https:// address (http:// on 127.0.0.1 only)"
    )
    audience: str = Field(min_length=1, description="what a token's aud must name")


class CognitoSettings(Section):
    """Whose tokens are accepted: those of one user pool."""

    user_pool_arn: Annotated[
        str,
        StringConstraints(pattern=r"^arn:aws[a-z-]*:cognito-idp:[a-z0-9-]+:\d{12}:userpool/\S+$"),
    ] = Field(description="the ARN of a user pool")
    scopes: list[str] = Field(
        default_factory=list,
        description="OAuth scopes of which an access token needs one; none: ID tokens are accepted",
    )


class ThrottleSettings(Section):
    """How many requests one API key may send; without keys, how many the whole API takes."""

    rate: float = Field(
        gt=0, le=MOST_REQUESTS_A_SECOND, description="requests a second, on average"
    )
    burst: int = Field(ge=1, le=MOST_REQUESTS_AT_ONCE, description="requests at once")


class QuotaSettings(Section):
    """How many requests one API key may send in all."""

    requests: int = Field(ge=1, le=2_147_483_647, description="requests in one period")
    period: Literal["day", "week", "month"] = Field(description="when the count starts anew")


class CorsSettings(Section):
    """Which web pages of other origins may call."""

    origins: list[Origin] = Field(
        min_length=1, max_length=20, description="origins as https://app.example.com, or *"
    )


class FirewallSettings(Section):
    """An AWS WAF in front of the API."""

    requests_per_5_minutes: int = Field(
        default=2_000, ge=10, le=2_000_000_000, description="requests of one address"
    )
    managed_rules: bool = Field(
        default=True,
        description="AWS's rules against known attacks; what they say of bodies is counted, not "
        "blocked, since texts may speak of anything",
    )


class PagesSettings(Section):
    """The pages that the API shows to a browser, without a key of their own."""

    playground: bool = Field(default=True, description="a page at / to try the models")
    documentation: bool = Field(
        default=True, description="/v1/docs and /v1/openapi.json, which name models and tasks"
    )


class FunctionSettings(Section):
    """The Lambda function behind the API."""

    memory_mb: int = Field(
        default=1_024, ge=256, le=10_240, description="memory; the function's CPU grows with it"
    )
    provisioned_concurrency: int = Field(
        default=0, ge=0, le=1_000, description="environments kept warm, billed while they exist"
    )
    snap_start: bool = Field(
        default=False, description="starts from a snapshot of the initialised function"
    )
    traces: bool = Field(
        default=False, description="X-Ray segments of each request; costs a slower cold start"
    )


class ApiSettings(Section):
    """The HTTP API in front of the models."""

    auth: Auth = Field(
        description="api-key: an x-api-key header, or the key as a bearer token; iam: signed "
        "requests; jwt: tokens of an OpenID Connect issuer; cognito: tokens of a user pool; "
        "open-to-everyone: no check at all"
    )
    jwt: JwtSettings | None = Field(default=None, description="with auth jwt: whose tokens")
    cognito: CognitoSettings | None = Field(
        default=None, description="with auth cognito: which user pool"
    )
    keys: list[KeyName] = Field(
        default_factory=lambda: [DEFAULT_KEY],
        min_length=1,
        max_length=100,
        description="with auth api-key: the names of the keys, each throttled by itself; a name "
        "that is taken out ends its key, whatever the order of the others",
    )
    tenancy: bool = Field(
        default=False, description="callers see their own batches and results only"
    )
    throttle: ThrottleSettings = Field(description="how fast one API key may send")
    quota: QuotaSettings | None = Field(default=None, description="how much one API key may send")
    cors: CorsSettings | None = Field(
        default=None, description="which web pages may call; none: only those of the API itself"
    )
    firewall: FirewallSettings | None = Field(
        default=None, description="an AWS WAF in front of the API"
    )
    pages: PagesSettings = Field(
        default_factory=PagesSettings, description="what the API shows to a browser"
    )
    function: FunctionSettings = Field(
        default_factory=FunctionSettings, description="the Lambda function behind the API"
    )
    batches: BatchApiSettings = Field(
        default_factory=BatchApiSettings, description="batches: how long kept, from where read"
    )
