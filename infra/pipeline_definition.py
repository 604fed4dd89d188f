"""The definition of a fine-tuning pipeline as plain data, in SageMaker's own words."""

from __future__ import annotations

from infra import instance_types
from infra.pipeline_gate import evaluate_step, gate_step
from infra.pipeline_jobs import (
    CACHE,
    INPUTS,
    METRICS,
    RESULTS,
    RETRIES,
    VOLUME_GB,
    Json,
    Surroundings,
    channel,
    get,
    output_of,
    processing_step,
    text_of,
    trained_model_data,
)
from infra.pipeline_settings import HubBase, PipelineSettings


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
            *_package(settings, around),
            evaluate_step(settings, around),
            gate_step(settings, around),
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


def _prepare(settings: PipelineSettings, around: Surroundings) -> Json:
    outputs = ("train", "validation", "test", "report")
    arguments = [
        *("--input", f"{INPUTS}/raw"),
        *(part for name in outputs for part in (f"--{name}", f"{RESULTS}/{name}")),
        *("--text-column", get("Parameters.TextColumn")),
        *("--label-column", get("Parameters.LabelColumn")),
        *("--label-at-least", get("Parameters.LabelAtLeast")),
        *("--validation-fraction", text_of("ValidationFraction")),
        *("--test-fraction", text_of("TestFraction")),
        *("--seed", text_of("Seed")),
    ]
    return processing_step(
        settings,
        around,
        name="Prepare",
        arguments=arguments,
        inputs={"raw": get("Parameters.InputDataUri")},
        outputs=outputs,
    )


def _stage(settings: PipelineSettings, around: Surroundings) -> Json:
    base = settings.base
    if isinstance(base, HubBase):
        arguments = ["--hub", base.hub, "--revision", base.revision]
    else:
        arguments = ["--package", base.package]
    return processing_step(
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
        "CacheConfig": CACHE,
        "RetryPolicies": RETRIES,
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
                    f"/opt/ml/input/data/code/{around.training_source.file}"
                ),
                "epochs": text_of("Epochs"),
                "learning_rate": text_of("LearningRate"),
                "batch_size": text_of("BatchSize"),
                "max_length": text_of("MaxLength"),
                "train_only_top_layer": get("Parameters.TrainOnlyTopLayer"),
                "weight_decay": str(tried.weight_decay),
                "warmup_ratio": str(tried.warmup_ratio),
                "seed": text_of("Seed"),
                **identity,
            },
            "InputDataConfig": [
                channel("train", output_of("Prepare", "train")),
                channel("validation", output_of("Prepare", "validation")),
                channel("base", output_of("Stage", "base")),
                channel("code", around.training_source.uri),
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


def _package(settings: PipelineSettings, around: Surroundings) -> list[Json]:
    """The step that adds the files of ONNX engines to the model, where one of them serves it."""
    if around.packaging is None:
        return []
    step = processing_step(
        settings,
        around,
        name="Package",
        arguments=[
            *("--model", f"{INPUTS}/model"),
            *("--rows", f"{INPUTS}/rows"),
            *("--output", f"{RESULTS}/package"),
            *("--int8", str(around.packaging.int8)),
        ],
        # What is chosen by these rows is measured on others, by Evaluate.
        inputs={"model": trained_model_data(), "rows": output_of("Prepare", "validation")},
        outputs=("package",),
        source=around.packaging.source,
    )
    return [step]
