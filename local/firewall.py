"""Web ACLs in front of an API's stage: MiniStack keeps them and lets every request pass.

Applied here is the rule that limits the rate of one address; whoever asks is 127.0.0.1. Rule groups
that AWS manages are not known outside of AWS.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from local.ministack import Created, private, replace

TYPE_NAME = "AWS::WAFv2::WebACLAssociation"
# When requests were seen, by ACL and rule: as many as the limit and one more.
_seen: dict[tuple[str, str], deque[float]] = {}


class Association:
    """Puts a web ACL in front of a stage."""

    type_name = TYPE_NAME
    create_only = ("ResourceArn", "WebACLArn")

    def create(self, name: str, properties: dict[str, Any]) -> Created:
        resource, acl = properties["ResourceArn"], properties["WebACLArn"]
        private("services.waf:_associations")[resource] = acl
        return f"{acl}|{resource}|APIGATEWAY", {}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Created:
        return physical_id, {}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        resource = properties["ResourceArn"]
        associations = private("services.waf:_associations")
        # One that replaces another is there before the other is deleted.
        if associations.get(resource) == properties["WebACLArn"]:
            associations.pop(resource)


def close_gaps() -> None:
    """Let web ACLs judge requests, before the gateway does."""
    execute = private("services.apigateway_v1:_execute_in_scope")

    async def judge_and_execute(
        request: dict[str, Any],
        api_id: str,
        stage_name: str,
        *rest: Any,  # noqa: ANN401
    ) -> object:
        stage = private("services.apigateway_v1:_stages_v1").get(api_id, {}).get(stage_name)
        if stage is not None and _blocks(_acl_of(f"/restapis/{api_id}/stages/{stage_name}")):
            request["stage"] = stage
            return private("services.apigateway_v1:_gw_error")("WAF_FILTERED", "Forbidden")
        return await execute(request, api_id, stage_name, *rest)

    replace("services.apigateway_v1:_execute_in_scope", judge_and_execute)


def _acl_of(path: str) -> dict[str, Any] | None:
    associations = private("services.waf:_associations")
    found = (acl for resource, acl in associations.items() if resource.endswith(path))
    arn = next(found, None)
    acls = private("services.waf:_web_acls").values()
    return next((acl for acl in acls if acl["ARN"] == arn), None)


def _blocks(acl: dict[str, Any] | None) -> bool:
    """Counts the request for every rule that counts, and says whether one of them blocks it."""
    exceeded = [] if acl is None else [_exceeds(acl["ARN"], rule) for rule in acl["Rules"]]
    return any(exceeded)


def _exceeds(acl: str, rule: dict[str, Any]) -> bool:
    statement = rule["Statement"].get("RateBasedStatement")
    if statement is None or "Block" not in rule.get("Action", {}):
        return False
    limit, window = int(statement["Limit"]), float(statement.get("EvaluationWindowSec", 300))
    moments = _seen.get((acl, rule["Name"]))
    if moments is None or moments.maxlen != limit + 1:
        moments = _seen[acl, rule["Name"]] = deque(moments or (), maxlen=limit + 1)
    moments.append(time.monotonic())
    return len(moments) > limit and moments[0] > moments[-1] - window
