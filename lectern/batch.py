"""`lectern batch`: sends a file of lines through a model and brings the answers back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lectern.batch_ways import Document, Way, way
from lectern.deployment import connect
from lectern.faults import LecternError, UsageError
from lectern.options import Json, Local, Name, Stage, chosen
from lectern.output import Output

LINES, CSV = "application/jsonlines", "text/csv"
CONTENT_TYPES = {".jsonl": LINES, ".ndjson": LINES, ".json": LINES, ".csv": CSV}
OVER = ("Completed", "Failed", "Stopped")


def batch(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name in the settings.")],
    file: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"id"?, "inputs", "parameters"?}; or CSV: one text a row, no header.'
        ),
    ],
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
    if not file.is_file() or file.suffix not in CONTENT_TYPES:
        raise UsageError(f"FILE: JSON lines or CSV ({', '.join(CONTENT_TYPES)}), got {file}")
    if file.stat().st_size == 0:
        raise UsageError(f"FILE: at least one line, got the empty {file}")
    destination = output_file or Path(f"{file.name}.out")
    # Found out now rather than when the answers are there.
    if destination.is_dir():
        raise UsageError(f"--output: a file, got the directory {destination}")
    destination.parent.mkdir(parents=True, exist_ok=True)
    deployment = connect(options)
    found = deployment.model(model)
    batches = way(deployment)
    started = time.monotonic()
    batch_id = batches.start(found, file, CONTENT_TYPES[file.suffix])
    output.say(f"batch {batch_id} started")
    with output.working(f"batch {batch_id}") as tell:
        ended = _follow(batches, batch_id, deployment.poll_seconds, tell)
    if ended["state"] != "Completed":
        raise LecternError(f"batch {batch_id} {ended['state'].lower()}: {ended['reason']}")
    batches.download(ended, destination)
    count, errors = _counted(destination)
    seconds = time.monotonic() - started
    document = {
        "id": batch_id,
        "lines": count,
        "answered": count - len(errors),
        "errors": [{"line": line, "message": message} for line, message in errors],
        "output": str(destination),
    }
    output.show(document, _summary(document, seconds))


def _follow(
    batches: Way, batch_id: str, poll_seconds: float, tell: Callable[[str], None]
) -> Document:
    while True:
        found = batches.describe(batch_id)
        if found["state"] in OVER:
            return found
        if found["lines"] is not None:
            tell(f"batch {batch_id}: {found['done'] or 0} of {found['lines']} lines")
        time.sleep(poll_seconds)


def _counted(answers: Path) -> tuple[int, list[tuple[int, str]]]:
    """How many answers there are, and the lines and messages of those that are errors."""
    count, errors = 0, []
    with answers.open(encoding="utf-8", newline="\n") as lines:
        for count, line in enumerate(lines, start=1):
            answer = json.loads(line)
            if isinstance(answer, dict) and "error" in answer:
                error = answer["error"]
                errors.append((error.get("line", count), str(error.get("message", error))))
    return count, errors


def _summary(document: dict[str, Any], seconds: float) -> str:
    errors = document["errors"]
    lines = [
        f"{document['answered']} of {document['lines']} lines answered in {seconds:.0f} s, "
        f"{len(errors)} with an error",
        *(f"  line {error['line']}: {error['message']}" for error in errors),
        f"answers: {document['output']}",
    ]
    return "\n".join(lines)
