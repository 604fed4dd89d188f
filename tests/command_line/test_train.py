"""`lectern train`: what is uploaded and started, what is shown, and the exit codes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lectern.deployment import Deployment
from tests.command_line.conftest import ARTIFACT_BUCKET, DATA_BUCKET, PIPELINES, Lectern
from tests.functions.stand_ins import SageMaker

Aws = Callable[[str], Any]
ACCOUNT = "arn:aws:sagemaker:us-east-1:123456789012"
EXECUTION = f"{ACCOUNT}:pipeline/lectern-test-tickets/execution/run1"
EARLIER = f"{ACCOUNT}:pipeline/lectern-test-tickets/execution/run0"
METRICS = {
    "accuracy": {"value": 0.913, "confidence_interval": [0.881, 0.94], "standard_error": 0.01},
    "f1": {"value": 0.9, "confidence_interval": [0.87, 0.93], "standard_error": 0.01},
}


def step(name: str, status: str, **metadata: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": status, "Metadata": metadata}


PREPARED = step("Prepare", "Succeeded", ProcessingJob={"Arn": f"{ACCOUNT}:processing-job/prep"})
TRAINING = step("Train", "Executing", TrainingJob={"Arn": f"{ACCOUNT}:training-job/train1"})
TRAINED = TRAINING | {"StepStatus": "Succeeded"}
EVALUATED = step("Evaluate", "Succeeded", ProcessingJob={"Arn": f"{ACCOUNT}:processing-job/eval1"})
REGISTERED = step(
    "Register",
    "Succeeded",
    RegisterModel={"Arn": f"{ACCOUNT}:model-package/lectern-test-tickets/4"},
)
REFUSED = step(
    "TooWeak", "Failed", Fail={"ErrorMessage": "accuracy 0.913 is below the gate of 0.95"}
)
BROKEN = step("Train", "Failed", TrainingJob={"Arn": f"{ACCOUNT}:training-job/train1"}) | {
    "FailureReason": "AlgorithmError: ExitCode 1"
}
Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(deployed: Aws, sagemaker: SageMaker) -> Run:
    """Scripts one execution: the steps at each look, and how it ends. Returns what was started."""
    s3 = deployed("s3")
    s3.put_object(
        Bucket=ARTIFACT_BUCKET,
        Key="runs/run1/evaluation/evaluation.json",
        Body=json.dumps({"metrics": METRICS}),
    )

    def script(*looks: list[dict[str, Any]], status: str = "Succeeded") -> list[dict[str, Any]]:
        started: list[dict[str, Any]] = []
        remaining = list(looks)

        def start(asked: dict[str, Any]) -> dict[str, Any]:
            started.append(asked)
            return {"PipelineExecutionArn": EXECUTION}

        def steps(asked: dict[str, Any]) -> dict[str, Any]:
            if asked["PipelineExecutionArn"] == EARLIER:
                return {"PipelineExecutionSteps": [TRAINED, EVALUATED]}
            look = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            return {"PipelineExecutionSteps": look}

        def describe(_: Any) -> dict[str, Any]:
            over = len(remaining) == 1
            return {
                "PipelineExecutionArn": EXECUTION,
                "PipelineExecutionStatus": status if over else "Executing",
            }

        sagemaker.operations |= {
            "StartPipelineExecution": start,
            "ListPipelineExecutionSteps": steps,
            "DescribePipelineExecution": describe,
            "DescribeProcessingJob": processing_job,
            "DescribeTrainingJob": lambda _: {
                "FinalMetricDataList": [
                    {"MetricName": "eval_accuracy", "Value": 0.92, "Timestamp": 1.7e9}
                ]
            },
        }
        return started

    return script


def processing_job(asked: dict[str, Any]) -> dict[str, Any]:
    modes = {
        "eval1": {"evaluation": "EndOfJob"},
        "prep": {"train": "EndOfJob", "report": "Continuous"},
    }
    outputs = [
        {
            "OutputName": name,
            "S3Output": {
                "S3Uri": f"s3://{ARTIFACT_BUCKET}/runs/run1/{name}",
                "LocalPath": f"/opt/ml/processing/{name}",
                "S3UploadMode": mode,
            },
        }
        for name, mode in modes[asked["ProcessingJobName"]].items()
    ]
    return {"ProcessingOutputConfig": {"Outputs": outputs}}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("0,late parcel\n1,charged twice\n")
    return path


def test_a_registered_version_ends_with_0_and_the_figures(
    lectern: Lectern, run: Run, rows: Path
) -> None:
    run([PREPARED], [PREPARED, TRAINING], [PREPARED, TRAINED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 0
    table = [line.split() for line in ended.out.splitlines()]
    assert ["accuracy", "0.913", "0.881", "–", "0.940"] in table
    assert ["f1", "0.900", "0.870", "–", "0.930"] in table
    assert "version 4 of tickets registered" in ended.out
    for told in ("Prepare", "Train      Executing", "Train      Succeeded", "Register"):
        assert told in ended.err


def test_json_is_one_document_and_nothing_on_stderr(lectern: Lectern, run: Run, rows: Path) -> None:
    run([PREPARED], [TRAINED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows), "--json")
    assert ended.err == ""
    document = ended.json
    assert document["metrics"] == METRICS
    assert document["training_metrics"] == {"eval_accuracy": 0.92}
    assert (document["version"], document["status"]) == ("4", "Succeeded")
    assert document["execution"] == EXECUTION


def test_a_refused_model_ends_with_3_and_both_figures(
    lectern: Lectern, run: Run, rows: Path
) -> None:
    run([PREPARED, TRAINED, EVALUATED, REFUSED], status="Failed")
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 3
    assert "accuracy 0.913 is below the gate of 0.95" in ended.out
    assert "0.881 – 0.940" in ended.out
    assert lectern("train", "tickets", "--data", str(rows), "--json").json["gate_refused"] is True


def test_a_broken_step_ends_with_1_and_its_reason(lectern: Lectern, run: Run, rows: Path) -> None:
    run([PREPARED, BROKEN], status="Failed")
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 1
    assert "Train: AlgorithmError: ExitCode 1" in ended.out


def test_a_broken_processing_step_ends_with_the_last_words_of_its_log(
    lectern: Lectern, run: Run, deployed: Aws, rows: Path
) -> None:
    unprepared = PREPARED | {
        "StepStatus": "Failed",
        "FailureReason": "AlgorithmError: See job logs for more information, exit code: 1",
    }
    run([unprepared], status="Failed")
    assert "exit code: 1" in lectern("train", "tickets", "--data", str(rows)).out
    group, stream = "/aws/sagemaker/ProcessingJobs", "prep/algo-1-1700000000"
    logs = deployed("logs")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(time.time() * 1000)
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[
            {"timestamp": now, "message": "reading data.csv"},
            {"timestamp": now + 1, "message": "prepare: there is no column 'text'"},
            {"timestamp": now + 2, "message": " "},
        ],
    )
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 1
    assert (
        "exit code: 1: prepare: there is no column 'text' "
        f"(in s3://{ARTIFACT_BUCKET}/runs/run1/report)" in ended.out
    )


def test_an_upload_that_is_refused_ends_with_one_line(
    lectern: Lectern, run: Run, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run([REGISTERED])
    lost = {"DataBucketName": "no-such-bucket", "Pipelines": json.dumps(PIPELINES)}
    monkeypatch.setattr(Deployment, "outputs", lambda *_: lost)
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.code == 1
    assert ended.err.startswith("lectern: Failed to upload ")


def test_flags_become_pipeline_parameters(lectern: Lectern, run: Run, rows: Path) -> None:
    started = run([REGISTERED])
    flags = ("--text-column", "sentence", "--label-column", "helpful", "--label-at-least", "1")
    more = ("--gate", "0.9", "--set", "Epochs=2", "--set", "TrainOnlyTopLayer=True")
    assert lectern("train", "tickets", "--data", str(rows), *flags, *more).code == 0
    [asked] = started
    assert asked["PipelineName"] == "lectern-test-tickets"
    assert len(asked["ClientRequestToken"]) >= 32
    parameters = {given["Name"]: given["Value"] for given in asked["PipelineParameters"]}
    uri = parameters.pop("InputDataUri")
    assert uri.startswith(f"s3://{DATA_BUCKET}/pipelines/tickets/data/")
    assert float(parameters.pop("LabelAtLeast")) == 1
    assert parameters == {
        "TextColumn": "sentence",
        "LabelColumn": "helpful",
        "GateAtLeast": "0.9",
        "Epochs": "2",
        "TrainOnlyTopLayer": "True",
    }


@pytest.mark.parametrize("assignment", ["Epochs", "=2"])
def test_a_parameter_without_a_value_is_refused(
    lectern: Lectern, deployed: Aws, rows: Path, assignment: str
) -> None:
    ended = lectern("train", "tickets", "--data", str(rows), "--set", assignment)
    assert ended.code == 2
    assert "PARAM=VALUE" in ended.err


def test_the_same_data_is_one_key_and_other_data_another(
    lectern: Lectern, run: Run, deployed: Aws, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    (folder / "part").mkdir(parents=True)
    (folder / "a.csv").write_text("0,x\n")
    (folder / "part" / "b.csv").write_text("1,y\n")
    (folder / ".hidden").write_text("no data")
    started = run([REGISTERED])
    words = ("train", "tickets", "--data", str(folder), "--no-watch")
    for _ in range(2):
        assert lectern(*words).code == 0
    (folder / "a.csv").write_text("0,z\n")
    assert lectern(*words).code == 0
    first, second, third = (asked["PipelineParameters"][-1]["Value"] for asked in started)
    assert first == second != third
    prefix = first.removeprefix(f"s3://{DATA_BUCKET}/")
    listed = deployed("s3").list_objects_v2(Bucket=DATA_BUCKET, Prefix=prefix)["Contents"]
    assert [entry["Key"] for entry in listed] == [f"{prefix}a.csv", f"{prefix}part/b.csv"]


def test_a_step_is_one_line_and_only_one_that_has_more_to_tell_is_announced(
    lectern: Lectern, run: Run, rows: Path
) -> None:
    preparing = PREPARED | {"StepStatus": "Executing"}
    evaluating = EVALUATED | {"StepStatus": "Starting"}
    run(
        [preparing],
        [PREPARED, TRAINING],
        [PREPARED, TRAINED, evaluating],
        [PREPARED, TRAINED, EVALUATED, REGISTERED],
    )
    ended = lectern("train", "tickets", "--data", str(rows))
    steps = [line.split() for line in ended.err.splitlines()[2:]]
    assert steps == [
        ["Prepare", "Succeeded"],
        ["Train", "Executing"],
        ["Train", "Succeeded"],
        ["Evaluate", "Succeeded"],
        ["Register", "Succeeded"],
    ]


def test_an_evaluation_is_one_line_however_its_metrics_reach_the_log(
    lectern: Lectern, run: Run, deployed: Aws, sagemaker: SageMaker, rows: Path
) -> None:
    logs = deployed("logs")
    group, stream = "/aws/sagemaker/TrainingJobs", "train1/algo-1"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    told = iter(
        [
            ["METRIC loss=0.7", "METRIC epoch=0.5", "METRIC eval_loss=0.5"],
            ["METRIC eval_f1=0.8", "METRIC epoch=1", "METRIC eval_loss=0.4"],
            ["METRIC eval_f1=0.9", "METRIC epoch=2"],
        ]
    )
    run([TRAINING], [TRAINING], [TRAINING], [TRAINED, EVALUATED, REGISTERED])
    steps = sagemaker.operations["ListPipelineExecutionSteps"]

    def steps_as_it_logs(asked: dict[str, Any]) -> Any:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": message} for message in next(told, [])]
        if events:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        return steps(asked)

    sagemaker.operations["ListPipelineExecutionSteps"] = steps_as_it_logs
    ended = lectern("train", "tickets", "--data", str(rows))
    logs.delete_log_group(logGroupName=group)
    shown = [line.strip() for line in ended.err.splitlines() if "eval_" in line]
    assert shown == ["eval_loss 0.5  eval_f1 0.8  epoch 1", "eval_loss 0.4  eval_f1 0.9  epoch 2"]


def test_metrics_are_shown_as_they_are_logged_and_once_only(
    lectern: Lectern, run: Run, deployed: Aws, rows: Path
) -> None:
    logs = deployed("logs")
    group = "/aws/sagemaker/TrainingJobs"
    logs.create_log_group(logGroupName=group)
    for stream in ("train1/algo-1", "train12/algo-1"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        messages = ["noise", "METRIC eval_accuracy=0.812345", "METRIC eval_loss=0.5 METRIC x="]
        events = [{"timestamp": int(time.time() * 1000), "message": m} for m in messages]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    run([TRAINING], [TRAINING], [TRAINED, EVALUATED, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows))
    assert ended.err.count("eval_accuracy 0.8123  eval_loss 0.5") == 1
    logs.delete_log_group(logGroupName=group)


def test_a_cached_step_shows_the_figures_of_the_run_that_made_them(
    lectern: Lectern, run: Run, rows: Path
) -> None:
    hit = {"CacheHitResult": {"SourcePipelineExecutionArn": EARLIER}}
    run([step("Train", "Succeeded") | hit, step("Evaluate", "Succeeded") | hit, REGISTERED])
    ended = lectern("train", "tickets", "--data", str(rows), "--json")
    assert ended.json["metrics"] == METRICS
    assert ended.json["training_metrics"] == {"eval_accuracy": 0.92}
