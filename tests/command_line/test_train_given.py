"""What `lectern train` is given: splits, columns, a version to go on from; what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line.conftest import ARTIFACT_BUCKET, DATA_BUCKET, Lectern
from tests.command_line.registered import register
from tests.functions.stand_ins import Refusal, SageMaker

Aws = Callable[[str], Any]
EXECUTION = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/lectern-test-tickets/execution/x"


@pytest.fixture
def started(deployed: Aws, sagemaker: SageMaker) -> list[dict[str, str]]:
    """The parameters of each run that was started."""
    runs: list[dict[str, str]] = []

    def start(asked: dict[str, Any]) -> dict[str, Any]:
        runs.append({one["Name"]: one["Value"] for one in asked["PipelineParameters"]})
        return {"PipelineExecutionArn": EXECUTION}

    sagemaker.operations["StartPipelineExecution"] = start
    return runs


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of rows below the working directory."""
    names = ("rows.csv", "test.json", "held/a.csv", "held/more/b.csv", "all/train.csv")
    from_hub = [f"hub/data/{split}-00000-of-00001.jsonl" for split in ("test", "train")]
    for name in (*names, "all/dev/d.csv", "all/other.csv", *from_hub):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"0,{name}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("--data", "rows.csv"), ["rows.csv"]),
        (("--data", "test.json"), ["train/test.json"]),
        (("--data", "all"), ["dev/d.csv", "other.csv", "train.csv"]),
        (
            ("--data", "hub/data/test-00000-of-00001.jsonl"),
            ["train/test-00000-of-00001.jsonl"],
        ),
        (("--data", "rows.csv", "--test", "test.json"), ["test/test.json", "train/rows.csv"]),
        (
            ("--data", "rows.csv", "--validation", "rows.csv", "--test", "held"),
            ["test/a.csv", "test/more/b.csv", "train/rows.csv", "validation/rows.csv"],
        ),
        (
            ("--data", "all", "--test", "test.json"),
            ["dev/d.csv", "test/test.json", "train.csv", "train/other.csv"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_rows_are_uploaded_in_the_splits_that_they_were_given_for(
    lectern: Lectern,
    deployed: Aws,
    started: list[dict[str, str]],
    files: Path,
    words: tuple[str, ...],
    keys: list[str],
) -> None:
    assert lectern("train", "tickets", *words, "--no-watch").code == 0
    [parameters] = started
    prefix = parameters["InputDataUri"].removeprefix(f"s3://{DATA_BUCKET}/")
    listed = deployed("s3").list_objects_v2(Bucket=DATA_BUCKET, Prefix=prefix)["Contents"]
    assert [entry["Key"].removeprefix(prefix) for entry in listed] == keys


def test_columns_and_delimiters_become_parameters(
    lectern: Lectern, started: list[dict[str, str]], files: Path
) -> None:
    flags = ("--text-pair-column", "answer", "--label-delimiter", "|", "--no-watch")
    assert lectern("train", "tickets", "--data", "rows.csv", *flags).code == 0
    [parameters] = started
    assert (parameters["TextPairColumn"], parameters["LabelDelimiter"]) == ("answer", "|")
    assert set(parameters) == {"TextPairColumn", "LabelDelimiter", "InputDataUri"}


def test_a_run_goes_on_from_the_model_data_of_a_version(
    lectern: Lectern,
    deployed: Aws,
    sagemaker: SageMaker,
    started: list[dict[str, str]],
    files: Path,
) -> None:
    register(deployed, sagemaker)
    words = ("train", "tickets", "--data", "rows.csv", "--from-version", "1", "--no-watch")
    assert lectern(*words).code == 0
    [parameters] = started
    assert parameters["StartFromUri"] == f"s3://{ARTIFACT_BUCKET}/runs/run1/model.tar.gz"


@pytest.mark.parametrize(
    ("told", "more"),
    [
        ("--from-version: tickets has no version 2, it has: 1, 3", ("--from-version", "2")),
        (
            "--set: StartFromUri is already set by --from-version",
            ("--from-version", "1", "--set", "StartFromUri=s3://x/y"),
        ),
        ("--label-delimiter: at least one character", ("--label-delimiter", "")),
        ("--test: a file, or a directory with files, got missing", ("--test", "missing")),
        (
            "--validation: rows.csv, but --data has rows of that split too (dev/d.csv)",
            ("--data", "all", "--validation", "rows.csv"),
        ),
        (
            "--test: rows.csv, but --data has rows of that split too "
            "(data/test-00000-of-00001.jsonl): give one of them",
            ("--data", "hub", "--test", "rows.csv"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_trained_on_is_one_line_and_starts_nothing(
    lectern: Lectern,
    deployed: Aws,
    sagemaker: SageMaker,
    started: list[dict[str, str]],
    files: Path,
    told: str,
    more: tuple[str, ...],
) -> None:
    register(deployed, sagemaker)
    data = () if "--data" in more else ("--data", "rows.csv")
    ended = lectern("train", "tickets", *data, *more)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert not started


def test_a_parameter_that_the_pipeline_does_not_have_is_told_in_the_services_words(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, files: Path
) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("ValidationException", "Unknown parameters: ['Epoch']: it has ['Epochs']")

    sagemaker.operations["StartPipelineExecution"] = refuse
    ended = lectern("train", "tickets", "--data", "rows.csv", "--set", "Epoch=2")
    assert ended.code == 1
    assert ended.err.endswith(
        "lectern: StartPipelineExecution: Unknown parameters: ['Epoch']: it has ['Epochs']\n"
    )
