"""Steps of the types Tuning and Lambda."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest

from local.sagemaker import SageMakerError

FUNCTION = """
def handler(event, context):
    if event.get("fails"):
        raise ValueError("no version of " + event["group"])
    return {"ModelDataUri": "s3://b/" + event["group"], "Version": 3, "Found": True,
            "Share": 0.5, "More": 1}
"""


def get(path):
    return {"Get": path}


def run(lab, *steps, **parameters):
    """The finished execution's steps by name."""
    return finished(lab, start(lab, pipeline(lab, *steps, **parameters)))


def pipeline(lab, *steps, **parameters):
    name = f"steps-{uuid.uuid4().hex[:8]}"
    document = {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": key, "Type": "String", "DefaultValue": value}
            for key, value in parameters.items()
        ],
        "Steps": list(steps),
    }
    lab.call(
        "CreatePipeline",
        {
            "PipelineName": name,
            "PipelineDefinition": json.dumps(document),
            "RoleArn": lab.role,
            "ClientRequestToken": uuid.uuid4().hex,
        },
    )
    return name


def start(lab, name, **parameters):
    return lab.call(
        "StartPipelineExecution",
        {
            "PipelineName": name,
            "ClientRequestToken": uuid.uuid4().hex,
            "PipelineParameters": [{"Name": k, "Value": v} for k, v in parameters.items()],
        },
    )["PipelineExecutionArn"]


def finished(lab, arn):
    def look():
        found = lab.call("DescribePipelineExecution", {"PipelineExecutionArn": arn})
        return found if found["PipelineExecutionStatus"] not in ("Executing", "Stopping") else None

    lab.eventually(look, 30)
    listed = lab.call("ListPipelineExecutionSteps", {"PipelineExecutionArn": arn})
    return {step["StepName"]: step for step in listed["PipelineExecutionSteps"]}


@pytest.fixture(scope="module")
def function(lab):
    return lab.function(FUNCTION)


def look_up(function, **step):
    return {
        "Name": "Approved",
        "Type": "Lambda",
        "FunctionArn": function,
        "Arguments": {"group": "tickets"},
        "OutputParameters": [
            {"OutputName": "ModelDataUri", "OutputType": "String"},
            {"OutputName": "Version", "OutputType": "Integer"},
            {"OutputName": "Found", "OutputType": "Boolean"},
            {"OutputName": "Share", "OutputType": "Float"},
        ],
        **step,
    }


def say(*paths):
    values = [get(path) for path in paths]
    return {
        "Name": "Say",
        "Type": "Fail",
        "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": values}}},
    }


def test_a_lambda_step_calls_its_function_and_gives_its_outputs(lab, function):
    outputs = [
        f"Steps.Approved.OutputParameters['{name}']"
        for name in ("ModelDataUri", "Version", "Found", "Share")
    ]
    approved = look_up(get("Parameters.Function"), Arguments={"group": get("Parameters.Group")})
    steps = run(lab, approved, say(*outputs), Function=function, Group="topics")
    assert steps["Say"]["FailureReason"] == "s3://b/topics 3 true 0.5"
    assert steps["Approved"]["Metadata"]["Lambda"] == {
        "Arn": function,
        "OutputParameters": [
            {"Name": "ModelDataUri", "Value": "s3://b/topics"},
            {"Name": "Version", "Value": "3"},
            {"Name": "Found", "Value": "true"},
            {"Name": "Share", "Value": "0.5"},
        ],
    }


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"Arguments": {"group": "tickets", "fails": True}}, "failed: no version of tickets"),
        (
            {"OutputParameters": [{"OutputName": "Nope", "OutputType": "String"}]},
            "the function's answer has no 'Nope'",
        ),
        (
            {"OutputParameters": [{"OutputName": "Version", "OutputType": "String"}]},
            "'Version' must be of type String, got 3",
        ),
        ({"FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:nobody"}, "nobody"),
    ],
)
def test_a_function_that_does_not_give_its_outputs_fails_its_step(lab, function, step, words):
    steps = run(lab, look_up(function, **step))
    assert steps["Approved"]["StepStatus"] == "Failed"
    assert words in steps["Approved"]["FailureReason"]


def test_an_output_that_a_lambda_step_does_not_name_cannot_be_referred_to(lab, function):
    with pytest.raises(SageMakerError, match="the Lambda step 'Approved' gives") as refusal:
        pipeline(lab, look_up(function), say("Steps.Approved.OutputParameters['Nope']"))
    assert refusal.value.code == "ValidationException"


def tune_step(lab, **changes):
    arguments = lab.tuning("left-out", ranges=changes.pop("ranges", None), jobs=2)
    del arguments["HyperParameterTuningJobName"]
    del arguments["TrainingJobDefinition"]["RoleArn"]
    arguments["TrainingJobDefinition"] |= changes.pop("definition", {})
    return {
        "Name": "Tune_the_model",
        "Type": "Tuning",
        "Arguments": arguments,
        "CacheConfig": {"Enabled": True},
    }


def test_a_tuning_step_gives_its_best_job_and_is_cached(lab):
    ranges = {"CategoricalParameterRanges": [{"Name": "kind", "Values": ["a", "b"]}]}
    output = {"OutputDataConfig": {"S3OutputPath": get("Parameters.Output")}}
    name = pipeline(
        lab,
        tune_step(lab, ranges=ranges, definition=output),
        say("Steps.Tune_the_model.BestTrainingJob.TrainingJobName"),
        Output=lab.uri("one"),
    )
    arn = start(lab, name)
    steps = finished(lab, arn)
    tuned = steps["Tune_the_model"]["Metadata"]["TuningJob"]["Arn"].rsplit("/", 1)[-1]
    assert re.fullmatch(rf"{arn.rsplit('/', 1)[-1]}-Tune-the-[A-Za-z0-9]{{10}}", tuned)
    job = lab.describe("HyperParameterTuningJob", tuned)
    best = job["BestTrainingJob"]["TrainingJobName"]
    assert steps["Say"]["FailureReason"] == best
    assert lab.describe("TrainingJob", best)["RoleArn"] == lab.role
    again = finished(lab, start(lab, name, Output=lab.uri("two")))
    assert again["Tune_the_model"]["CacheHitResult"] == {"SourcePipelineExecutionArn": arn}
    assert again["Say"]["FailureReason"] == best


def test_stopping_an_execution_stops_its_tuning_job_and_training_jobs(lab):
    poor = {"Name": "rate", "Values": ["0.8", "0.9"]}
    step = tune_step(lab, ranges={"CategoricalParameterRanges": [poor]})
    step["Arguments"]["TrainingJobDefinition"]["StaticHyperParameters"] |= {
        "epochs": "60",
        "pause": "1",
        "kind": "b",
    }
    arn = start(lab, pipeline(lab, step))
    listed = {"PipelineExecutionArn": arn}
    (made,) = lab.eventually(
        lambda: [
            step["Metadata"]["TuningJob"]["Arn"].rsplit("/", 1)[-1]
            for step in lab.call("ListPipelineExecutionSteps", listed)["PipelineExecutionSteps"]
            if "Metadata" in step
        ]
    )
    lab.eventually(lambda: len(lab.tuned(made)) == 2)
    time.sleep(0.5)
    lab.call("StopPipelineExecution", {**listed, "ClientRequestToken": uuid.uuid4().hex})
    assert finished(lab, arn)["Tune_the_model"]["StepStatus"] == "Stopped"
    job = lab.describe("HyperParameterTuningJob", made)
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 2


def test_a_checkpoint_config_is_part_of_what_a_training_step_is_cached_by(lab):
    request = lab.training_definition()
    request["HyperParameters"] = request.pop("StaticHyperParameters")
    request["CheckpointConfig"] = {"S3Uri": get("Parameters.Checkpoints")}
    step = {
        "Name": "Train",
        "Type": "Training",
        "Arguments": request,
        "CacheConfig": {"Enabled": True},
    }
    name = pipeline(lab, step, Checkpoints=lab.uri("one"))
    first = start(lab, name)
    finished(lab, first)
    assert "CacheHitResult" in finished(lab, start(lab, name))["Train"]
    other = finished(lab, start(lab, name, Checkpoints=lab.uri("two")))
    assert other["Train"]["StepStatus"] == "Succeeded"
    assert "CacheHitResult" not in other["Train"]
