"""Proves an endpoint with a prediction, as a custom resource of the deployment.

SageMaker answers `/ping` with 200 over a model that failed to load, and a failed update leaves the
endpoint InService on its former config. So the config is compared, and a sample must be answered;
if not, CloudFormation rolls back with the endpoint's own reason.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from typing import Any, Protocol

import endpoint

logger = logging.getLogger()
logger.setLevel(logging.INFO)
# A custom resource's answer ends at 4 KB, and a reason is read among other events.
LONGEST_REASON = 600


class Context(Protocol):
    """What the test needs of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still run."""
        ...


def handler(event: dict[str, Any], context: Context) -> None:
    """Answer CloudFormation, whatever happens: silence would hold the stack for an hour."""
    try:
        reason = _fault(event, context.get_remaining_time_in_millis() / 1000)
    except Exception as error:
        logger.exception("the smoke test itself failed")
        reason = f"the smoke test itself failed with {type(error).__name__}: {error}"
    _answer(event, reason)


def _fault(event: dict[str, Any], seconds_left: float) -> str | None:
    """Why the endpoint must not serve, or None."""
    properties = event["ResourceProperties"]
    if event["RequestType"] == "Delete":
        return None
    # A rollback must never be blocked, least of all by the version it returns to.
    if endpoint.is_rolling_back(properties["StackName"]):
        logger.info("%s is rolling back, not tested", properties["StackName"])
        return None
    try:
        endpoint.prove(
            name=properties["EndpointName"],
            config_name=properties["EndpointConfigName"],
            task=properties["Task"],
            inputs=properties.get("Samples"),
            seconds_left=seconds_left - 15,
        )
    except endpoint.SmokeTestError as error:
        return str(error)
    return None


def _answer(event: dict[str, Any], fault: str | None) -> None:
    name = event.get("ResourceProperties", {}).get("EndpointName")
    reason = "" if fault is None else f"smoke test of {name}: {' '.join(fault.split())}"
    logger.info("%s %s", name, reason or "passed")
    body = json.dumps(
        {
            "Status": "SUCCESS" if fault is None else "FAILED",
            "Reason": reason[:LONGEST_REASON],
            "PhysicalResourceId": name or event["LogicalResourceId"],
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
    ).encode()
    # The URL is signed for an empty content type.
    request = urllib.request.Request(  # noqa: S310
        event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass
