"""Tells API Gateway who calls: by an API key in either of two headers, or by a signed token.

Of a key it only says which one was sent: whether it exists, and how much it may send, is the
gateway's to know. Neither key nor token is ever logged.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

BEARER = "bearer "
# By the kind of key, signatures that only the issuer can make; a shared secret proves nothing here.
ALGORITHMS = {
    "RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "EC": ["ES256", "ES384", "ES512"],
}
LEEWAY_SECONDS = 30
# So long a key still proves what it signed after the issuer took it back.
KEYS_SECONDS = 300


class Unauthorized(Exception):
    """API Gateway answers 401 to an error of exactly this text."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class IssuerDownError(Exception):
    """Nobody can tell whether a token holds: API Gateway answers 500, and the alarm hears of it."""

    def __init__(self) -> None:
        super().__init__("the issuer does not answer with its keys")


def by_key(event: dict[str, Any], _: object) -> dict[str, Any]:
    """The key of `x-api-key`, or of `Authorization: Bearer`, for the gateway to judge."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    key = headers.get("x-api-key") or _bearer(headers.get("authorization"))
    return {**_allowed("key", event["methodArn"]), "usageIdentifierKey": key}


def by_token(event: dict[str, Any], _: object) -> dict[str, Any]:
    """The subject of a token that the issuer signed for this audience and that is still valid."""
    import jwt

    token = _bearer(event.get("authorizationToken"))
    try:
        key = _keys().get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token,
            key.key,
            algorithms=ALGORITHMS.get(key.key_type or "", []),
            audience=os.environ["AUDIENCE"],
            issuer=os.environ["ISSUER"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.PyJWKClientConnectionError as error:
        raise IssuerDownError from error
    except jwt.PyJWTError as error:
        print(f"refused a token: {type(error).__name__}")
        raise Unauthorized from error
    if not claims["sub"]:
        raise Unauthorized
    return _allowed(str(claims["sub"]), event["methodArn"])


def _bearer(header: str | None) -> str:
    given = (header or "").strip()
    if given[: len(BEARER)].lower() != BEARER or not given[len(BEARER) :].strip():
        raise Unauthorized
    return given[len(BEARER) :].strip()


def _allowed(principal: str, method_arn: str) -> dict[str, Any]:
    # The answer is kept for a while, for all methods: so it has to be good for all.
    api, stage, *_ = method_arn.split("/")
    return {
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": f"{api}/{stage}/*",
                }
            ],
        },
    }


@cache
def _keys() -> Any:  # noqa: ANN401 - jwt.PyJWKClient, imported only where tokens are judged
    import json
    from urllib.request import urlopen

    import jwt

    issuer = os.environ["ISSUER"].rstrip("/")
    # The settings take https:// alone, but for a test's issuer on this machine.
    try:
        with urlopen(f"{issuer}/.well-known/openid-configuration", timeout=4) as answer:  # noqa: S310
            keys_url = json.load(answer)["jwks_uri"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IssuerDownError from error
    # `cache_keys` would hold a key for as long as the function lives, revoked or not.
    return jwt.PyJWKClient(keys_url, cache_keys=False, lifespan=KEYS_SECONDS, timeout=4)
