"""What a trained model has to pass: its evaluation, the gate, and the entry in the registry."""

from __future__ import annotations

from infra.gate_settings import Requirement
from infra.pipeline_jobs import (
    INPUTS,
    RESULTS,
    RETRIES,
    Json,
    Surroundings,
    get,
    joined,
    output_of,
    processing_step,
    text_of,
)
from infra.pipeline_settings import PipelineSettings
from infra.pipeline_training import last_training_step, model_data
from infra.tasks import TRAINED


def approved_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """Looks up the version in service, with which the trained model is compared."""
    return {
        "Name": "Approved",
        "Type": "Lambda",
        "FunctionArn": around.approved_function_arn,
        # Training takes hours, in which another version may be approved.
        "DependsOn": [last_training_step(settings, around)],
        "Arguments": {"group": around.model_package_group, "otherwise": around.nothing},
        "OutputParameters": [
            {"OutputName": name, "OutputType": "String"} for name in ("ModelDataUri", "Version")
        ],
    }


def evaluate_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """Measures the model on the test rows, beside the version in service."""
    step = processing_step(
        settings,
        around,
        name="Evaluate",
        arguments=[
            *("--model", f"{INPUTS}/model"),
            *("--test", f"{INPUTS}/test"),
            *("--output", f"{RESULTS}/evaluation"),
            *("--resamples", str(settings.evaluation.resamples)),
            *("--examples", str(settings.evaluation.examples)),
            *("--seed", text_of("Seed")),
            *("--approved", f"{INPUTS}/approved"),
            *("--approved-version", _approved("Version")),
            *_required(settings),
        ],
        inputs={
            "model": model_data(settings, around),
            "test": output_of("Prepare", "test"),
            "approved": _approved("ModelDataUri"),
        },
        outputs=("evaluation",),
    )
    step["PropertyFiles"] = [
        {"PropertyFileName": "Metrics", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    ]
    return step


def _approved(name: str) -> Json:
    return get(f"Steps.Approved.OutputParameters['{name}']")


def _required(settings: PipelineSettings) -> list[object]:
    gate = settings.gate
    first = joined(":", gate.metric, gate.of, get("Parameters.GateAtLeast"))
    arguments: list[object] = ["--require", first]
    for other in gate.also:
        arguments += ["--require", _requirement(other)]
    if gate.over_approved is not None:
        arguments += ["--margin", f"{gate.over_approved.metric}:{gate.over_approved.margin}"]
    return arguments


def _requirement(asked: Requirement) -> str:
    return f"{asked.metric}:{asked.of}:{asked.at_least}"


def gate_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """Registers a model that is good enough, and ends the run with the figures where not."""
    too_weak = joined("", f"{around.pipeline}: ", _judged("message"))
    return {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {
                    "Type": "GreaterThanOrEqualTo",
                    "LeftValue": _judged("passed"),
                    "RightValue": 1,
                }
            ],
            "IfSteps": [_register(settings, around)],
            "ElseSteps": [
                {"Name": "TooWeak", "Type": "Fail", "Arguments": {"ErrorMessage": too_weak}}
            ],
        },
    }


def _judged(member: str) -> Json:
    """What Evaluate says of the model: whether it passed, and why."""
    return {
        "Std:JsonGet": {
            "PropertyFile": get("Steps.Evaluate.PropertyFiles.Metrics"),
            "Path": f"gate.{member}",
        }
    }


def _register(settings: PipelineSettings, around: Surroundings) -> Json:
    folder = output_of("Evaluate", "evaluation")
    evaluation = joined("/", folder, "evaluation.json")
    approved = settings.approval == "automatic"
    served: Json = {
        "Containers": [
            {
                "Image": around.inference_image,
                "ModelDataUrl": model_data(settings, around),
                "Environment": {"HF_TASK": TRAINED},
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
        "RetryPolicies": RETRIES[:1],
        "Arguments": {
            "ModelPackageGroupName": around.model_package_group,
            "ModelApprovalStatus": "Approved" if approved else "PendingManualApproval",
            "ModelMetrics": {
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": evaluation,
                    }
                }
            },
            "InferenceSpecification": served,
            "CustomerMetadataProperties": {
                "card": joined("/", folder, "card.html"),
                "evaluation": evaluation,
                "execution": get("Execution.PipelineExecutionId"),
            },
        },
    }
