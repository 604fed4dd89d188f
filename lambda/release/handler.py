"""Brings the newest approved model package to CloudFormation: two parameters and a stack update.

It reconciles rather than replays. Any state change of a known group compares the group's newest
approved version with the stack's parameters. A group without an approved version changes nothing:
what serves keeps serving, since taking an endpoint away is a deployment's decision.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any, TypeAlias

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time

logger = Logger()


class StackBusyError(RuntimeError):
    """The stack takes no update now; raising it makes the queue bring the message back."""


class ReleaseRefusedError(RuntimeError):
    """The version or the stack cannot be used; the message ends in the dead-letter queue."""


@cache
def cloudformation() -> Client:
    """Updates the inference stack."""
    return boto3.client("cloudformation")


@cache
def sagemaker() -> Client:
    """Reads the model registry."""
    return boto3.client("sagemaker")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Reconcile every group that the queue's messages name."""
    wanted: dict[str, str] = {}
    # Only the groups in the messages: another group's last release may have been rolled back, and
    # would drag this one down with it.
    for group, parameters in _groups(event).items():
        package = newest_approved(group)
        if package is None:
            logger.warning("no version is approved, what serves is kept", extra={"group": group})
            continue
        wanted |= {
            parameters["version"]: str(package["ModelPackageVersion"]),
            parameters["model_data"]: model_data(package),
        }
    if wanted:
        release(os.environ["STACK_NAME"], wanted)


def newest_approved(group: str) -> dict[str, Any] | None:
    """The description of the approved package with the highest version."""
    pages = (
        sagemaker()
        .get_paginator("list_model_packages")
        .paginate(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    )
    packages = [package for page in pages for package in page["ModelPackageSummaryList"]]
    if not packages:
        return None
    newest = max(packages, key=lambda package: int(package["ModelPackageVersion"]))
    described: dict[str, Any] = sagemaker().describe_model_package(
        ModelPackageName=newest["ModelPackageArn"]
    )
    return described


def model_data(package: dict[str, Any]) -> str:
    """The S3 URI of the package's model artifact; raises when the package has none."""
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    uri: str = containers[0].get("ModelDataUrl", "") if len(containers) == 1 else ""
    if not uri.startswith("s3://"):
        raise ReleaseRefusedError(
            f"{package['ModelPackageArn']}: a release needs one container with a ModelDataUrl, "
            f"got {len(containers)} containers and {uri!r}: register the version with its "
            "model.tar.gz, or reject it"
        )
    return uri


def release(stack_name: str, wanted: dict[str, str]) -> None:
    """Set the parameters and keep the others; nothing happens when they are set already."""
    [stack] = cloudformation().describe_stacks(StackName=stack_name)["Stacks"]
    current = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}
    if missing := sorted(set(wanted) - set(current)):
        raise ReleaseRefusedError(
            f"stack {stack_name} has no parameter {', '.join(missing)}: deploy it first"
        )
    if stack["StackStatus"].endswith("_IN_PROGRESS"):
        raise StackBusyError(f"stack {stack_name} is in {stack['StackStatus']}")
    changed = {name: value for name, value in wanted.items() if current[name] != value}
    if not changed:
        logger.info("the stack has it already", extra={"stack": stack_name, "wanted": wanted})
        return
    parameters = [
        {"ParameterKey": name, "ParameterValue": changed[name]}
        if name in changed
        else {"ParameterKey": name, "UsePreviousValue": True}
        for name in current
    ]
    try:
        cloudformation().update_stack(
            StackName=stack_name,
            UsePreviousTemplate=True,
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
    except ClientError as error:
        message = error.response["Error"].get("Message", "")
        if "No updates are to be performed" in message:
            logger.info("the stack has it already", extra={"stack": stack_name, "wanted": wanted})
            return
        if "_IN_PROGRESS" in message:
            raise StackBusyError(f"stack {stack_name} is busy: {message}") from error
        raise
    logger.info("the stack is being updated", extra={"stack": stack_name, "changed": changed})


def _groups(event: dict[str, Any]) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = json.loads(os.environ["PIPELINES"])
    named = [
        json.loads(record["body"])["detail"]["ModelPackageGroupName"] for record in event["Records"]
    ]
    for group in sorted(set(named) - set(known)):
        logger.info("not one of the deployment's groups", extra={"group": group})
    return {group: known[group] for group in named if group in known}
