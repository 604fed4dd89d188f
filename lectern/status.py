"""`lectern status`: what a deployment serves, from which version, and where its API is."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from lectern.deployment import Deployment, connect
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output


def status(
    context: typer.Context,
    show_key: Annotated[bool, typer.Option("--show-key", help="Show the API key too.")] = False,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Show the models, their states and versions, and the API's address."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    deployment = connect(options)
    with output.working("looking at the deployment"):
        document = describe(deployment, show_key=show_key)
    api = document["api"]
    key = api["key"] or "(shown with --show-key)"
    output.show(
        document,
        f"stage {document['stage']}\nAPI   {api['url']}\nkey   {key}\n",
        _table(document["models"]),
    )


def describe(deployment: Deployment, *, show_key: bool) -> dict[str, Any]:
    """The deployment's state as one document; the key is null unless it is to be shown."""
    served = [deployment.served(model) for _, model in sorted(deployment.models.items())]
    return {
        "stage": deployment.stage,
        "api": {
            "url": deployment.api_url(),
            "key": deployment.api_key() if show_key else None,
        },
        "models": {
            one.model.name: {
                "task": one.model.task,
                "state": one.state,
                "version": one.version,
                "endpoint": one.model.endpoint,
            }
            for one in served
        },
    }


def _table(models: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("model", "task", "state", "version", "endpoint"):
        table.add_column(column, no_wrap=True)
    for name, model in models.items():
        table.add_row(
            name, model["task"], model["state"], model["version"] or "-", model["endpoint"] or "-"
        )
    return table
