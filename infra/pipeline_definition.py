"""The definition of a fine-tuning pipeline as plain data, in SageMaker's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra import instance_types
from infra.settings import HubBase, PipelineSettings

Json = dict[str, Any]

METRICS = ("loss", "eval_loss", "eval_accuracy", "eval_f1", "learning_rate", "epoch")
VOLUME_GB = 30
CODE = "/opt/ml/processing/input/code"
ROWS = "/opt/ml/processing/input"
RESULTS = "/opt/ml/processing/output"
_CACHE: Json = {"Enabled": True, "ExpireAfter": "P30D"}
_RETRIES: list[Json] = [
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
class Surroundings:
    """What a pipeline stands in: its names, roles, images and places in S3."""

    pipeline: str
    model_package_group: str
    processing_role_arn: str
    training_role_arn: str
    processing_image: str
    training_image: str
    inference_image: str
    key_arn: str
    processing_source_uri: str
    processing_source_file: str
    training_source_uri: str
    training_source_file: str
    artifacts_uri: str
    """`s3://bucket`, under which the pipeline's runs and models lie."""
    serving_instance_types: tuple[str, ...]
    transform_instance_types: tuple[str, ...]


def pipeline_definition(settings: PipelineSettings, around: Surroundings) -> Json:
    """The document that CreatePipeline takes as PipelineDefinition."""
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": _parameters(settings),
        "Steps": [
            _prepare(settings, around),
            _stage(settings, around),
            _train(settings, around),
            _evaluate(settings, around),
            _gate(settings, around),
        ],
    }


def _parameters(settings: PipelineSettings) -> list[Json]:
    tried, columns, split = settings.hyperparameters, settings.columns, settings.split
    at_least = "none" if columns.label_at_least is None else str(columns.label_at_least)
    return [
        # No default: a cached step would answer for yesterday's rows under the same prefix.
        {"Name": "InputDataUri", "Type": "String"},
        _parameter("TextColumn", columns.text),
        _parameter("LabelColumn", columns.label),
        _parameter("LabelAtLeast", at_least),
        _parameter("ValidationFraction", split.validation),
        _parameter("TestFraction", split.test),
        _parameter("Epochs", tried.epochs),
        _parameter("LearningRate", tried.learning_rate),
        _parameter("BatchSize", tried.batch_size),
        _parameter("MaxLength", tried.max_length),
        _parameter("TrainOnlyTopLayer", str(tried.train_only_top_layer)),
        _parameter("Seed", split.seed),
        _parameter("GateAtLeast", settings.gate.at_least),
    ]


def _parameter(name: str, default: str | float) -> Json:
    kinds = {str: "String", int: "Integer", float: "Float"}
    return {"Name": name, "Type": kinds[type(default)], "DefaultValue": default}


def _get(reference: str) -> Json:
    return {"Get": reference}


def _joined(on: str, *values: object) -> Json:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def _text(parameter: str) -> Json:
    """A parameter where only text may stand; numbers have to be joined into it."""
    return _joined("", _get(f"Parameters.{parameter}"))


def _prepare(settings: PipelineSettings, around: Surroundings) -> Json:
    outputs = ("train", "validation", "test", "report")
    arguments = [
        *("--input", f"{ROWS}/raw"),
        *(part for name in outputs for part in (f"--{name}", f"{RESULTS}/{name}")),
        *("--text-column", _get("Parameters.TextColumn")),
        *("--label-column", _get("Parameters.LabelColumn")),
        *("--label-at-least", _get("Parameters.LabelAtLeast")),
        *("--validation-fraction", _text("ValidationFraction")),
        *("--test-fraction", _text("TestFraction")),
        *("--seed", _text("Seed")),
    ]
    return _processing(
        settings,
        around,
        name="Prepare",
        arguments=arguments,
        inputs={"raw": _get("Parameters.InputDataUri")},
        outputs=outputs,
    )


def _stage(settings: PipelineSettings, around: Surroundings) -> Json:
    base = settings.base
    if isinstance(base, HubBase):
        arguments = ["--hub", base.hub, "--revision", base.revision]
    else:
        arguments = ["--package", base.package]
    return _processing(
        settings,
        around,
        name="Stage",
        arguments=[*arguments, "--output", f"{RESULTS}/base"],
        inputs={},
        outputs=("base",),
        # The one step that fetches from the Hub.
        isolated=not isinstance(base, HubBase),
    )


def _train(settings: PipelineSettings, around: Surroundings) -> Json:
    base, tried = settings.base, settings.hyperparameters
    identity = (
        {"base_id": base.hub, "base_revision": base.revision}
        if isinstance(base, HubBase)
        else {"base_id": base.package}
    )
    resources: Json = {
        "InstanceType": settings.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": VOLUME_GB,
    }
    if instance_types.takes_volume_key(settings.instance_type):
        resources["VolumeKmsKeyId"] = around.key_arn
    stopping = {"MaxRuntimeInSeconds": settings.max_runtime_seconds}
    if settings.max_wait_seconds is not None:
        stopping["MaxWaitTimeInSeconds"] = settings.max_wait_seconds
    return {
        "Name": "Train",
        "Type": "Training",
        "CacheConfig": _CACHE,
        "RetryPolicies": _RETRIES,
        "Arguments": {
            "RoleArn": around.training_role_arn,
            "AlgorithmSpecification": {
                "TrainingImage": around.training_image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"METRIC {name}=([0-9.eE+-]+)"} for name in METRICS
                ],
            },
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": (
                    f"/opt/ml/input/data/code/{around.training_source_file}"
                ),
                "epochs": _text("Epochs"),
                "learning_rate": _text("LearningRate"),
                "batch_size": _text("BatchSize"),
                "max_length": _text("MaxLength"),
                "train_only_top_layer": _get("Parameters.TrainOnlyTopLayer"),
                "weight_decay": str(tried.weight_decay),
                "warmup_ratio": str(tried.warmup_ratio),
                "seed": _text("Seed"),
                **identity,
            },
            "InputDataConfig": [
                _channel("train", _output("Prepare", "train")),
                _channel("validation", _output("Prepare", "validation")),
                _channel("base", _output("Stage", "base")),
                _channel("code", around.training_source_uri),
            ],
            "OutputDataConfig": {
                "S3OutputPath": f"{around.artifacts_uri}/pipelines/{around.pipeline}/models",
                "KmsKeyId": around.key_arn,
            },
            "ResourceConfig": resources,
            "StoppingCondition": stopping,
            "EnableManagedSpotTraining": settings.spot,
            "EnableNetworkIsolation": True,
        },
    }


def _evaluate(settings: PipelineSettings, around: Surroundings) -> Json:
    step = _processing(
        settings,
        around,
        name="Evaluate",
        arguments=[
            *("--model", f"{ROWS}/model"),
            *("--test", f"{ROWS}/test"),
            *("--output", f"{RESULTS}/evaluation"),
            *("--resamples", "1000"),
            *("--seed", _text("Seed")),
        ],
        inputs={"model": _model_data(), "test": _output("Prepare", "test")},
        outputs=("evaluation",),
    )
    step["PropertyFiles"] = [
        {"PropertyFileName": "Metrics", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    ]
    return step


def _gate(settings: PipelineSettings, around: Surroundings) -> Json:
    metric = settings.gate.metric
    measured: Json = {
        "Std:JsonGet": {
            "PropertyFile": _get("Steps.Evaluate.PropertyFiles.Metrics"),
            "Path": f"metrics.{metric}.value",
        }
    }
    required = _get("Parameters.GateAtLeast")
    too_weak = _joined(
        "",
        f"{around.pipeline}: {metric} of the trained model is ",
        measured,
        ", the gate asks for at least ",
        required,
    )
    return {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {"Type": "GreaterThanOrEqualTo", "LeftValue": measured, "RightValue": required}
            ],
            "IfSteps": [_register(settings, around)],
            "ElseSteps": [
                {"Name": "TooWeak", "Type": "Fail", "Arguments": {"ErrorMessage": too_weak}}
            ],
        },
    }


def _register(settings: PipelineSettings, around: Surroundings) -> Json:
    approved = settings.approval == "automatic"
    served: Json = {
        "Containers": [
            {
                "Image": around.inference_image,
                "ModelDataUrl": _model_data(),
                "Environment": {"HF_TASK": "text-classification"},
            }
        ],
        "SupportedContentTypes": ["application/json", "application/jsonlines"],
        "SupportedResponseMIMETypes": ["application/json", "application/jsonlines"],
    }
    if around.serving_instance_types:
        served["SupportedRealtimeInferenceInstanceTypes"] = list(around.serving_instance_types)
    if around.transform_instance_types:
        served["SupportedTransformInstanceTypes"] = list(around.transform_instance_types)
    return {
        "Name": "Register",
        "Type": "RegisterModel",
        "RetryPolicies": _RETRIES[:1],
        "Arguments": {
            "ModelPackageGroupName": around.model_package_group,
            "ModelApprovalStatus": "Approved" if approved else "PendingManualApproval",
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": _joined("/", _output("Evaluate", "evaluation"), "evaluation.json"),
                    }
                }
            },
            "InferenceSpecification": served,
        },
    }


def _processing(
    settings: PipelineSettings,
    around: Surroundings,
    *,
    name: str,
    arguments: Sequence[object],
    inputs: Json,
    outputs: tuple[str, ...],
    isolated: bool = True,
) -> Json:
    """A step that runs `python3 -m <name>` out of the zip of training/."""
    cluster: Json = {
        "InstanceType": settings.processing_instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": VOLUME_GB,
    }
    if instance_types.takes_volume_key(settings.processing_instance_type):
        cluster["VolumeKmsKeyId"] = around.key_arn
    read = {"code": around.processing_source_uri, **inputs}
    return {
        "Name": name,
        "Type": "Processing",
        "CacheConfig": _CACHE,
        "RetryPolicies": _RETRIES,
        "Arguments": {
            "RoleArn": around.processing_role_arn,
            "AppSpecification": {
                "ImageUri": around.processing_image,
                "ContainerEntrypoint": ["python3", "-m", name.lower()],
                "ContainerArguments": list(arguments),
            },
            "Environment": {"PYTHONPATH": f"{CODE}/{around.processing_source_file}"},
            "ProcessingResources": {"ClusterConfig": cluster},
            "ProcessingInputs": [_processing_input(key, uri) for key, uri in read.items()],
            "ProcessingOutputConfig": {
                "KmsKeyId": around.key_arn,
                "Outputs": [_processing_output(key, around) for key in outputs],
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
            "LocalPath": f"{ROWS}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


def _processing_output(name: str, around: Surroundings) -> Json:
    runs = f"{around.artifacts_uri}/pipelines/{around.pipeline}/runs"
    return {
        "OutputName": name,
        "AppManaged": False,
        "S3Output": {
            "S3Uri": _joined("/", runs, _get("Execution.PipelineExecutionId"), name),
            "LocalPath": f"{RESULTS}/{name}",
            "S3UploadMode": "EndOfJob",
        },
    }


def _channel(name: str, uri: object) -> Json:
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


def _output(step: str, name: str) -> Json:
    return _get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def _model_data() -> Json:
    return _get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
