"""A pipeline that searches for its hyperparameters: the step Tune, and what reads its best."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from infra.pipeline_definition import pipeline_definition
from tests.infra.pipeline_parts import (
    AROUND,
    CACHE,
    SERVICE_RETRY,
    SHA,
    output,
    packaging,
    read,
    settings,
    steps,
    text,
)

RANGES = {
    "learning_rate": {"min": 1e-5, "max": 1e-4, "scale": "logarithmic"},
    "epochs": [2, 5],
    "weight_decay": [0, 0.1],
    "batch_size": {"values": [16, 32]},
    "train_only_top_layer": {"values": [True, False]},
}
TUNE = {"max_jobs": 6, "max_parallel_jobs": 2, "ranges": RANGES}
HYPERBAND = {
    "strategy": "hyperband",
    "max_jobs": 8,
    "ranges": {"epochs": [1, 9], "learning_rate": [1e-5, 1e-4]},
}
BEST = {
    "Std:Join": {
        "On": "/",
        "Values": [
            "s3://artifacts/pipelines/reviews/models",
            {"Get": "Steps.Tune.BestTrainingJob.TrainingJobName"},
            "output/model.tar.gz",
        ],
    }
}


def search(**changes):
    """The part of the request that says how the search goes on."""
    found = steps(tune={**TUNE, **changes})["Tune"]["Arguments"]
    return found["HyperParameterTuningJobConfig"]


def test_the_search_has_ranges_of_each_kind_with_numbers_as_text():
    assert search(early_stopping=True) == {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "eval_accuracy"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "IntegerParameterRanges": [
                {"Name": "epochs", "MinValue": "2", "MaxValue": "5", "ScalingType": "Auto"}
            ],
            "ContinuousParameterRanges": [
                {
                    "Name": "learning_rate",
                    "MinValue": "1e-05",
                    "MaxValue": "0.0001",
                    "ScalingType": "Logarithmic",
                },
                {"Name": "weight_decay", "MinValue": "0.0", "MaxValue": "0.1", "ScalingType": "Auto"},
            ],
            "CategoricalParameterRanges": [
                {"Name": "batch_size", "Values": ["16", "32"]},
                {"Name": "train_only_top_layer", "Values": ["True", "False"]},
            ],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "RandomSeed": {"Get": "Parameters.Seed"},
    }  # fmt: skip


def test_a_job_of_the_search_is_what_training_is_but_for_what_is_tried():
    train, tune = steps()["Train"], steps(tune=TUNE)["Tune"]
    assert {key: tune[key] for key in ("Type", "CacheConfig", "RetryPolicies")} == {
        "Type": "Tuning",
        "CacheConfig": CACHE,
        # What is tried again by the job itself is not begun anew by the pipeline.
        "RetryPolicies": [SERVICE_RETRY],
    }
    expected = dict(train["Arguments"])
    given = expected.pop("HyperParameters")
    job = dict(tune["Arguments"]["TrainingJobDefinition"])
    static = job.pop("StaticHyperParameters")
    assert job.pop("RetryStrategy") == {"MaximumRetryAttempts": 3}
    assert job == expected
    assert static == {name: value for name, value in given.items() if name not in RANGES}
    assert set(RANGES) <= set(given)


def test_what_is_tuned_has_no_parameter():
    parameters = pipeline_definition(settings(tune=TUNE), AROUND)["Parameters"]
    names = {parameter["Name"] for parameter in parameters}
    tuned = {"LearningRate", "Epochs", "WeightDecay", "BatchSize", "TrainOnlyTopLayer"}
    assert not tuned & names
    assert {"MaxLength", "WarmupRatio", "Seed", "GateAtLeast"} <= names


@pytest.mark.parametrize(
    ("problem", "objective", "expected"),
    [
        ("single-label", None, ("Maximize", "eval_accuracy")),
        ("multi-label", None, ("Maximize", "eval_f1_micro")),
        ("multi-label", "eval_f1", ("Maximize", "eval_f1")),
        ("single-label", "eval_loss", ("Minimize", "eval_loss")),
    ],
)
def test_losses_are_made_small_and_other_figures_large(problem, objective, expected):
    chosen = {"objective": objective} if objective else {}
    job = steps(problem=problem, tune={**TUNE, **chosen})["Tune"]["Arguments"]
    found = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert (found["Type"], found["MetricName"]) == expected
    metrics = job["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert expected[1] in {metric["Name"] for metric in metrics}


def test_hyperband_takes_the_epochs_as_its_resource_and_gives_each_job_the_most():
    job = steps(tune=HYPERBAND)["Tune"]["Arguments"]
    found = job["HyperParameterTuningJobConfig"]
    assert found["Strategy"] == "Hyperband"
    assert found["TrainingJobEarlyStoppingType"] == "Off"
    resource = {"MinResource": 1, "MaxResource": 9}
    assert found["StrategyConfig"] == {"HyperbandStrategyConfig": resource}
    assert list(found["ParameterRanges"]) == ["ContinuousParameterRanges"]
    assert job["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] == "9"


def test_other_searches_have_no_resource():
    assert "StrategyConfig" not in search()


def test_the_best_jobs_model_is_measured_and_registered():
    found = steps(tune=TUNE)
    assert list(found) == ["Stage", "Prepare", "Tune", "Approved", "Evaluate", "Gate"]
    assert found["Approved"]["DependsOn"] == ["Tune"]
    assert read("model", BEST) in found["Evaluate"]["Arguments"]["ProcessingInputs"]
    [register] = found["Gate"]["Arguments"]["IfSteps"]
    [container] = register["Arguments"]["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == BEST


def test_the_best_jobs_model_is_what_is_packaged():
    found = steps(packaging(int8=False), tune=TUNE)["Package"]["Arguments"]["ProcessingInputs"]
    assert read("model", BEST) in found
    assert read("rows", output("Prepare", "validation")) in found


def test_spot_jobs_of_a_search_share_no_checkpoints():
    spot = {"spot": True, "max_runtime_seconds": 600, "max_wait_seconds": 1200}
    job = steps(tune=TUNE, **spot)["Tune"]["Arguments"]["TrainingJobDefinition"]
    assert job["EnableManagedSpotTraining"]
    assert "CheckpointConfig" not in job
    assert "checkpoint_dir" not in job["StaticHyperParameters"]


ROLE = "arn:aws:iam::123456789012:role/training"


def resolved(value: Any, key: str = "") -> Any:
    """The request as SageMaker makes it of the step, each reference answered with some value."""
    match value:
        case {"Get": _} if key == "RandomSeed":
            return 13
        case {"Get": _} | {"Std:Join": _}:
            return "s3://bucket/some/key"
        case dict():
            return {name: resolved(one, name) for name, one in value.items()}
        case list():
            return [resolved(one) for one in value]
    return ROLE if key == "RoleArn" else value


@pytest.mark.parametrize(
    ("step", "operation", "name", "changes"),
    [
        ("Tune", "CreateHyperParameterTuningJob", "HyperParameterTuningJobName", {"tune": TUNE}),
        ("Tune", "CreateHyperParameterTuningJob", "HyperParameterTuningJobName", {"tune": HYPERBAND}),
        ("Train", "CreateTrainingJob", "TrainingJobName", {"spot": True, "max_wait_seconds": 20000}),
        ("Evaluate", "CreateProcessingJob", "ProcessingJobName", {}),
        ("Gate", "CreateModelPackage", "ModelPackageName", {}),
    ],
)  # fmt: skip
def test_each_request_has_the_shape_that_sagemakers_own_model_asks_for(
    step, operation, name, changes
):
    found = steps(**changes)[step]["Arguments"]
    if step == "Gate":
        found = found["IfSteps"][0]["Arguments"]
    shape = botocore.session.get_session().get_service_model("sagemaker")
    request = {**resolved(found), name: "pipelines-abc-Step"}
    report = ParamValidator().validate(request, shape.operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()
    assert unknown(request, shape.operation_model(operation).input_shape) == set()


def unknown(request: Any, shape: Any) -> set[str]:
    """Members that the service does not know, which the validator passes over."""
    if isinstance(request, list):
        return set().union(*(unknown(one, shape.member) for one in request))
    if not isinstance(request, dict) or shape.type_name != "structure":
        return set()
    strange = set(request) - set(shape.members)
    below = (unknown(v, shape.members[k]) for k, v in request.items() if k in shape.members)
    return strange.union(*below)


def test_the_tuned_encoder_is_named_as_it_is_without_a_search():
    static = steps(tune=TUNE)["Tune"]["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"]
    assert static["base_revision"] == SHA
    assert static["seed"] == text("Seed")
