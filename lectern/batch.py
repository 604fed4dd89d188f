"""`lectern batch`: sends a file of JSON lines through a model and brings the answers back."""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lectern.deployment import Deployment, Model, connect
from lectern.faults import LecternError, UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output

LINES = "application/jsonlines"
LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")


def batch(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name in the settings.")],
    file: Annotated[Path, typer.Argument(help='JSON lines: {"id"?, "inputs", "parameters"?}.')],
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Where the answers go.", show_default="FILE.out")
    ] = None,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Answer every line of FILE, in order; a bad line is reported in its place."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    if not file.is_file() or file.suffix not in LINES_SUFFIXES:
        raise UsageError(f"FILE: a file of JSON lines ({', '.join(LINES_SUFFIXES)}), got {file}")
    if file.stat().st_size == 0:
        raise UsageError(f"FILE: at least one line, got the empty {file}")
    destination = output_file or Path(f"{file.name}.out")
    # Found out now rather than when the answers are there.
    if destination.is_dir():
        raise UsageError(f"--output: a file, got the directory {destination}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    deployment = connect(options)
    found = deployment.model(model)
    started = time.monotonic()
    batch_id = start(deployment, found, file)
    output.say(f"batch {batch_id} started")
    with output.working(f"batch {batch_id}"):
        execution = _wait(deployment, batch_id)
    if execution["status"] != "SUCCEEDED":
        raise LecternError(f"batch {batch_id} {_reason(execution)}")
    answers = _download(deployment, json.loads(execution["input"]), destination)
    errors = _errors(answers)
    seconds = time.monotonic() - started
    document = {
        "id": batch_id,
        "lines": len(answers),
        "answered": len(answers) - len(errors),
        "errors": [{"line": line, "message": message} for line, message in errors],
        "output": str(destination),
    }
    output.show(document, _summary(document, seconds))


def start(deployment: Deployment, model: Model, file: Path) -> str:
    """Upload the lines and start the state machine; returns the batch's id."""
    if deployment.record(model) is None:
        raise LecternError(
            f"no version of {model.name} is in service yet: train and approve one first"
        )
    bucket = deployment.outputs("storage")["DataBucketName"]
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    batch_id = f"{model.name[:36].strip('-').lower()}-{moment}-{secrets.token_hex(4)}"
    key = f"batches/{batch_id}/input/{file.name}"
    deployment.client("s3").upload_file(str(file), bucket, key, ExtraArgs={"ContentType": LINES})
    execution_input = {
        "model": model.name,
        "batch_id": batch_id,
        "input_uri": f"s3://{bucket}/{key}",
        "output_uri": f"s3://{bucket}/batches/{batch_id}/output/",
        "content_type": LINES,
    }
    deployment.client("stepfunctions").start_execution(
        stateMachineArn=deployment.outputs("batch")["StateMachineArn"],
        name=batch_id,
        input=json.dumps(execution_input),
    )
    return batch_id


def _wait(deployment: Deployment, batch_id: str) -> dict[str, Any]:
    machine = deployment.outputs("batch")["StateMachineArn"]
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{batch_id}"
    while True:
        execution: dict[str, Any] = deployment.client("stepfunctions").describe_execution(
            executionArn=arn
        )
        if execution["status"] not in ("RUNNING", "PENDING_REDRIVE"):
            return execution
        time.sleep(deployment.poll_seconds)


def _download(deployment: Deployment, asked: dict[str, Any], destination: Path) -> list[Any]:
    bucket, _, prefix = asked["output_uri"].removeprefix("s3://").partition("/")
    key = f"{prefix}{Path(asked['input_uri']).name}.out"
    deployment.client("s3").download_file(bucket, key, str(destination))
    lines = destination.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def _errors(answers: list[Any]) -> list[tuple[int, str]]:
    return [
        (number, str(answer["error"].get("message", answer["error"])))
        for number, answer in enumerate(answers, start=1)
        if isinstance(answer, dict) and "error" in answer
    ]


def _summary(document: dict[str, Any], seconds: float) -> str:
    errors = document["errors"]
    lines = [
        f"{document['answered']} of {document['lines']} lines answered in {seconds:.0f} s, "
        f"{len(errors)} with an error",
        *(f"  line {error['line']}: {error['message']}" for error in errors),
        f"answers: {document['output']}",
    ]
    return "\n".join(lines)


def _reason(execution: dict[str, Any]) -> str:
    cause = str(execution.get("cause") or execution.get("error") or "no reason given")
    try:
        described = json.loads(cause)
    except ValueError:
        described = None
    if isinstance(described, dict):
        cause = str(described.get("FailureReason", cause))
    return f"ended as {execution['status']}: {cause[:1000]}"
