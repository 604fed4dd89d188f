"""Web ACLs in front of an API's stage: MiniStack keeps them and lets every request pass.

Applied here is the rule that limits the rate of one address; whoever asks is 127.0.0.1. Rule groups
that AWS manages are not known outside of AWS.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import Any

from local.ministack import Created, private, replace

# When requests were seen, by ACL and rule.
_seen: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
# The ACLs that were put in front of a stage and not taken away; the last one counts.
_held: dict[str, list[str]] = {}


class Association:
    """Puts a web ACL in front of a stage."""

    type_name = "AWS::WAFv2::WebACLAssociation"
    create_only = ("ResourceArn", "WebACLArn")

    def create(self, name: str, properties: dict[str, Any]) -> Created:
        resource, acl = properties["ResourceArn"], properties["WebACLArn"]
        _held_of(resource).append(acl)
        private("services.waf:_associations")[resource] = acl
        return f"{acl}|{resource}|APIGATEWAY", {}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Created:
        return physical_id, {}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        resource, acl = properties["ResourceArn"], properties["WebACLArn"]
        held = _held_of(resource)
        if acl in held:
            held.remove(acl)
        # One that replaces another is created before the other is deleted.
        associations = private("services.waf:_associations")
        if held:
            associations[resource] = held[-1]
        else:
            associations.pop(resource, None)


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


def _held_of(resource: str) -> list[str]:
    """Begins with what a server before this one left."""
    known = private("services.waf:_associations").get(resource)
    return _held.setdefault(resource, [] if known is None else [known])


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
    statement = rule["Statement"].get("RateBasedStatement", {})
    is_of_addresses = statement.get("AggregateKeyType") == "IP"
    if not is_of_addresses or "ScopeDownStatement" in statement or "Block" not in rule["Action"]:
        return False
    moments, now = _seen[acl, rule["Name"]], time.monotonic()
    moments.append(now)
    while moments[0] < now - float(statement.get("EvaluationWindowSec", 300)):
        moments.popleft()
    return len(moments) > int(statement["Limit"])
