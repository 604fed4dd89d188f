"""What a model must reach to be registered: least figures, and a margin over the version before."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OF = ("value", "lower")
LONGEST_MESSAGE = 1000
# With this begins the reason of a comparison that could be made, were the artifact whole.
UNREADABLE_VERSION = "its model artifact cannot be read"
# Of these a small figure is the good one, so that "at least" would ask for the wrong thing.
SMALLER_IS_BETTER = ("ece",)


class GateError(ValueError):
    """What is asked cannot be asked of this model."""


@dataclass(frozen=True)
class Requirement:
    """A figure, or the lower end of its interval, must be at least so much."""

    metric: str
    of: str
    at_least: float

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        parts = text.split(":")
        if len(parts) != 3 or parts[1] not in OF:
            raise GateError(
                f"--require: must be METRIC:OF:AT_LEAST with OF one of {', '.join(OF)}, "
                f"got '{text}': write for example accuracy:value:0.9"
            )
        return cls(parts[0], parts[1], _number("--require", text, parts[2]))


@dataclass(frozen=True)
class Margin:
    """The figure must exceed that of the approved version by so much."""

    metric: str
    margin: float

    @classmethod
    def parse(cls, text: str) -> "Margin":
        parts = text.split(":")
        if len(parts) != 2:
            raise GateError(
                f"--margin: must be METRIC:MARGIN, got '{text}': write for example accuracy:0.005"
            )
        return cls(parts[0], _number("--margin", text, parts[1]))


def check_names(
    requirements: Sequence[Requirement], margin: Margin | None, names: Sequence[str], problem: str
) -> None:
    """Refuse what this problem does not have, before hours of predictions."""
    usable = [name for name in names if name not in SMALLER_IS_BETTER]
    asked = [("--require", requirement.metric) for requirement in requirements]
    if margin is not None:
        asked.append(("--margin", margin.metric))
    for argument, metric in asked:
        if metric in SMALLER_IS_BETTER:
            raise GateError(
                f"{argument}: of {metric} less is better, so it cannot be asked to be at least "
                f"something: ask for one of {', '.join(usable)}"
            )
        if metric not in usable:
            raise GateError(
                f"{argument}: no figure '{metric}' of this {problem} model: "
                f"ask for one of {', '.join(usable)}"
            )


def decide(
    requirements: Sequence[Requirement],
    margin: Margin | None,
    metrics: Mapping[str, Mapping[str, Any]],
    comparison: Mapping[str, Any] | None,
    rows: int,
) -> dict[str, Any]:
    """The member "gate" of evaluation.json, from its members "metrics" and "comparison"."""
    asked = [_check(requirement, metrics) for requirement in requirements]
    over = None if margin is None else _check_margin(margin, comparison)
    said = [(r["passed"], _sentence(r)) for r in asked]
    if over is not None:
        said.append((over["passed"], over.get("note") or _margin_sentence(over, rows)))
    passed = all(ok for ok, _ in said)
    shown = [sentence for ok, sentence in said if passed or not ok] or ["nothing is asked"]
    return {
        "passed": int(passed),
        "requirements": asked,
        "margin": over,
        "message": _joined(shown),
    }


def _check(requirement: Requirement, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    metric = metrics[requirement.metric]
    if requirement.of == "value":
        measured = metric["value"]
    else:
        interval = metric["confidence_interval"]
        measured = None if interval is None else interval[0]
    return {
        "metric": requirement.metric,
        "of": requirement.of,
        "at_least": requirement.at_least,
        "measured": measured,
        "passed": int(measured is not None and measured >= requirement.at_least),
    }


def _check_margin(margin: Margin, comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"metric": margin.metric, "margin": margin.margin}
    if comparison is None:
        note = f"no version is approved yet, so no margin of {margin.metric} is asked"
        return {**asked, "passed": 1, "note": note}
    asked["version"] = comparison["version"]
    if comparison.get("skipped", "").startswith(UNREADABLE_VERSION):
        note = (
            f"{margin.metric} cannot be compared with version {comparison['version']}: "
            f"{comparison['skipped']}: reject that version, and run again"
        )
        return {**asked, "passed": 0, "note": note}
    if "skipped" in comparison:
        note = (
            f"no margin of {margin.metric} over version {comparison['version']} is asked: "
            f"{comparison['skipped']}"
        )
        return {**asked, "passed": 1, "note": note}
    compared = comparison["metrics"][margin.metric]
    difference = compared["difference"]
    return {
        **asked,
        "candidate": compared["candidate"],
        "approved": compared["approved"],
        "difference": difference,
        "passed": int(difference is not None and difference >= margin.margin),
    }


def _sentence(checked: Mapping[str, Any]) -> str:
    metric, at_least, measured = (checked[name] for name in ("metric", "at_least", "measured"))
    if measured is None:
        return f"{metric} is not defined on these rows, at least {at_least:g} is asked"
    what = metric if checked["of"] == "value" else f"the lower end of {metric}'s 95 % interval"
    return f"{what} is {_apart(measured, at_least)}, at least {at_least:g} is asked"


def _margin_sentence(checked: Mapping[str, Any], rows: int) -> str:
    metric, difference, margin = (checked[n] for n in ("metric", "difference", "margin"))
    if difference is None:
        return (
            f"{metric} is not defined on these rows, better than version {checked['version']} "
            f"by at least {margin:g} is asked"
        )
    candidate, approved = checked["candidate"], checked["approved"]
    found = "equal" if difference == 0 else "better" if difference > 0 else "worse"
    by = "" if difference == 0 else f" by {_apart(abs(difference), abs(margin))}"
    return (
        f"{metric} is {_apart(candidate, approved)} against {_apart(approved, candidate)} of "
        f"version {checked['version']} on the same {rows} rows: {found}{by}, "
        f"at least {margin:g} is asked"
    )


def _apart(value: float, other: float) -> str:
    """With three digits, or as many as keep it apart from a number that it differs from."""
    for digits in (3, 4, 5):
        if value == other or round(value, digits) != round(other, digits):
            return f"{value:.{digits}f}"
    return f"{value:.6f}"


def _joined(sentences: Sequence[str]) -> str:
    text = "; ".join(sentences)
    if len(text) <= LONGEST_MESSAGE:
        return text
    return text[: LONGEST_MESSAGE - 1].rstrip() + "…"


def _number(argument: str, given: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise GateError(f"{argument}: '{text}' in '{given}' is not a number")
    return number
