"""What the tests of pipeline definitions are written with: settings, surroundings, references."""

from __future__ import annotations

import dataclasses

from infra.pipeline_definition import pipeline_definition
from infra.pipeline_jobs import Packaging, Source, Surroundings
from infra.pipeline_settings import PipelineSettings

SHA = "12040accade4e8a0f71eabdb258fecc2e7e948be"
AROUND = Surroundings(
    pipeline="reviews",
    region="us-east-1",
    model_package_group="lectern-dev-reviews",
    processing_role_arn="PROCESSING_ROLE",
    training_role_arn="TRAINING_ROLE",
    processing_image="CPU_IMAGE",
    training_image="TRAINING_IMAGE",
    inference_image="SERVING_IMAGE",
    key_arn="KEY",
    processing_source=Source("s3://assets/1.zip", "1.zip"),
    training_source=Source("s3://assets/2.tar.gz", "2.tar.gz"),
    encoder=None,
    packaging=None,
    approved_function_arn="APPROVED",
    artifacts_uri="s3://artifacts",
    serving_instance_types=("ml.g5.xlarge",),
    transform_instance_types=("ml.g5.xlarge",),
)
NOTHING = "s3://assets/1.zip"
TRAINED = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
CACHE = {"Enabled": True, "ExpireAfter": "P30D"}
SERVICE_RETRY = {
    "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
    "IntervalSeconds": 10,
    "BackoffRate": 2.0,
    "MaxAttempts": 5,
}
CAPACITY_RETRY = {
    "ExceptionType": ["SageMaker.CAPACITY_ERROR", "SageMaker.JOB_INTERNAL_ERROR"],
    "IntervalSeconds": 60,
    "BackoffRate": 2.0,
    "MaxAttempts": 3,
}


def settings(**changes):
    return PipelineSettings.model_validate(
        {
            "base": {"hub": "distilbert/distilbert-base-uncased", "revision": SHA},
            "problem": "single-label",
            "gate": {"metric": "accuracy", "at_least": 0.85},
            "approval": "manual",
            "instance_type": "ml.g5.xlarge",
            "processing_instance_type": "ml.m5.xlarge",
            **changes,
        }
    )


def steps(around=AROUND, **changes):
    definition = pipeline_definition(settings(**changes), around)
    return {step["Name"]: step for step in definition["Steps"]}


def packaging(*, int8):
    """The same surroundings, where an ONNX engine serves the model."""
    return dataclasses.replace(
        AROUND, packaging=Packaging(source=Source("s3://assets/3.zip", "3.zip"), int8=int8)
    )


def text(parameter):
    return {"Std:Join": {"On": "", "Values": [{"Get": f"Parameters.{parameter}"}]}}


def option(name, parameter):
    """One word of a command, since the value may begin with a dash."""
    return {"Std:Join": {"On": "=", "Values": [name, {"Get": f"Parameters.{parameter}"}]}}


def output(step, name):
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri"}


def read(name, uri):
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"/opt/ml/processing/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


def written(name):
    run = ["s3://artifacts/pipelines/reviews/runs", {"Get": "Execution.PipelineExecutionId"}, name]
    return {
        "OutputName": name,
        "AppManaged": False,
        "S3Output": {
            "S3Uri": {"Std:Join": {"On": "/", "Values": run}},
            "LocalPath": f"/opt/ml/processing/output/{name}",
            "S3UploadMode": "Continuous" if name == "report" else "EndOfJob",
        },
    }


def processing(name, arguments, inputs, outputs, *, isolated, code="1.zip"):
    return {
        "Name": name,
        "Type": "Processing",
        "CacheConfig": CACHE,
        "RetryPolicies": [SERVICE_RETRY, CAPACITY_RETRY],
        "Arguments": {
            "RoleArn": "PROCESSING_ROLE",
            "AppSpecification": {
                "ImageUri": "CPU_IMAGE",
                "ContainerEntrypoint": ["python3", "-m", name.lower()],
                "ContainerArguments": arguments,
            },
            "Environment": {"PYTHONPATH": f"/opt/ml/processing/input/code/{code}"},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                    "VolumeKmsKeyId": "KEY",
                }
            },
            "ProcessingInputs": [read("code", f"s3://assets/{code}"), *inputs],
            "ProcessingOutputConfig": {"KmsKeyId": "KEY", "Outputs": [written(o) for o in outputs]},
            "StoppingCondition": {"MaxRuntimeInSeconds": 14400},
            "NetworkConfig": {"EnableNetworkIsolation": isolated},
        },
    }


def channel(name, uri):
    source = {
        "S3DataType": "S3Prefix",
        "S3DataDistributionType": "FullyReplicated",
        "S3Uri": uri,
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def asked(metric, of="value"):
    """The first requirement, whose figure a run may change."""
    parts = [metric, of, {"Get": "Parameters.GateAtLeast"}]
    return ["--require", {"Std:Join": {"On": ":", "Values": parts}}]


def approved(name):
    return {"Get": f"Steps.Approved.OutputParameters['{name}']"}
