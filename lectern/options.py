"""The options that every command takes, also before its name: `lectern --local status`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import typer

Local: TypeAlias = Annotated[
    bool, typer.Option("--local", help="Use the local AWS instead of the environment's.")
]
Stage: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="The deployed stage.", show_default="LECTERN_STAGE; else local with --local, or dev"
    ),
]
Name: TypeAlias = Annotated[
    str | None, typer.Option(help="The deployment's name in its settings.", show_default="lectern")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@dataclass(frozen=True)
class Chosen:
    """The options as given, before and after the command's name together."""

    local: bool
    stage: str
    name: str
    as_json: bool


def chosen(
    context: typer.Context,
    *,
    local: bool = False,
    stage: str | None = None,
    name: str | None = None,
    as_json: bool = False,
) -> Chosen:
    """Merge a command's options with those before its name."""
    before: dict[str, Any] = context.find_root().params
    local = local or bool(before.get("local"))
    default_stage = os.environ.get("LECTERN_STAGE") or ("local" if local else "dev")
    return Chosen(
        local=local,
        stage=stage or before.get("stage") or default_stage,
        name=name or before.get("name") or "lectern",
        as_json=as_json or bool(before.get("as_json")),
    )
