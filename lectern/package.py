"""`lectern package`: makes what the ONNX engines need in a model directory of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lectern.cdk import project
from lectern.faults import LecternError, UsageError
from lectern.options import Json, chosen
from lectern.output import Output

RECORD = "lectern.json"


def package(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model directory, as save_pretrained writes it.")
    ],
    rows: Annotated[
        Path,
        typer.Option(help='JSON lines, {"text": …} each: texts on which engines are compared.'),
    ],
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise too, where the predictions stay the same.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add onnx/ to DIR, for a model with source.path and endpoint.engine onnx or onnx-int8."""
    options = chosen(context, as_json=as_json)
    output = Output(as_json=options.as_json)
    if not (directory / "config.json").is_file():
        raise UsageError(f"DIR: a directory with config.json and the weights, got {directory}")
    if not rows.is_file():
        raise UsageError(f"--rows: a file of JSON lines, got {rows}")
    with output.working(f"packaging {directory}"):
        _run(directory, rows, int8=int8)
    record: dict[str, Any] = json.loads((directory / RECORD).read_text(encoding="utf-8"))["onnx"]
    output.show(record, _summary(record))


def _run(directory: Path, rows: Path, *, int8: bool) -> None:
    scripts = project() / "training"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "package"),
            *("--in-place", str(directory.resolve()), "--rows", str(rows.resolve())),
            *("--int8", str(int8)),
        ],
        env=os.environ | {"PYTHONPATH": str(scripts), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or [f"it ended with {run.returncode}"]
        raise LecternError(f"{directory} was not packaged: {lines[-1].removeprefix('package: ')}")


def _summary(record: dict[str, Any]) -> str:
    if not record["exported"]:
        return f"not exported, engine torch serves it: {record['reason']}"
    lines = [f"onnx: probabilities differ from torch's by at most {record['max_difference']:.1g}"]
    int8 = record.get("int8")
    if int8 is not None:
        verdict = "accepted" if int8["accepted"] else "not accepted, use engine: onnx"
        lines.append(
            f"onnx-int8: {verdict}; {int8['agreement']:.1%} of the predictions agree on "
            f"{int8['rows']} rows, mean change of probability {int8['mean_probability_change']:.4f}"
        )
    return "\n".join(lines)
