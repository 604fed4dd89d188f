"""The versions of a pipeline: the model packages of its group, and the objects they point to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from lectern.deployment import Client, Deployment
from lectern.faults import LecternError, UsageError

ABSENT = ("404", "NoSuchKey", "NoSuchBucket")


@dataclass(frozen=True)
class Version:
    """One model package, as it is described."""

    pipeline: str
    number: int
    status: str
    model_data: str
    metadata: dict[str, str]


def packages(deployment: Deployment, pipeline: str) -> list[dict[str, Any]]:
    """The summaries of every version."""
    pages = (
        deployment.client("sagemaker")
        .get_paginator("list_model_packages")
        .paginate(ModelPackageGroupName=deployment.pipeline(pipeline)["group"])
    )
    return [dict(package) for page in pages for package in page["ModelPackageSummaryList"]]


def find_version(
    deployment: Deployment, pipeline: str, number: int | None, *, option: str
) -> Version:
    """The version, or the newest; raises where there is none, and names those there are."""
    by_number = {
        int(package["ModelPackageVersion"]): package for package in packages(deployment, pipeline)
    }
    if not by_number:
        raise LecternError(
            f"{pipeline} has no version yet: train one with `lectern train {pipeline} --data FILE`"
        )
    chosen = max(by_number) if number is None else number
    if chosen not in by_number:
        known = ", ".join(str(one) for one in sorted(by_number))
        raise UsageError(f"{option}: {pipeline} has no version {chosen}, it has: {known}")
    described = deployment.client("sagemaker").describe_model_package(
        ModelPackageName=by_number[chosen]["ModelPackageArn"]
    )
    containers = described.get("InferenceSpecification", {}).get("Containers", [])
    return Version(
        pipeline=pipeline,
        number=chosen,
        status=described["ModelApprovalStatus"],
        model_data=containers[0].get("ModelDataUrl", "") if containers else "",
        metadata=dict(described.get("CustomerMetadataProperties", {})),
    )


def model_data(version: Version) -> str:
    """The S3 URI of the version's model artifact; raises where it has none."""
    if not version.model_data:
        raise LecternError(
            f"version {version.number} of {version.pipeline} has no model data: "
            "it was not registered by its pipeline; name another version"
        )
    return version.model_data


def linked(version: Version, name: str) -> str:
    """The S3 URI under `name` in the version's metadata; raises where Register wrote none."""
    uri = version.metadata.get(name, "")
    if not uri.startswith("s3://"):
        raise LecternError(
            f"version {version.number} of {version.pipeline} has no {name}: it was registered "
            f"before reports were written; train a new one with `lectern train {version.pipeline}`"
        )
    return uri


def read(s3: Client, uri: str) -> bytes:
    """The bytes of an object; raises with its URI where it is gone."""
    bucket, key = place(uri)
    try:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            raise LecternError(f"{uri} is gone: was it deleted, or has it expired?") from error
        raise
    return body


def place(uri: str) -> tuple[str, str]:
    """The bucket and the key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
