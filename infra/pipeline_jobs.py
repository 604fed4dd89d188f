"""What the steps of a pipeline are built of: references, and the requests of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra import instance_types
from infra.pipeline_settings import PipelineSettings

Json = dict[str, Any]

INPUTS = "/opt/ml/processing/input"
RESULTS = "/opt/ml/processing/output"
CACHE: Json = {"Enabled": True, "ExpireAfter": "P30D"}
RETRIES: list[Json] = [
    {
        "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
        "IntervalSeconds": 10,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
    {
        "ExceptionType": ["SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR"],
        "IntervalSeconds": 60,
        "BackoffRate": 2.0,
        "MaxAttempts": 3,
    },
]


@dataclass(frozen=True)
class Source:
    """An archive of scripts: where it lies in S3, and its file's name in a container."""

    uri: str
    file: str


@dataclass(frozen=True)
class Packaging:
    """What the ONNX engines that serve a pipeline's models need made of them."""

    source: Source
    int8: bool


@dataclass(frozen=True)
class Surroundings:
    """What a pipeline stands in: its names, roles, images and places in S3."""

    pipeline: str
    region: str
    model_package_group: str
    processing_role_arn: str
    training_role_arn: str
    processing_image: str
    training_image: str
    inference_image: str
    key_arn: str
    processing_source: Source
    training_source: Source
    encoder: Source | None
    """The zip of a base that is shipped from this machine."""
    packaging: Packaging | None
    approved_function_arn: str
    artifacts_uri: str
    """`s3://bucket`, under which the pipeline's runs and models lie."""
    serving_instance_types: tuple[str, ...]
    transform_instance_types: tuple[str, ...]

    @property
    def nothing(self) -> str:
        """What an input gets that has nothing to give: an object that holds no model."""
        return self.processing_source.uri

    @property
    def models_uri(self) -> str:
        """Where training puts its artifacts, each below its job's name."""
        return f"{self.artifacts_uri}/pipelines/{self.pipeline}/models"


def get(reference: str) -> Json:
    """A parameter, an execution variable, or a property of another step."""
    return {"Get": reference}


def joined(on: str, *values: object) -> Json:
    """Texts, numbers and references as one text."""
    return {"Std:Join": {"On": on, "Values": list(values)}}


def text_of(parameter: str) -> Json:
    """A parameter where only text may stand; numbers have to be joined into it."""
    return joined("", get(f"Parameters.{parameter}"))


def processing_step(
    settings: PipelineSettings,
    around: Surroundings,
    *,
    name: str,
    arguments: Sequence[object],
    inputs: Json,
    outputs: tuple[str, ...],
    isolated: bool = True,
    source: Source | None = None,
    environment: dict[str, str] | None = None,
    kept_on_failure: tuple[str, ...] = (),
) -> Json:
    """A step that runs `python3 -m <name>` out of the zip of training/, or out of `source`.

    Of its outputs, those `kept_on_failure` are uploaded while it runs, the others after it.
    """
    scripts = source or around.processing_source
    cluster: Json = {
        "InstanceType": settings.processing_instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": settings.volume_gb,
    }
    if instance_types.takes_volume_key(settings.processing_instance_type):
        cluster["VolumeKmsKeyId"] = around.key_arn
    read = {"code": scripts.uri, **inputs}
    return {
        "Name": name,
        "Type": "Processing",
        "CacheConfig": CACHE,
        "RetryPolicies": RETRIES,
        "Arguments": {
            "RoleArn": around.processing_role_arn,
            "AppSpecification": {
                "ImageUri": around.processing_image,
                "ContainerEntrypoint": ["python3", "-m", name.lower()],
                "ContainerArguments": list(arguments),
            },
            "Environment": {
                "PYTHONPATH": f"{INPUTS}/code/{scripts.file}",
                **(environment or {}),
            },
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingInputs": [_processing_input(key, uri) for key, uri in read.items()],
            "ProcessingOutputConfig": {
                "KmsKeyId": around.key_arn,
                "Outputs": [
                    _processing_output(key, around, continuous=key in kept_on_failure)
                    for key in outputs
                ],
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": settings.max_runtime_seconds},
            "NetworkConfig": {"EnableNetworkIsolation": isolated},
        },
    }


def _processing_input(name: str, uri: object) -> Json:
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUTS}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


def _processing_output(name: str, around: Surroundings, *, continuous: bool) -> Json:
    runs = f"{around.artifacts_uri}/pipelines/{around.pipeline}/runs"
    return {
        "OutputName": name,
        "AppManaged": False,
        "S3Output": {
            "S3Uri": joined("/", runs, get("Execution.PipelineExecutionId"), name),
            "LocalPath": f"{RESULTS}/{name}",
            "S3UploadMode": "Continuous" if continuous else "EndOfJob",
        },
    }


def channel(name: str, uri: object) -> Json:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3DataDistributionType": "FullyReplicated",
                "S3Uri": uri,
            }
        },
    }


def output_of(step: str, name: str) -> Json:
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")
