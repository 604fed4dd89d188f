"""API keys that an authorizer names: API Gateway has them, MiniStack takes headers only.

With `apiKeySource: AUTHORIZER` the key of a request is what the authorizer's answer calls
`usageIdentifierKey`. Here as there the answer may be remembered, so the key is remembered with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from local.ministack import Created, Response, private, replace

LARGEST_BODY_BYTES = 10 * 1024 * 1024

_Identity = tuple[str, ...]
_TOKEN_SOURCE = "method.request.header.Authorization"  # noqa: S105
# What each authorizer's answers are remembered by, as template and API have it: `identitySource`.
_sources: dict[str, str] = {}
# The keys of answers that may be remembered, by authorizer and by what it was asked with.
_remembered: dict[_Identity, str] = {}
# Of the request that is being answered: the key that its authorizer named, and that key's id.
_named: ContextVar[str | None] = ContextVar("named", default=None)
_key_id: ContextVar[str | None] = ContextVar("key_id", default=None)
# And of whose page it is, where a browser says so.
_origin: ContextVar[str] = ContextVar("origin", default="")
# So the CDK's template names the origins that are allowed beside the first.
_OTHER_ORIGINS = re.compile(r'\$origin == "([^"]+)"')


def close_gaps() -> None:
    """Let authorizers name keys, tell functions which key was used, and answer as the gateway."""
    _keep_the_source_of_keys()
    _follow_authorizers()
    _take_keys_from_authorizers()
    _tell_functions_the_key()
    _answer_for_functions_that_failed()
    _name_to_pages_their_own_origin()


def _keep_the_source_of_keys() -> None:
    """AWS::ApiGateway::RestApi drops its ApiKeySourceType there when it is created."""
    api = private("services.cloudformation.provisioners:_RESOURCE_HANDLERS")[
        "AWS::ApiGateway::RestApi"
    ]
    create_api = api["create"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Created:
        created: Created = create_api(logical_id, properties, stack_name)
        source = properties.get("ApiKeySourceType", "HEADER")
        private("services.apigateway_v1:_rest_apis")[created[0]]["apiKeySource"] = source
        return created

    api["create"] = create


def _follow_authorizers() -> None:
    authorize = private("services.apigateway_v1:_authorize_request_v1")
    invoke = private("services.apigateway_v1:_invoke_authorizer_lambda")

    async def authorize_and_follow(
        api_id: str,
        stage_name: str,
        method_obj: dict[str, Any],
        *rest: Any,  # noqa: ANN401
    ) -> object:
        _named.set(None)
        _key_id.set(None)
        _, _, _, headers, body, query, _, stage, *_ = rest
        _origin.set(next((str(v) for k, v in headers.items() if k.lower() == "origin"), ""))
        # The gateway takes 10 MB, whatever is behind it.
        if len(body) > LARGEST_BODY_BYTES:
            too_large = private("services.apigateway_v1:_gw_error")
            return too_large("REQUEST_TOO_LARGE", "Request Too Long"), None
        error, context = await authorize(api_id, stage_name, method_obj, *rest)
        authorizer = method_obj.get("authorizerId")
        if error is None and authorizer in _sources:
            place = (api_id, stage_name, authorizer)
            _remember(place, _values(_sources[authorizer], headers, query, stage))
        return error, context

    async def invoke_and_follow(
        authorizer: dict[str, Any], event: dict[str, Any], *rest: object
    ) -> object:
        result = await invoke(authorizer, event, *rest)
        token = _TOKEN_SOURCE if event["type"] == "TOKEN" else ""
        _sources[authorizer["id"]] = authorizer.get("identitySource") or token
        _named.set(_usage_key(result))
        return result

    replace("services.apigateway_v1:_authorize_request_v1", authorize_and_follow)
    replace("services.apigateway_v1:_invoke_authorizer_lambda", invoke_and_follow)


def _remember(place: _Identity, values: _Identity) -> None:
    """Keep what the authorizer named, or recall it where MiniStack recalled the answer."""
    if not values:
        return
    if (key := _named.get()) is None:
        _named.set(_remembered.get((*place, *values)))
    else:
        _remembered[*place, *values] = key


def _values(
    source: str,
    headers: Mapping[str, Any],
    query: Mapping[str, Any],
    stage: Mapping[str, Any],
) -> _Identity:
    """What MiniStack tells requests apart by when it remembers an authorizer's answers."""
    identity_sources = private("services.apigateway_v1:_request_identity_sources")
    return tuple(identity_sources(source, headers, query, stage)[1])


def _take_keys_from_authorizers() -> None:
    check = private("services.apigateway_v1:_check_api_key")

    def check_named_key(
        method_obj: dict[str, Any], api_id: str, stage_name: str, headers: Mapping[str, str]
    ) -> object:
        api = private("services.apigateway_v1:_rest_apis").get(api_id) or {}
        if method_obj.get("apiKeyRequired") and api.get("apiKeySource") == "AUTHORIZER":
            headers = {"x-api-key": _named.get() or ""}
        error, key = check(method_obj, api_id, stage_name, headers)
        _key_id.set(None if key is None else key["id"])
        return error, key

    replace("services.apigateway_v1:_check_api_key", check_named_key)


def _tell_functions_the_key() -> None:
    build = private("services.apigateway_v1:_build_lambda_event_v1")

    def build_with_key(*arguments: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401
        event: dict[str, Any] = build(*arguments, **named)
        if (key_id := _key_id.get()) is not None:
            event["requestContext"]["identity"]["apiKeyId"] = key_id
        return event

    replace("services.apigateway_v1:_build_lambda_event_v1", build_with_key)


def _answer_for_functions_that_failed() -> None:
    """There, a function's exception is handed to the caller, word by word."""
    invoke = private("services.apigateway_v1:_invoke_lambda_proxy_v1")

    async def invoke_and_answer(*arguments: Any, **named: Any) -> object:  # noqa: ANN401
        answer = await invoke(*arguments, **named)
        if isinstance(answer, tuple) and answer[0] == 502 and _is_bare(answer[2]):
            return private("services.apigateway_v1:_gw_error")(
                "DEFAULT_5XX", "Internal server error"
            )
        return answer

    replace("services.apigateway_v1:_invoke_lambda_proxy_v1", invoke_and_answer)


def _name_to_pages_their_own_origin() -> None:
    """There, a preflight answers its template as it stands; here, it does what the CDK's says."""
    invoke = private("services.apigateway_v1:_invoke_mock_v1")

    def invoke_and_name(integration: dict[str, Any]) -> Response:
        status, headers, body = invoke(integration)
        if _origin.get() in _OTHER_ORIGINS.findall(body.decode()):
            headers = {**headers, "Access-Control-Allow-Origin": _origin.get()}
        return status, headers, b"" if status == 204 else body

    replace("services.apigateway_v1:_invoke_mock_v1", invoke_and_name)


def _is_bare(body: bytes) -> bool:
    """Whether it is the `{"message": …}` that MiniStack makes of a function's failure."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and list(found) == ["message"]


def _usage_key(result: Any) -> str:  # noqa: ANN401 - what MiniStack makes of an answer
    """The key that an authorizer's answer names; empty where it names none."""
    body = result.get("body") if isinstance(result, dict) else None
    try:
        answer = json.loads(body) if isinstance(body, str | bytes) else body
    except ValueError:
        return ""
    key = answer.get("usageIdentifierKey") if isinstance(answer, dict) else None
    return key if isinstance(key, str) else ""
