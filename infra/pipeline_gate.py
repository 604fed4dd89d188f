"""What a trained model has to pass: its evaluation, the gate, and the entry in the registry."""

from __future__ import annotations

from infra.pipeline_jobs import (
    INPUTS,
    RESULTS,
    RETRIES,
    Json,
    Surroundings,
    get,
    joined,
    model_data,
    output_of,
    processing_step,
    text_of,
)
from infra.pipeline_settings import PipelineSettings
from infra.tasks import TRAINED


def evaluate_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """Measures the model on the test rows."""
    step = processing_step(
        settings,
        around,
        name="Evaluate",
        arguments=[
            *("--model", f"{INPUTS}/model"),
            *("--test", f"{INPUTS}/test"),
            *("--output", f"{RESULTS}/evaluation"),
            *("--resamples", "1000"),
            *("--seed", text_of("Seed")),
        ],
        inputs={"model": model_data(around), "test": output_of("Prepare", "test")},
        outputs=("evaluation",),
    )
    step["PropertyFiles"] = [
        {"PropertyFileName": "Metrics", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    ]
    return step


def gate_step(settings: PipelineSettings, around: Surroundings) -> Json:
    """Registers a model that is good enough, and ends the run with both figures where not."""
    metric = settings.gate.metric
    measured: Json = {
        "Std:JsonGet": {
            "PropertyFile": get("Steps.Evaluate.PropertyFiles.Metrics"),
            "Path": f"metrics.{metric}.value",
        }
    }
    required = get("Parameters.GateAtLeast")
    too_weak = joined(
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
    evaluation = joined("/", output_of("Evaluate", "evaluation"), "evaluation.json")
    approved = settings.approval == "automatic"
    served: Json = {
        "Containers": [
            {
                "Image": around.inference_image,
                "ModelDataUrl": model_data(around),
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
        },
    }
