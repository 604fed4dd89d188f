"""What SageMaker would refuse of a tuning job, and ranges that no training job could take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from infra import explanations
from infra.explanations import shown
from infra.faults import Fault
from infra.hyperparameter_settings import CHOICES, WHOLE_NUMBERS, Hyperparameters
from infra.section import Place, valid
from infra.tuning_settings import MOST_JOBS, Interval, TuneSettings, Values

_TUNE = TypeAdapter(TuneSettings)


def tune_faults(at: Place, raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Every such fault of one pipeline's `tune`."""
    tune = valid(_TUNE, raw.get("tune"))
    if tune is None:
        return
    if tune.max_parallel_jobs > tune.max_jobs:
        yield Fault(
            (*at, "max_parallel_jobs"),
            f"got {tune.max_parallel_jobs}, allowed is max_jobs ({tune.max_jobs}) or less",
        )
    for name, found in tune.ranges.items():
        place = (*at, "ranges", name)
        if isinstance(found, Interval):
            yield from _interval_faults(place, name, found)
        else:
            yield from _list_faults(place, name, found)
    yield from _written_twice(at, raw.get("hyperparameters"), tune)
    if tune.strategy == "grid":
        yield from _grid_faults(at, tune)
    if tune.strategy == "hyperband":
        yield from _hyperband_faults(at, tune)


def _interval_faults(at: Place, name: str, found: Interval) -> Iterator[Fault]:
    if name in CHOICES:
        yield Fault(
            at,
            f"got numbers from {found.min:g} to {found.max:g}, allowed is a mapping with values: "
            f"{name} is no number",
        )
        return
    refused = False
    for key, number in (("min", found.min), ("max", found.max)):
        whole = name in WHOLE_NUMBERS and number.is_integer()
        for message in _refusals(name, int(number) if whole else number):
            refused = True
            yield Fault((*at, key), message)
    if refused:
        return
    if found.min >= found.max:
        yield Fault(
            (*at, "max"),
            f"got {found.max:g}, allowed is more than min ({found.min:g}): for one value set "
            f"hyperparameters.{name}",
        )
    if found.scale == "logarithmic" and found.min <= 0:
        yield Fault(
            (*at, "scale"),
            f"got 'logarithmic', allowed with min {found.min:g} are auto or linear: the logarithm "
            "needs a min above 0",
        )


def _list_faults(at: Place, name: str, found: Values) -> Iterator[Fault]:
    seen: list[object] = []
    for index, value in enumerate(found.values):
        place = (*at, "values", str(index))
        yield from (Fault(place, message) for message in _refusals(name, value))
        if value in seen:
            yield Fault(place, f"got {shown(value)} a second time: remove it")
        seen.append(value)


def _refusals(name: str, value: object) -> list[str]:
    """Why the hyperparameter itself could not have the value."""
    try:
        Hyperparameters.model_validate({name: value})
    except ValidationError as error:
        return [explanations.explain(fault, Hyperparameters).message for fault in error.errors()]
    return []


def _written_twice(at: Place, tried: object, tune: TuneSettings) -> Iterator[Fault]:
    for name in tune.ranges:
        if isinstance(tried, dict) and name in tried:
            yield Fault(
                (*at, "ranges", name),
                f"got a range, and hyperparameters.{name} is {shown(tried[name])}: "
                "remove one of them",
            )


def _grid_faults(at: Place, tune: TuneSettings) -> Iterator[Fault]:
    for name in tune.intervals:
        yield Fault(
            (*at, "ranges", name),
            "got a range of numbers, allowed with strategy grid is a mapping with values: a grid "
            "tries every combination",
        )
    if tune.intervals:
        return
    if tune.combinations > MOST_JOBS:
        yield Fault(
            (*at, "ranges"),
            f"got {tune.combinations} combinations, allowed with strategy grid are {MOST_JOBS} or "
            "less: every combination is one job; remove values, or use strategy random",
        )
    elif tune.max_jobs != tune.combinations:
        yield Fault(
            (*at, "max_jobs"),
            f"got {tune.max_jobs}, allowed with these ranges and strategy grid is "
            f"{tune.combinations}: every combination of the values is one job",
        )


def _hyperband_faults(at: Place, tune: TuneSettings) -> Iterator[Fault]:
    epochs = tune.ranges.get("epochs")
    if not isinstance(epochs, Interval):
        yield Fault(
            (*at, "ranges", "epochs"),
            f"got {'values' if epochs else 'nothing'}, allowed with strategy hyperband is "
            "[min, max]: jobs that fall behind end between these epochs",
        )
    elif epochs.scale != "auto":
        yield Fault(
            (*at, "ranges", "epochs", "scale"),
            f"got {epochs.scale!r}, allowed with strategy hyperband is nothing: epochs are what "
            "a job may use up, and no value is drawn from them",
        )
    if set(tune.ranges) == {"epochs"}:
        yield Fault(
            (*at, "ranges"),
            "got epochs alone, allowed with strategy hyperband is a second range: epochs are "
            "what a job may use up, and the search is for the others",
        )
    if tune.early_stopping:
        yield Fault(
            (*at, "early_stopping"),
            "got true, allowed with strategy hyperband is false: it stops jobs by itself",
        )
