"""A local job's curves, as plain CloudWatch and the SageMaker SDK's TrainingJobAnalytics show them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from local.sagemaker import SageMaker, SageMakerError
from tests.functions import stand_ins
from tests.functions.stand_ins import ROOT, Refusal, credentials
from tests.local.sagemaker.conftest import ROLE, TRAINING_IMAGE, archive

SDK = ROOT / ".venv-sagemaker" / "bin" / "python"
JOB = "curves"
LOSSES = (0.9, 0.5, 0.25)
SCRIPT = f"""
import time
for epoch, loss in enumerate({LOSSES}, start=1):
    print(f"METRIC loss={{loss}} METRIC epoch={{epoch}}", flush=True)
    # No two in one second, which is the shortest period.
    time.sleep(1.1)
print("METRIC eval_accuracy=0.75", flush=True)
"""
NAMES = ("loss", "epoch", "eval_accuracy")
ANALYTICS = """
import json, sys
from sagemaker.core.analytics import TrainingJobAnalytics
tables = [TrainingJobAnalytics(sys.argv[1], period=period).dataframe() for period in (1, None)]
print(json.dumps([table.to_dict("records") for table in tables]))
"""


@pytest.fixture(scope="module")
def environment(
    ministack_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The variables with which boto3 reaches MiniStack and, over HTTP, the local SageMaker."""
    platform = SimpleNamespace(
        endpoint_url=ministack_url,
        state_dir=tmp_path_factory.mktemp("state"),
        account="123456789012",
        region="us-east-1",
        put_event=lambda *_: None,
    )
    local = SageMaker(platform)
    local.recover()
    door = stand_ins.SageMaker()
    for operation in ("CreateTrainingJob", "DescribeTrainingJob"):
        door.operations[operation] = lambda asked, name=operation: answered(local, name, asked)
    yield credentials(ministack_url, door)
    door.close()
    local.stop()


def answered(local: SageMaker, operation: str, asked: dict[str, Any]) -> Any:
    try:
        return local.call(operation, asked)
    except SageMakerError as error:
        raise Refusal(error.code, str(error)) from error


@pytest.fixture(scope="module")
def job(environment: dict[str, str]) -> dict[str, Any]:
    """A finished training job, made and described through boto3."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
    s3.create_bucket(Bucket="curves")
    s3.put_object(Bucket="curves", Key="code.tar.gz", Body=archive({"train.py": SCRIPT}))
    sagemaker.create_training_job(
        TrainingJobName=JOB,
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": TRAINING_IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [
                {"Name": name, "Regex": f"METRIC {name}=([0-9.eE+-]+)"} for name in NAMES
            ],
        },
        HyperParameters={
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": "s3://curves/code.tar.gz",
        },
        OutputDataConfig={"S3OutputPath": "s3://curves/models/"},
        ResourceConfig={
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=JOB)
        if found["TrainingJobStatus"] == "Completed":
            return found
        assert found["TrainingJobStatus"] == "InProgress", found.get("FailureReason")
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_plain_cloudwatch_shows_every_point_of_a_local_job(
    environment: dict[str, str], job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    points = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="loss",
        Dimensions=[{"Name": "TrainingJobName", "Value": JOB}],
        StartTime=job["TrainingStartTime"].timestamp() - 60,
        EndTime=job["TrainingEndTime"].timestamp() + 60,
        Period=60,
        Statistics=["Minimum", "Maximum", "Sum", "SampleCount"],
    )["Datapoints"]
    assert sum(point["SampleCount"] for point in points) == len(LOSSES)
    assert sum(point["Sum"] for point in points) == pytest.approx(sum(LOSSES))
    assert min(point["Minimum"] for point in points) == min(LOSSES)
    assert max(point["Maximum"] for point in points) == max(LOSSES)


def test_the_sdks_training_job_analytics_shows_the_same_curves(
    environment: dict[str, str], job: dict[str, Any], tmp_path: Path
) -> None:
    ran = subprocess.run(
        [SDK, "-c", ANALYTICS, JOB],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    by_second, by_minute = map(curves, json.loads(ran.stdout.splitlines()[-1]))
    assert by_second == {"loss": list(LOSSES), "epoch": [1, 2, 3], "eval_accuracy": [0.75]}
    # Without a period the SDK asks for averages by the minute; a job over its turn has two.
    assert set(by_minute) == set(NAMES)
    averages = by_minute["loss"]
    assert 1 <= len(averages) <= 2
    assert min(LOSSES) <= min(averages) <= max(averages) <= max(LOSSES)


def curves(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The values of each metric, in the order of their time."""
    found: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        found.setdefault(row["metric_name"], []).append(row["value"])
    return found
