"""How the gateway learns who calls, by setting; one object answers it for every route."""

from __future__ import annotations

from typing import Any, Protocol

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from infra.acknowledged import acknowledge
from infra.api_routes import Route
from infra.python_function import PythonFunction
from infra.settings import Settings

AUTHORIZER_SECONDS = 10
# A revoked key ends with its usage plan, a token with its time: the gateway may remember both.
KEY_REMEMBERED = Duration.minutes(5)
TOKEN_REMEMBERED = Duration.minutes(1)
_TOKEN = r"^[Bb]earer +[-A-Za-z0-9_=]+\.[-A-Za-z0-9_=]+\.[-A-Za-z0-9_=]+$"  # noqa: S105


class Auth(Protocol):
    """What a method of the gateway demands of its callers."""

    def options(self, route: Route) -> dict[str, Any]:
        """The arguments of `add_method` for a route that is not open."""

    def acknowledge(self, method: apigateway.Method) -> None:
        """Say of the security rules' findings which are meant, and why."""


def auth(scope: Construct, settings: Settings) -> Auth:
    """The stage's way of telling callers apart."""
    api = settings.api
    match api.auth:
        case "api-key":
            return _ApiKey(scope, settings)
        case "jwt":
            return _Token(scope, settings)
        case "cognito":
            return _Cognito(scope, settings)
        case "iam":
            return _Iam()
        case "open-to-everyone":
            return _Open()


class _ApiKey:
    """A key in either header; the function reads it, the gateway judges it."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        function = _function(scope, settings, "handler.by_key", {})
        self._by_header = apigateway.RequestAuthorizer(
            scope,
            "ByHeader",
            handler=function.function,
            identity_sources=[apigateway.IdentitySource.header("x-api-key")],
            results_cache_ttl=KEY_REMEMBERED,
        )
        # Remembering needs one header that is always there, and here it is one of two.
        self._by_either = apigateway.RequestAuthorizer(
            scope,
            "ByEitherHeader",
            handler=function.function,
            identity_sources=[],
            results_cache_ttl=Duration.seconds(0),
        )

    def options(self, route: Route) -> dict[str, Any]:
        authorizer = self._by_either if route.bearer else self._by_header
        return {"api_key_required": True, "authorizer": authorizer}

    def acknowledge(self, method: apigateway.Method) -> None:
        acknowledge(method, "AwsSolutions-COG4", "callers send an API key")


class _Token:
    def __init__(self, scope: Construct, settings: Settings) -> None:
        jwt = settings.api.jwt
        if jwt is None:
            raise ValueError("api.jwt is missing, which the settings' checks refuse")
        environment = {"ISSUER": jwt.issuer, "AUDIENCE": jwt.audience}
        function = _function(scope, settings, "handler.by_token", environment)
        self._authorizer = apigateway.TokenAuthorizer(
            scope,
            "ByToken",
            handler=function.function,
            validation_regex=_TOKEN,
            results_cache_ttl=TOKEN_REMEMBERED,
        )

    def options(self, route: Route) -> dict[str, Any]:
        return {"authorizer": self._authorizer}

    def acknowledge(self, method: apigateway.Method) -> None:
        acknowledge(method, "AwsSolutions-COG4", "callers send a token of the issuer's")


class _Cognito:
    def __init__(self, scope: Construct, settings: Settings) -> None:
        given = settings.api.cognito
        if given is None:
            raise ValueError("api.cognito is missing, which the settings' checks refuse")
        pool = cognito.UserPool.from_user_pool_arn(scope, "UserPool", given.user_pool_arn)
        self._scopes = given.scopes
        self._authorizer = apigateway.CognitoUserPoolsAuthorizer(
            scope, "ByUserPool", cognito_user_pools=[pool], results_cache_ttl=TOKEN_REMEMBERED
        )

    def options(self, route: Route) -> dict[str, Any]:
        scopes = {"authorization_scopes": self._scopes} if self._scopes else {}
        return {"authorizer": self._authorizer, **scopes}

    def acknowledge(self, method: apigateway.Method) -> None:
        """Nothing: a user pool is what the rules ask for."""


class _Iam:
    def options(self, route: Route) -> dict[str, Any]:
        return {"authorization_type": apigateway.AuthorizationType.IAM}

    def acknowledge(self, method: apigateway.Method) -> None:
        acknowledge(method, "AwsSolutions-COG4", "callers sign their requests")


class _Open:
    def options(self, route: Route) -> dict[str, Any]:
        return {"authorization_type": apigateway.AuthorizationType.NONE}

    def acknowledge(self, method: apigateway.Method) -> None:
        acknowledge_open(method, "the stage file says open-to-everyone")


def acknowledge_open(method: apigateway.Method, reason: str) -> None:
    """Take it as meant that a method asks nobody who they are."""
    acknowledge(method, "AwsSolutions-APIG4", reason)
    acknowledge(method, "AwsSolutions-COG4", reason)


def _function(
    scope: Construct, settings: Settings, entry: str, environment: dict[str, str]
) -> PythonFunction:
    return PythonFunction(
        scope,
        "Authorizer",
        folder="authorizer",
        entry=entry,
        description=f"tells callers of {settings.prefix} apart",
        settings=settings,
        timeout=Duration.seconds(AUTHORIZER_SECONDS),
        memory_mb=256,
        environment=environment,
        # A key is read without any of what tokens need.
        extras=["jwt"] if entry == "handler.by_token" else [],
    )
