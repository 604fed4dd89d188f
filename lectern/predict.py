"""`lectern predict`: asks a model's endpoint directly, without the HTTP API."""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError
from rich.table import Table

from lectern.deployment import Deployment, Model, connect
from lectern.faults import LecternError, UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output

JSON = "application/json"


def predict(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name in the settings.")],
    texts: Annotated[list[str], typer.Argument(help="One or more texts.", metavar="TEXT...")],
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Ask a model's endpoint what it makes of TEXT."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    deployment = connect(options)
    found = deployment.model(model)
    with output.working(f"asking {model}"):
        answers = ask(deployment, found, texts)
    output.show(answers, _readable(texts, answers))


def ask(deployment: Deployment, model: Model, texts: list[str]) -> list[Any]:
    """The endpoint's answers in the order of the texts; raises when it gives none."""
    if model.kind == "none":
        raise UsageError(
            f"model: {model.name} has no endpoint (endpoint.kind is none): use `lectern batch`"
        )
    record = deployment.record(model)
    endpoint = (record or {}).get("endpoint") or model.endpoint
    if record is None or endpoint is None:
        raise LecternError(
            f"no version of {model.name} is approved yet: use `lectern approve {model.pipeline}`"
            if model.pipeline
            else f"{model.name} is not deployed yet: use `lectern deploy`"
        )
    body = json.dumps({"inputs": texts}).encode()
    try:
        if model.kind == "async":
            answer = _queued(deployment, endpoint, body, record["timeout_seconds"])
        else:
            answer = _invoked(deployment, endpoint, body)
    except ClientError as error:
        reason = _reason(error)
        raise LecternError(f"the endpoint {endpoint} answered: {reason}") from error
    answers: list[Any] = json.loads(answer)
    return answers


def _invoked(deployment: Deployment, endpoint: str, body: bytes) -> bytes:
    response = deployment.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType=JSON, Accept=JSON, Body=body
    )
    answer: bytes = response["Body"].read()
    return answer


def _queued(deployment: Deployment, endpoint: str, body: bytes, seconds: int) -> bytes:
    """The answer of an asynchronous endpoint, waited for."""
    bucket = deployment.outputs("storage")["DataBucketName"]
    key = f"results/command-line/{uuid.uuid4().hex}/input.json"
    deployment.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=JSON)
    taken = deployment.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint,
        ContentType=JSON,
        Accept=JSON,
        InputLocation=f"s3://{bucket}/{key}",
        InvocationTimeoutSeconds=seconds,
    )
    while True:
        if (answer := _read(deployment, taken["OutputLocation"])) is not None:
            return answer
        if (failure := _read(deployment, taken["FailureLocation"])) is not None:
            words = failure.decode("utf-8", "replace")
            raise LecternError(f"the endpoint {endpoint} answered: {words}")
        time.sleep(deployment.poll_seconds)


def _read(deployment: Deployment, uri: str) -> bytes | None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body: bytes = deployment.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return body


def _reason(error: ClientError) -> str:
    response: Any = error.response
    return str(response.get("OriginalMessage") or response["Error"].get("Message", ""))


def _readable(texts: list[str], answers: list[Any]) -> Table | str:
    """A table where each text has one label; JSON for what other tasks answer."""
    if not all(
        isinstance(answer, dict) and {"label", "score"} <= set(answer) for answer in answers
    ):
        return json.dumps(answers, indent=2, ensure_ascii=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("label", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("text")
    for text, answer in zip(texts, answers, strict=True):
        table.add_row(answer["label"], f"{answer['score']:.3f}", text)
    return table
