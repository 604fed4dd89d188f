"""What a training request asks for: checked, and in the words of the container's files."""

from __future__ import annotations

from typing import Any

from local.sagemaker.containers import (
    INFERENCE_REPOSITORY,
    TRAINING_REPOSITORY,
    check_image,
    check_one_instance,
)
from local.sagemaker.errors import ValidationException
from local.sagemaker.host import Host
from local.sagemaker.metrics import compiled
from local.sagemaker.store import Record

DAY_SECONDS = 86_400
CHECKPOINTS = "/opt/ml/checkpoints"
_GROUP = "homogeneousCluster"


def check(host: Host, request: Record) -> None:
    """Refuses what this machine cannot run."""
    algorithm = request["AlgorithmSpecification"]
    image = algorithm.get("TrainingImage")
    if image is None:
        raise ValidationException(
            "AlgorithmSpecification.TrainingImage is missing: the local AWS runs no AlgorithmName"
        )
    repository = check_image(image, TRAINING_REPOSITORY, INFERENCE_REPOSITORY)
    if repository == INFERENCE_REPOSITORY and not algorithm.get("ContainerEntrypoint"):
        raise ValidationException(
            f"image {image!r} has no training toolkit: use {TRAINING_REPOSITORY}, or set "
            "AlgorithmSpecification.ContainerEntrypoint"
        )
    check_one_instance(request["ResourceConfig"].get("InstanceCount"))
    for definition in algorithm.get("MetricDefinitions", []):
        compiled(definition)
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) < len(names):
        raise ValidationException(f"InputDataConfig: channel names must be unique, got {names}")
    for channel in request.get("InputDataConfig", []):
        mode = channel.get("InputMode") or algorithm["TrainingInputMode"]
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix" or mode == "Pipe":
            raise ValidationException(
                f"channel {channel['ChannelName']!r}: the local AWS reads S3DataSource with "
                "S3DataType S3Prefix in File or FastFile mode only"
            )
    checkpoints = request.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS)
    if not f"{checkpoints}/".startswith("/opt/ml/"):
        raise ValidationException(
            f"CheckpointConfig.LocalPath {checkpoints!r} is not under /opt/ml: use a path below it"
        )
    spot = request.get("EnableManagedSpotTraining", False)
    stopping = request.get("StoppingCondition", {})
    longest = stopping.get("MaxRuntimeInSeconds", DAY_SECONDS)
    if spot and stopping.get("MaxWaitTimeInSeconds", 0) < longest:
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds when EnableManagedSpotTraining is set to true"
        )


def channels(request: Record) -> dict[str, Any]:
    """As the container reads them from inputdataconfig.json."""
    default = request["AlgorithmSpecification"]["TrainingInputMode"]
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": channel.get("InputMode") or default,
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in request.get("InputDataConfig", [])
    }


def resources(request: Record) -> dict[str, Any]:
    """As the container reads them from resourceconfig.json."""
    instance = request["ResourceConfig"].get("InstanceType", "ml.local")
    group = {"instance_group_name": _GROUP, "instance_type": instance, "hosts": ["algo-1"]}
    return {
        "current_group_name": _GROUP,
        "current_host": "algo-1",
        "current_instance_type": instance,
        "hosts": ["algo-1"],
        "instance_groups": [group],
        "network_interface_name": "eth0",
    }
