"""`lectern local`: starts, stops and finds the local AWS of this checkout."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from types import ModuleType
from typing import Annotated

import typer

from lectern.faults import LecternError
from lectern.options import Json, chosen
from lectern.output import Output

app = typer.Typer(no_args_is_help=True, help="Start, stop and find the local AWS.")


@app.command()
def start(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="The port on 127.0.0.1.")] = None,
    as_json: Json = False,
) -> None:
    """Start the local AWS in the background, with what it held before."""
    output = Output(as_json=chosen(context, as_json=as_json).as_json)
    lifecycle = _lifecycle()
    with output.working("starting the local AWS"), _clear_faults(lifecycle):
        server = lifecycle.start(port=port)
    output.show(asdict(server), f"the local AWS answers on {server.endpoint_url}")


@app.command()
def stop(context: typer.Context, as_json: Json = False) -> None:
    """Stop the local AWS and everything it started; its state is kept."""
    output = Output(as_json=chosen(context, as_json=as_json).as_json)
    lifecycle = _lifecycle()
    with output.working("stopping the local AWS"), _clear_faults(lifecycle):
        ran = lifecycle.stop()
    output.show({"stopped": ran}, "the local AWS is stopped" if ran else "no local AWS was running")


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Tell whether the local AWS runs, and where."""
    output = Output(as_json=chosen(context, as_json=as_json).as_json)
    found = _lifecycle().status()
    server = None if found.server is None else asdict(found.server)
    document = {
        "running": found.running,
        "server": server,
        "state_dir": str(found.state_dir),
        "log": str(found.log),
    }
    state = f"answers on {server['endpoint_url']}" if server else "does not run"
    output.show(document, f"the local AWS {state}\nstate: {found.state_dir}\nlog:   {found.log}")


@app.command()
def env(context: typer.Context, as_json: Json = False) -> None:
    """Print the variables with which any AWS client reaches it: eval "$(lectern local env)"."""
    output = Output(as_json=chosen(context, as_json=as_json).as_json)
    environment = running_environment()
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    output.show(environment, "\n".join(lines))


def running_environment() -> dict[str, str]:
    """The variables that reach the running local AWS; raises when none runs."""
    lifecycle = _lifecycle()
    server = lifecycle.status().server
    if server is None:
        raise LecternError("the local AWS does not run: start it with `lectern local start`")
    environment: dict[str, str] = lifecycle.environment(server)
    return environment


@contextmanager
def _clear_faults(lifecycle: ModuleType) -> Iterator[None]:
    try:
        yield
    except lifecycle.LocalAwsError as error:
        raise LecternError(str(error)) from error


def _lifecycle() -> ModuleType:
    try:
        return import_module("local.lifecycle")
    except ModuleNotFoundError as error:
        raise LecternError(
            f"--local: the local AWS is not installed here ({error}): "
            "run `lectern` from a checkout whose environment has requirements.txt"
        ) from error
