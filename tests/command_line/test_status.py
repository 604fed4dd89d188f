"""`lectern status`, `lectern predict`, and how every command refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line.conftest import Lectern, serve_version
from tests.functions.stand_ins import ROOT, SageMaker, answers, credentials, model_error

Aws = Callable[[str], Any]


def test_status_is_the_document_of_the_design(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker, ministack_url: str
) -> None:
    serve_version(deployed, sagemaker, "2")
    assert lectern("status", "--json", "--show-key").json == {
        "stage": "test",
        "api": {
            "url": f"{ministack_url}/restapis/abc/live/_user_request_",
            "key": "k" * 24,
        },
        "models": {
            "tickets": {
                "task": "text-classification",
                "state": "InService",
                "version": "2",
                "endpoint": "lectern-test-tickets",
            },
            "nightly": {
                "task": "text-classification",
                "state": "NotDeployed",
                "version": None,
                "endpoint": None,
            },
        },
    }


def test_the_key_is_shown_only_on_demand(lectern: Lectern, deployed: Aws) -> None:
    assert lectern("status", "--json").json["api"]["key"] is None
    assert "k" * 24 not in lectern("status").out
    assert "k" * 24 in lectern("status", "--show-key").out


def test_a_model_without_an_approved_version_is_not_deployed(
    lectern: Lectern, deployed: Aws
) -> None:
    shown = lectern("status")
    assert shown.code == 0
    assert "NotDeployed" in shown.out


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--json", "--stage", "test", "--name", "lectern"),
        ("--json", "--stage", "test", "--name", "lectern", "status"),
    ],
)
def test_options_hold_before_and_after_the_commands_name(
    lectern: Lectern, deployed: Aws, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LECTERN_STAGE", "another")
    assert lectern(*words).json["stage"] == "test"


def test_predict_shows_what_other_tasks_answer_as_it_is(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "1")
    answer = [{"summary_text": "größer ✓"}]
    sagemaker.invoke = answers(answer)
    ended = lectern("predict", "tickets", "a long text")
    assert json.loads(ended.out) == answer
    assert "größer ✓" in ended.out


def test_predict_answers_in_the_order_of_the_texts(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "1")
    ranking = [{"label": "billing", "score": 0.91}, {"label": "account", "score": 0.75}]
    sagemaker.invoke = answers(ranking)
    texts = ("charged [bold]twice", "forgot my password")
    assert lectern("predict", "tickets", *texts, "--json").json == ranking
    assert json.loads(sagemaker.invocations[0]["body"])["inputs"] == list(texts)
    first, second = lectern("predict", "tickets", *texts).out.splitlines()[1:]
    assert first.split() == ["billing", "0.910", "charged", "[bold]twice"]
    assert second.split()[:2] == ["account", "0.750"]


@pytest.mark.parametrize(
    ("code", "told", "words"),
    [
        (
            2,
            "there is no 'nothing', this deployment has: nightly, tickets",
            ("predict", "nothing", "x"),
        ),
        (2, "nightly has no endpoint", ("predict", "nightly", "x")),
        (1, "no version of tickets is approved yet", ("predict", "tickets", "x")),
        (2, "there is no 'nothing', this deployment has: tickets", ("approve", "nothing")),
        (1, "stack lectern-missing-inference is not deployed", ("status", "--stage", "missing")),
        (2, "FILE: JSON lines or CSV", ("batch", "tickets", "missing.jsonl")),
        (2, "--data: a file, or a directory", ("train", "tickets", "--data", "missing")),
        (1, "start it with `lectern local start`", ("status", "--local")),
        (1, "start it with `lectern local start`", ("--local", "status", "--json")),
        (1, "start it with `lectern local start`", ("local", "env")),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    lectern: Lectern,
    deployed: Aws,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    code: int,
    told: str,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("LECTERN_LOCAL_DIR", str(tmp_path))
    ended = lectern(*words)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_a_models_fault_is_told_without_a_traceback(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "1")
    sagemaker.invoke = model_error("a text has 900 tokens, the model reads 512")
    ended = lectern("predict", "tickets", "x")
    assert ended.code == 1
    assert "a text has 900 tokens" in ended.err
    assert "Traceback" not in ended.err


def test_the_process_ends_with_the_exit_code_and_no_traceback(
    ministack_url: str, sagemaker: SageMaker
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lectern", "status", "--stage", "missing"],
        cwd=ROOT,
        env=credentials(ministack_url, sagemaker),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("lectern: stack lectern-missing-inference is not deployed")


def test_an_account_without_credentials_is_one_line_too(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lectern", "status"],
        cwd=ROOT,
        env={
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr == "lectern: Unable to locate credentials\n"
