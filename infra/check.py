"""The gate on the templates of every stage: cdk-nag, CloudFormation's own rules, cfn-lint.

`python -m infra.check` prints what nobody acknowledged, and ends with 1 unless that is nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from app import build, project_app
from infra.stage_file import PROJECT

CFN_LINT = Path(sys.executable).parent / "cfn-lint"


def main() -> int:
    """Check every stage."""
    stages = sorted(path.stem for path in (PROJECT / "stages").glob("*.yaml"))
    return 0 if all([check(stage) for stage in stages]) else 1


def check(stage: str) -> bool:
    """Whether the templates of `stage` are without findings; prints those there are."""
    with tempfile.TemporaryDirectory() as folder:
        findings = [*violations(stage, Path(folder)), *lint(Path(folder))]
    print(*findings, f"{stage}: {len(findings)} findings", sep="\n")
    return not findings


def violations(stage: str, folder: Path, *, stages: str = "stages") -> list[str]:
    """What cdk-nag's AwsSolutions and CloudFormation's rules find and nobody acknowledged."""
    app = project_app(outdir=str(folder), validation=True, stage=stage, stages=stages)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    build(app)
    report = folder / "validation-report.json"
    try:
        app.synth()
    except RuntimeError:
        if not report.is_file():
            raise
    plugins = json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
    return [
        f"{found['severity']} {found['ruleName']} at {place.get('constructPath', '?')}: "
        f"{found['description']}"
        for plugin in plugins
        for found in plugin["violations"]
        for place in found["violatingConstructs"] or [{}]
    ]


def lint(folder: Path) -> list[str]:
    """What cfn-lint says of the templates in `folder`, a line for each."""
    templates = sorted(str(path) for path in folder.glob("*.template.json"))
    arguments = [str(CFN_LINT), "--format", "parseable", "--config-file", ".cfnlintrc.yaml"]
    run = subprocess.run(
        [*arguments, "--", *templates], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    found = [line for line in run.stdout.splitlines() if line.strip()]
    return found or ([run.stderr.strip()] if run.returncode else [])


if __name__ == "__main__":
    sys.exit(main())
