"""`lectern batch`: a file through the state machine and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command_line.conftest import Lectern, serve_version
from tests.functions.stand_ins import SageMaker

Aws = Callable[[str], Any]
# The stand-in's state machine hands the input back as the output.
ANSWERS = (
    '{"id": "a", "prediction": [{"label": "billing", "score": 0.9}]}\n'
    '{"error": {"code": "invalid_json", "message": "not valid JSON"}}\n'
    '{"id": "c", "prediction": []}\n'
)


def test_answers_are_brought_back_and_bad_lines_named(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(deployed, sagemaker, "1")
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    output = tmp_path / "answers" / "out.jsonl"
    words = ("batch", "tickets", str(tmp_path / "lines.jsonl"), "--output", str(output))
    document = lectern(*words, "--json").json
    assert document.pop("id").startswith("tickets-")
    assert document == {
        "lines": 3,
        "answered": 2,
        "errors": [{"line": 2, "message": "not valid JSON"}],
        "output": str(output),
    }
    assert output.read_text() == ANSWERS
    shown = lectern(*words).out
    assert "2 of 3 lines answered" in shown
    assert "line 2: not valid JSON" in shown


def test_a_failed_batch_ends_with_the_reason(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(deployed, sagemaker, "1")
    # Another name than the state machine copies, so that it fails.
    (tmp_path / "others.jsonl").write_text(ANSWERS)
    ended = lectern("batch", "tickets", str(tmp_path / "others.jsonl"))
    assert ended.code == 1
    assert "ended as FAILED: " in ended.err


def test_a_model_without_a_version_starts_no_batch(
    lectern: Lectern, deployed: Aws, tmp_path: Path
) -> None:
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    ended = lectern("batch", "tickets", str(tmp_path / "lines.jsonl"))
    assert ended.code == 1
    assert "no version of tickets is in service" in ended.err


def test_an_empty_file_starts_no_batch(lectern: Lectern, deployed: Aws, tmp_path: Path) -> None:
    (tmp_path / "lines.jsonl").touch()
    ended = lectern("batch", "tickets", str(tmp_path / "lines.jsonl"))
    assert (ended.code, ended.out) == (2, "")
    assert "FILE: at least one line" in ended.err


def test_an_output_that_cannot_be_written_is_found_before_the_batch(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, tmp_path: Path
) -> None:
    serve_version(deployed, sagemaker, "1")
    (tmp_path / "lines.jsonl").write_text(ANSWERS)
    (tmp_path / "file").touch()
    words = ("batch", "tickets", str(tmp_path / "lines.jsonl"), "--output")
    before = executions(deployed)
    ended = lectern(*words, str(tmp_path))
    assert ended.code == 2
    assert "--output: a file, got the directory" in ended.err
    ended = lectern(*words, str(tmp_path / "file" / "out.jsonl"))
    assert ended.code == 1
    assert ended.err.startswith("lectern: ")
    assert "Traceback" not in ended.err
    assert executions(deployed) == before


def executions(aws: Aws) -> int:
    machine = aws("cloudformation").describe_stacks(StackName="lectern-test-batch")["Stacks"][0]
    arn = machine["Outputs"][0]["OutputValue"]
    return len(aws("stepfunctions").list_executions(stateMachineArn=arn)["executions"])
