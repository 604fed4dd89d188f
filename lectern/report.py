"""`lectern report`: what a version can do, as its evaluation and its model card say it."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from lectern import figures
from lectern.deployment import Client, connect
from lectern.faults import UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output
from lectern.versions import Version, find_version, linked, read


def report(
    context: typer.Context,
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name in the settings.")],
    version: Annotated[
        int | None, typer.Argument(help="The version.", show_default="the newest")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Save the model card as this HTML file.")
    ] = None,
    open_card: Annotated[
        bool,
        typer.Option(
            "--open", help="Show it in the browser; saved as PIPELINE-VERSION.html if not named."
        ),
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the model card as Markdown.")
    ] = False,
    local: Local = False,
    stage: Stage = None,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Show a version's figures, its gate, and the comparison with the version it would replace."""
    options = chosen(context, local=local, stage=stage, name=name, as_json=as_json)
    output = Output(as_json=options.as_json)
    if markdown and options.as_json:
        raise UsageError("--markdown: prints the card, --json the evaluation: give one of them")
    if output_file is not None and output_file.is_dir():
        raise UsageError(f"--output: a file, got the directory {output_file}")
    deployment = connect(options)
    s3 = deployment.client("s3")
    found = find_version(deployment, pipeline, version, option="VERSION")
    if markdown:
        sys.stdout.write(markdown_card(s3, found).rstrip("\n") + "\n")
    else:
        evaluation: dict[str, Any] = json.loads(read(s3, linked(found, "evaluation")))
        output.show(evaluation, *_readable(found, evaluation))
    if output_file is not None or open_card:
        saved = _save(s3, found, output_file)
        output.say(f"model card: {saved}")
        if open_card and not webbrowser.open(saved.resolve().as_uri()):
            output.say("no browser was found here: open the file in one")


def markdown_card(s3: Client, version: Version) -> str:
    """The model card that lies beside the HTML page, in Markdown."""
    page = linked(version, "card")
    return read(s3, f"{page.rpartition('/')[0]}/card.md").decode("utf-8")


def _save(s3: Client, version: Version, chosen_file: Path | None) -> Path:
    page = read(s3, linked(version, "card"))
    file = chosen_file or Path(f"{version.pipeline}-{version.number}.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(page)
    return file


def _readable(version: Version, evaluation: dict[str, Any]) -> list[Any]:
    confidence = evaluation.get("confidence", 0.95)
    problem = f"{evaluation['problem']}, " if evaluation.get("problem") else ""
    parts: list[Any] = [
        f"version {version.number} of {version.pipeline}, {version.status}: "
        f"{problem}{evaluation['rows']} rows held out\n",
        figures.every(evaluation["metrics"], confidence=confidence),
    ]
    if evaluation.get("per_class"):
        parts += ["", figures.weakest(evaluation["per_class"])]
    compared = evaluation.get("comparison")
    if compared and "metrics" in compared:
        parts += ["", figures.comparison(compared, confidence=confidence)]
    elif compared:
        parts += ["", f"not compared with version {compared['version']}: {compared['skipped']}"]
    if evaluation.get("gate"):
        parts += ["", _gate(evaluation["gate"])]
    return parts


def _gate(gate: dict[str, Any]) -> str:
    verdict = "passed" if gate["passed"] else "refused"
    return f"gate {verdict}: {gate['message']}" if gate.get("message") else f"gate {verdict}"
