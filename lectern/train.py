"""`lectern train`: uploads rows, runs a pipeline over them and follows it to its figures."""

from __future__ import annotations

import hashlib
import secrets
import time
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.table import Table

from lectern.deployment import Client, Deployment, connect
from lectern.execution import Execution, follow
from lectern.faults import UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output


class ExitCode(IntEnum):
    """What the exit code of a followed run says."""

    REGISTERED = 0
    FAILED = 1
    GATE_REFUSED = 3


def train(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name in the settings.")],
    data: Annotated[Path, typer.Option(help="A file of rows, or a directory of such files.")],
    text_column: Annotated[str | None, typer.Option(help="The column of the texts.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of the labels.")] = None,
    label_at_least: Annotated[
        float | None, typer.Option(help="Make two labels: numbers from here on, and below.")
    ] = None,
    gate: Annotated[float | None, typer.Option(help="The least the metric must reach.")] = None,
    set_parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="Any pipeline parameter; repeat it."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Follow the run to its end.")
    ] = True,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Fine-tune on the rows of --data; exit code 3 when the gate refused the model."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    files = _files(data)
    parameters = _parameters(
        set_parameters or [],
        TextColumn=text_column,
        LabelColumn=label_column,
        LabelAtLeast=label_at_least,
        GateAtLeast=gate,
    )
    deployment = connect(options)
    names = deployment.pipeline(pipeline)
    with output.working("uploading the data"):
        data_uri = upload(deployment, pipeline, files)
    output.say(f"data: {data_uri}")
    arn = _start(deployment, names["pipeline"], parameters | {"InputDataUri": data_uri})
    output.say(f"run:  {arn}")
    if not watch:
        output.show({"pipeline": pipeline, "execution": arn, "status": "Executing"}, arn)
        return
    started = time.monotonic()
    execution = follow(deployment, arn, output)
    document = _document(pipeline, execution)
    output.show(document, *_readable(pipeline, document, time.monotonic() - started))
    raise typer.Exit(_exit_code(execution))


def upload(deployment: Deployment, pipeline: str, files: dict[str, Path]) -> str:
    """Put the files under their common digest, once; returns the prefix as an S3 URI."""
    digest = hashlib.sha256()
    for relative, path in sorted(files.items()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{relative}\0{content}\n".encode())
    bucket = deployment.outputs("storage")["DataBucketName"]
    prefix = f"pipelines/{pipeline}/data/{digest.hexdigest()[:16]}"
    s3 = deployment.client("s3")
    for relative, path in files.items():
        if not _exists(s3, bucket, f"{prefix}/{relative}"):
            s3.upload_file(str(path), bucket, f"{prefix}/{relative}")
    return f"s3://{bucket}/{prefix}/"


def _exists(s3: Client, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # 403 is S3's word for "missing" to whoever may not list the bucket.
        if error.response["Error"]["Code"] in ("404", "403", "NoSuchKey"):
            return False
        raise
    return True


def _files(data: Path) -> dict[str, Path]:
    if data.is_file():
        return {data.name: data}
    found = {
        path.relative_to(data).as_posix(): path
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    if not found:
        raise UsageError(f"--data: a file, or a directory with files, got {data}")
    return found


def _parameters(assignments: list[str], **flags: str | float | None) -> dict[str, str]:
    parameters = {name: str(value) for name, value in flags.items() if value is not None}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (name and equals):
            raise UsageError(f"--set: PARAM=VALUE, such as Epochs=2, got {assignment!r}")
        if name in parameters:
            raise UsageError(f"--set: {name} is already set by another option")
        parameters[name] = value
    return parameters


def _start(deployment: Deployment, pipeline: str, parameters: dict[str, str]) -> str:
    answer = deployment.client("sagemaker").start_pipeline_execution(
        PipelineName=pipeline,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
        ClientRequestToken=secrets.token_hex(16),
    )
    arn: str = answer["PipelineExecutionArn"]
    return arn


def _document(pipeline: str, execution: Execution) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "execution": execution.arn,
        "status": execution.status,
        "metrics": execution.evaluation,
        "training_metrics": execution.training_metrics,
        "version": execution.version,
        "model_package": execution.model_package,
        "gate_refused": execution.gate_refused,
        "failure": execution.failure,
    }


def _readable(pipeline: str, document: dict[str, Any], seconds: float) -> list[Any]:
    parts: list[Any] = [_metrics_table(document["metrics"])] if document["metrics"] else []
    if document["version"] is None:
        parts.append(f"no version registered: {document['failure']}")
    else:
        parts.append(
            f"version {document['version']} of {pipeline} registered after {seconds:.0f} s; "
            f"serve it with `lectern approve {pipeline}`"
        )
    return parts


def _metrics_table(metrics: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("on rows held out", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("95 % interval")
    for name, metric in metrics.items():
        value, interval = metric.get("value"), metric.get("confidence_interval")
        if not isinstance(value, int | float):
            continue
        shown = f"{interval[0]:.3f} – {interval[1]:.3f}" if interval else ""
        table.add_row(name, f"{value:.3f}", shown)
    return table


def _exit_code(execution: Execution) -> ExitCode:
    if execution.version is not None:
        return ExitCode.REGISTERED
    return ExitCode.GATE_REFUSED if execution.gate_refused else ExitCode.FAILED
