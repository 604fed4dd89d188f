"""Says which version of a model package group is in service: the newest that is approved.

A pipeline's Lambda step calls it with `{"group": …, "otherwise": …}`, and its outputs are
`ModelDataUri`, which is `otherwise` where no version is approved, and `Version`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time
NO_VERSION = "none"

logger = Logger()


class NotComparableError(RuntimeError):
    """The approved version has no artifact that could be measured."""


@cache
def sagemaker() -> Client:
    """Reads the model registry."""
    return boto3.client("sagemaker")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """The artifact and the version number of the group's newest approved version."""
    group = event["group"]
    newest = newest_approved(group)
    if newest is None:
        logger.info("no version is approved", extra={"group": group})
        return {"ModelDataUri": event["otherwise"], "Version": NO_VERSION}
    package = sagemaker().describe_model_package(ModelPackageName=newest["ModelPackageArn"])
    found = {"ModelDataUri": model_data(package), "Version": str(newest["ModelPackageVersion"])}
    logger.info("a version is approved", extra={"group": group, **found})
    return found


def newest_approved(group: str) -> dict[str, Any] | None:
    """The summary of the approved package with the highest version."""
    pages = (
        sagemaker()
        .get_paginator("list_model_packages")
        .paginate(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    )
    packages = [package for page in pages for package in page["ModelPackageSummaryList"]]
    return max(packages, key=lambda package: int(package["ModelPackageVersion"]), default=None)


def model_data(package: dict[str, Any]) -> str:
    """The S3 URI of the package's model artifact; raises when the package has none."""
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    uri: str = containers[0].get("ModelDataUrl", "") if containers else ""
    if not uri.startswith("s3://"):
        raise NotComparableError(
            f"{package['ModelPackageArn']}: a comparison needs a container with a ModelDataUrl, "
            f"got {len(containers)} containers and {uri!r}: register the version with its "
            "model.tar.gz, or reject it"
        )
    return uri
