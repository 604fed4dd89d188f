"""`lectern train`: uploads rows, runs a pipeline over them and follows it to its figures."""

from __future__ import annotations

import secrets
import time
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lectern import figures, tuning
from lectern.deployment import Deployment, connect
from lectern.execution import Execution, follow
from lectern.faults import UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output
from lectern.rows import given_rows, upload
from lectern.versions import find_version, model_data


class ExitCode(IntEnum):
    """What the exit code of a followed run says."""

    REGISTERED = 0
    FAILED = 1
    GATE_REFUSED = 3


def train(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name in the settings.")],
    data: Annotated[Path, typer.Option(help="A file of rows, or a directory of such files.")],
    validation: Annotated[
        Path | None,
        typer.Option(help="Rows to validate on.", show_default="a share of --data"),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="Rows to evaluate on.", show_default="a share of --data"),
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="The column of the texts.")] = None,
    text_pair_column: Annotated[
        str | None, typer.Option(help="The column of the second texts, of pairs.")
    ] = None,
    label_column: Annotated[str | None, typer.Option(help="The column of the labels.")] = None,
    label_delimiter: Annotated[
        str | None, typer.Option(help="What stands between the labels of one row, such as '|'.")
    ] = None,
    label_at_least: Annotated[
        float | None, typer.Option(help="Make two labels: numbers from here on, and below.")
    ] = None,
    from_version: Annotated[
        int | None, typer.Option(help="Go on from this version, on rows of the same labels.")
    ] = None,
    gate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="The least that the gate's first metric must reach."),
    ] = None,
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
    files = given_rows(data, validation=validation, test=test)
    if label_delimiter == "":
        raise UsageError("--label-delimiter: at least one character, such as '|', got none")
    parameters = _parameters(
        set_parameters or [],
        TextColumn=text_column,
        TextPairColumn=text_pair_column,
        LabelColumn=label_column,
        LabelDelimiter=label_delimiter,
        LabelAtLeast=label_at_least,
        GateAtLeast=gate,
    )
    deployment = connect(options)
    names = deployment.pipeline(pipeline)
    if from_version is not None:
        parameters = _continued(deployment, pipeline, from_version, parameters)
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


def _continued(
    deployment: Deployment, pipeline: str, number: int, parameters: dict[str, str]
) -> dict[str, str]:
    """The parameters with the version's model artifact as the one to start from."""
    if "StartFromUri" in parameters:
        raise UsageError("--set: StartFromUri is already set by --from-version")
    version = find_version(deployment, pipeline, number, option="--from-version")
    return parameters | {"StartFromUri": model_data(version)}


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
        "best": execution.best,
        "version": execution.version,
        "model_package": execution.model_package,
        "gate_refused": execution.gate_refused,
        "failure": execution.failure,
    }


def _readable(pipeline: str, document: dict[str, Any], seconds: float) -> list[Any]:
    parts: list[Any] = [tuning.summary(document["best"])] if document["best"] else []
    if document["metrics"]:
        parts.append(figures.headlines(document["metrics"]))
    if document["version"] is None:
        parts.append(f"no version registered: {document['failure']}")
    else:
        parts.append(
            f"version {document['version']} of {pipeline} registered after {seconds:.0f} s; "
            f"serve it with `lectern approve {pipeline}`"
        )
    return parts


def _exit_code(execution: Execution) -> ExitCode:
    if execution.version is not None:
        return ExitCode.REGISTERED
    return ExitCode.GATE_REFUSED if execution.gate_refused else ExitCode.FAILED
