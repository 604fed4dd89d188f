"""What a stage file may say of a hyperparameter tuning job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from infra.faults import choices
from infra.hyperparameter_settings import TUNABLE
from infra.section import Section, keys_of

Objective = Literal["eval_accuracy", "eval_f1", "eval_f1_micro", "eval_loss"]
Number = Annotated[float, Field(allow_inf_nan=False)]
MOST_JOBS = 750
_FORMS = "a pair [min, max], a mapping with min and max, or a mapping with values"


class Interval(Section):
    """Every number from one to another."""

    min: Number = Field(description="the lowest value tried")
    max: Number = Field(description="the highest value tried")
    scale: Literal["auto", "linear", "logarithmic"] = Field(
        default="auto", description="how the search walks from the lowest to the highest"
    )


def _value(given: object) -> object:
    if isinstance(given, bool | int | float | str):
        return given
    raise PydanticCustomError("refused", "{allowed}", {"allowed": "allowed is one value"})


Value = Annotated[
    object,
    BeforeValidator(_value),
    WithJsonSchema({"type": ["number", "string", "boolean"]}),
]


class Values(Section):
    """Listed values, each of them its own."""

    values: list[Value] = Field(min_length=1, max_length=30, description="the values tried")


def _pair(given: object) -> object:
    """The mapping that `[min, max]` is short for."""
    if not isinstance(given, list):
        return given
    if len(given) != 2:
        raise PydanticCustomError("refused", "{allowed}", {"allowed": f"allowed is {_FORMS}"})
    return {"min": given[0], "max": given[1]}


def _range_kind(given: object) -> str | None:
    keys = keys_of(given)
    if "values" in keys:
        return "values"
    return "min and max" if keys & {"min", "max"} else None


Range = Annotated[
    Annotated[Interval, Tag("min and max")] | Annotated[Values, Tag("values")],
    Discriminator(_range_kind),
    BeforeValidator(
        _pair,
        json_schema_input_type=(
            Annotated[list[Number], Field(min_length=2, max_length=2)] | Interval | Values
        ),
    ),
]


def _tunable(name: str) -> str:
    if name not in TUNABLE:
        allowed = f"allowed are {choices(TUNABLE)}: only these hyperparameters are tuned"
        raise PydanticCustomError("refused", "{allowed}", {"allowed": allowed})
    return name


Tunable = Annotated[
    str, AfterValidator(_tunable), WithJsonSchema({"type": "string", "enum": list(TUNABLE)})
]


class TuneSettings(Section):
    """A search for the best hyperparameters; its best job's model is evaluated."""

    strategy: Literal["bayesian", "random", "hyperband", "grid"] = Field(
        default="bayesian",
        description="how the search goes on; hyperband takes the epochs' range as what a job may "
        "use up, grid tries every combination of values",
    )
    objective: Objective | None = Field(
        default=None,
        description="the figure of the validation rows that is made best: eval_accuracy unless "
        "said, of multi-label problems eval_f1_micro",
    )
    max_jobs: int = Field(ge=1, le=MOST_JOBS, description="training jobs in all")
    max_parallel_jobs: int = Field(
        default=1,
        ge=1,
        le=100,
        description="training jobs at a time; a bayesian search learns more from few",
    )
    early_stopping: bool = Field(
        default=False, description="stops jobs that fall behind those before them"
    )
    ranges: dict[Tunable, Range] = Field(
        min_length=1, description=f"what is tried of each tuned hyperparameter: {_FORMS}"
    )

    @property
    def intervals(self) -> Mapping[str, Interval]:
        """The ranges of numbers."""
        return {name: one for name, one in self.ranges.items() if isinstance(one, Interval)}

    @property
    def resource(self) -> tuple[int, int] | None:
        """The fewest and the most epochs between which hyperband ends a job."""
        epochs = self.intervals.get("epochs")
        if self.strategy != "hyperband" or epochs is None:
            return None
        return int(epochs.min), int(epochs.max)

    @property
    def drawn_intervals(self) -> Mapping[str, Interval]:
        """The ranges that numbers are drawn from: a resource is none."""
        resource = set() if self.resource is None else {"epochs"}
        return {name: one for name, one in self.intervals.items() if name not in resource}

    @property
    def lists(self) -> Mapping[str, Values]:
        """The ranges of listed values."""
        return {name: one for name, one in self.ranges.items() if isinstance(one, Values)}

    @property
    def combinations(self) -> int:
        """How many jobs a grid of the listed values has."""
        return math.prod(len(one.values) for one in self.lists.values())
