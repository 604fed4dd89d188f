"""Tables of an evaluation's figures, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

# What a run ends with; a report shows all there are.
HEADLINES = ("accuracy", "f1", "f1_micro", "f1_binary", "roc_auc")


def headlines(metrics: Mapping[str, dict[str, Any]]) -> Table:
    """The figures by which models are compared, one a row."""
    chosen = {name: metrics[name] for name in HEADLINES if name in metrics}
    # Of one label a text, these two are the same number.
    if chosen.get("f1_micro", {}).get("value") == chosen.get("accuracy", {}).get("value"):
        chosen.pop("f1_micro", None)
    return every(chosen or metrics)


def every(metrics: Mapping[str, dict[str, Any]], *, confidence: float = 0.95) -> Table:
    """All figures, one a row."""
    table = _table("on rows held out")
    table.add_column("value", justify="right")
    table.add_column(f"{confidence * 100:g} % interval")
    for name, metric in metrics.items():
        table.add_row(name, _number(metric.get("value")), interval(metric))
    return table


def comparison(compared: Mapping[str, Any], *, confidence: float = 0.95) -> Table:
    """The candidate beside the approved version, on the same rows."""
    table = _table("on the same rows")
    table.add_column(f"version {compared['version']}", justify="right")
    table.add_column("this one", justify="right")
    table.add_column("difference", justify="right")
    table.add_column(f"{confidence * 100:g} % interval")
    for name, figures in compared["metrics"].items():
        table.add_row(
            name,
            _number(figures["approved"]),
            _number(figures["candidate"]),
            _number(figures["difference"], signed=True),
            interval(figures, signed=True),
        )
    return table


def weakest(per_class: Mapping[str, Mapping[str, Any]], *, at_most: int = 5) -> Table:
    """The classes with the lowest F1, the weakest first; those that these rows lack come last."""
    table = _table("weakest labels" if len(per_class) > at_most else "labels")
    for column in ("f1", "precision", "recall", "rows"):
        table.add_column(column, justify="right")
    found = [(label, one) for label, one in per_class.items() if _is_number(one.get("f1"))]
    found.sort(key=lambda one: (_is_absent(one[1]), float(one[1]["f1"])))
    for label, figures in found[:at_most]:
        table.add_row(
            label,
            *(_number(figures.get(name)) for name in ("f1", "precision", "recall")),
            f"{figures['support']:g}" if "support" in figures else "",
        )
    return table


def interval(figure: Mapping[str, Any], *, signed: bool = False) -> str:
    """`0.881 – 0.940`, or nothing where there is none."""
    bounds = figure.get("confidence_interval")
    return (
        f"{_number(bounds[0], signed=signed)} – {_number(bounds[1], signed=signed)}"
        if bounds
        else ""
    )


def _table(title: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True)
    return table


def _number(value: object, *, signed: bool = False) -> str:
    """Three digits after the point, or a dash where the rows tell no figure."""
    if not _is_number(value):
        return "–"
    return f"{value:+z.3f}" if signed else f"{value:.3f}"


def _is_absent(figures: Mapping[str, Any]) -> bool:
    """Neither true nor predicted in any row, so that its F1 of 0 says nothing."""
    return not figures.get("support", 1) + figures.get("predicted", 0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
