"""An AWS WAF in front of the API: a limit for each address, and AWS's own rules."""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.api_settings import FirewallSettings

# Of AWS's rules, those that look into bodies: a text may speak of scripts and of SQL, and be long.
_COUNTED = {
    "AWSManagedRulesCommonRuleSet": (
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "SizeRestrictions_BODY",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": (
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
        "ReactJSRCE_BODY",
    ),
    "AWSManagedRulesAmazonIpReputationList": (),
}


class Firewall(Construct):
    """A web ACL on one stage of an API."""

    def __init__(
        self, scope: Construct, id: str, *, settings: FirewallSettings, stage: apigateway.Stage
    ) -> None:
        super().__init__(scope, id)
        rules = [_rate_rule(settings)]
        if settings.managed_rules:
            rules += [_managed(name, n) for n, name in enumerate(_COUNTED, start=1)]
        acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visible("Api"),
            rules=rules,
        )
        wafv2.CfnWebACLAssociation(
            self, "OnStage", resource_arn=stage.stage_arn, web_acl_arn=acl.attr_arn
        )


def _rate_rule(settings: FirewallSettings) -> wafv2.CfnWebACL.RuleProperty:
    return wafv2.CfnWebACL.RuleProperty(
        name="RateOfOneAddress",
        priority=0,
        action=wafv2.CfnWebACL.RuleActionProperty(block={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                aggregate_key_type="IP",
                limit=settings.requests_per_5_minutes,
                evaluation_window_sec=300,
            )
        ),
        visibility_config=_visible("RateOfOneAddress"),
    )


def _managed(name: str, priority: int) -> wafv2.CfnWebACL.RuleProperty:
    count: dict[str, Any] = {}
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    wafv2.CfnWebACL.RuleActionOverrideProperty(
                        name=rule,
                        action_to_use=wafv2.CfnWebACL.RuleActionProperty(count=count),
                    )
                    for rule in _COUNTED[name]
                ]
                or None,
            )
        ),
        visibility_config=_visible(name),
    )


def _visible(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
