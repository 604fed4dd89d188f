"""What IAM lets signed callers of an API do: MiniStack can judge it, and does so with AUTH alone.

AUTH would judge every call of every service, those of the stand-ins too. Here it is what reaches an
API whose methods ask for AWS_IAM. Signatures are not verified: the key that one names is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.ministack import private, replace


def close_gaps() -> None:
    """Refuse callers whose policies do not allow the request, and keys of nobody.

    The account's own keys, `test` among them, may do everything.
    """
    authorize = private("services.apigateway_v1:_authorize_request_v1")

    async def authorize_and_judge(
        api_id: str,
        stage_name: str,
        method_obj: dict[str, Any],
        method: str,
        path: str,
        resource: object,
        headers: Mapping[str, str],
        *rest: Any,  # noqa: ANN401
    ) -> object:
        error, context = await authorize(
            api_id, stage_name, method_obj, method, path, resource, headers, *rest
        )
        if error is None and method_obj.get("authorizationType") == "AWS_IAM":
            *_, account, region = rest
            arn = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage_name}/{method}{path}"
            error = _refusal(headers, arn, region)
        return error, context

    replace("services.apigateway_v1:_authorize_request_v1", authorize_and_judge)


def _refusal(headers: Mapping[str, str], arn: str, region: str) -> object:
    """The gateway's error, or None where the caller may invoke what the ARN names."""
    refuse = private("services.apigateway_v1:_gw_error")
    key = private("core.router:extract_access_key_id")(headers)
    # MiniStack takes no key for the account's own.
    if not key:
        return refuse("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
    enforce = private("core.iam_evaluator:enforce")
    found = enforce(key, "execute-api:Invoke", "execute-api", region, arn)
    if found is None:
        return None
    if isinstance(found, private("core.iam_evaluator:AuthError")):
        return refuse("INVALID_SIGNATURE", found.message)
    return refuse("ACCESS_DENIED", f"User is not authorized to access this resource: {arn}")
