"""The commands of `lectern`, put together."""

from __future__ import annotations

import sys

import typer
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from lectern import approve, batch, cdk, local, package, predict, push, report, status, train
from lectern.faults import LecternError
from lectern.options import Json, Local, Name, Stage

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Hugging Face text models on Amazon SageMaker, or on this machine with --local.",
)


@app.callback()
def options(
    local: Local = False, stage: Stage = None, name: Name = None, as_json: Json = False
) -> None:
    """Take the options of every command before its name too; they are merged by `chosen`."""


app.add_typer(local.app, name="local")
app.command(context_settings=cdk.PASSING)(cdk.deploy)
app.command(context_settings=cdk.PASSING)(cdk.cdk)
app.command()(train.train)
app.command()(approve.approve)
app.command()(approve.reject)
app.command()(report.report)
app.command()(push.push)
app.command()(package.package)
app.command()(predict.predict)
app.command()(batch.batch)
app.command()(status.status)


def main() -> None:
    """Run the command line: one clear line on stderr for what it cannot do."""
    try:
        app(prog_name="lectern")
    except LecternError as error:
        _end(str(error), error.exit_code)
    except ClientError as error:
        told = error.response["Error"]
        _end(f"{error.operation_name}: {told.get('Message') or told.get('Code')}", 1)
    except (BotoCoreError, Boto3Error, OSError) as error:
        _end(str(error), 1)


def _end(message: str, code: int) -> None:
    sys.stderr.write(f"lectern: {' '.join(message.split())}\n")
    raise SystemExit(code)
