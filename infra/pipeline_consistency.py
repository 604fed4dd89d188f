"""The faults of a pipeline that no setting has by itself: two settings that do not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from infra.explanations import shown
from infra.faults import Fault
from infra.gate_settings import GateSettings
from infra.pipeline_settings import ColumnSettings, PipelineSettings
from infra.section import Place, valid
from infra.tuning_consistency import tune_faults

_COLUMNS = TypeAdapter(ColumnSettings)
_GATE = TypeAdapter(GateSettings)
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json")


def pipeline_faults(
    name: str, raw: Mapping[str, Any], *, local: bool, project: Path
) -> Iterator[Fault]:
    """Every such fault of one pipeline; a malformed part is passed over."""
    place = ("pipelines", name)
    yield from _waiting_faults((*place, "max_wait_seconds"), raw)
    yield from _base_faults((*place, "base"), raw.get("base"), local=local, project=project)
    yield from _column_faults((*place, "columns"), raw)
    yield from _gate_faults((*place, "gate"), raw)
    yield from tune_faults((*place, "tune"), raw)


def _waiting_faults(at: Place, raw: Mapping[str, Any]) -> Iterator[Fault]:
    default_runtime = PipelineSettings.model_fields["max_runtime_seconds"].default
    runtime = raw.get("max_runtime_seconds", default_runtime)
    wait, spot = raw.get("max_wait_seconds"), raw.get("spot", False)
    if not (isinstance(runtime, int) and isinstance(wait, int | None) and isinstance(spot, bool)):
        return
    if spot and (wait is None or wait < runtime):
        allowed = f"allowed with spot is max_runtime_seconds ({runtime}) or more"
        yield Fault(at, f"got {shown(wait)}, {allowed}: the wait counts the run too")
    if not spot and wait is not None:
        yield Fault(
            at, f"got {wait}, allowed without spot is nothing: remove it, or set spot: true"
        )


def _base_faults(at: Place, base: object, *, local: bool, project: Path) -> Iterator[Fault]:
    if not isinstance(base, dict):
        return
    if not local and "package" in base:
        yield Fault(
            (*at, "package"),
            f"got {shown(base['package'])}, which only the stage 'local' can use, since "
            "AWS's images do not hold it: use base.hub and base.revision",
        )
    path = base.get("path")
    if isinstance(path, str):
        yield from _encoder_faults((*at, "path"), path, project)


def _encoder_faults(at: Place, given: str, project: Path) -> Iterator[Fault]:
    folder = project / given
    if not folder.exists():
        yield Fault(at, f"got {given!r}, but nothing is there, seen from the project's directory")
    elif not folder.is_dir():
        yield Fault(at, f"got {given!r}, allowed is a directory")
    else:
        names = {path.name for path in folder.iterdir() if path.is_file()}
        # Weights of other forms can carry code, and the containers take none of them.
        there = {
            "config.json": "config.json" in names,
            "safetensors weights": any(name.endswith(".safetensors") for name in names),
            "a tokenizer": any(n in _TOKENIZERS or n.endswith(".model") for n in names),
        }
        missing = [what for what, found in there.items() if not found]
        if missing:
            yield Fault(
                at,
                f"got {given!r}, a directory without {' and '.join(missing)} at its root: name "
                "what save_pretrained wrote of the model and of its tokenizer",
            )


def _column_faults(at: Place, raw: Mapping[str, Any]) -> Iterator[Fault]:
    columns = valid(_COLUMNS, raw.get("columns", {}))
    if columns is None:
        return
    if raw.get("problem") == "single-label" and columns.label_delimiter != "none":
        yield Fault(
            (*at, "label_delimiter"),
            f"got {shown(columns.label_delimiter)}, allowed with problem single-label is none: "
            "a row has one label; for several set problem: multi-label",
        )
    if columns.text_pair == columns.text != "auto":
        yield Fault(
            (*at, "text_pair"),
            f"got {shown(columns.text_pair)}, which is the column of text too: name the second "
            "text's column, or remove it",
        )


def _gate_faults(at: Place, raw: Mapping[str, Any]) -> Iterator[Fault]:
    gate = valid(_GATE, raw.get("gate"))
    if gate is None or raw.get("problem") != "multi-label":
        return
    asked = [((*at, "metric"), gate.metric)]
    asked += [((*at, "also", str(i), "metric"), one.metric) for i, one in enumerate(gate.also)]
    if gate.over_approved is not None:
        asked.append(((*at, "over_approved", "metric"), gate.over_approved.metric))
    for place, metric in asked:
        if metric.endswith("_binary"):
            other = metric.replace("_binary", "_micro")
            yield Fault(
                place,
                f"got {metric!r}, allowed with problem multi-label is a figure of all labels, as "
                f"{other!r}: {metric} is of problems with two classes",
            )
