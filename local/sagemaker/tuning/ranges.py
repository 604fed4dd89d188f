"""Hyperparameter ranges: what a request says, what the search samples, the texts jobs get."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from local.sagemaker.errors import ValidationException
from local.sagemaker.store import Json

_LISTS = ("ContinuousParameterRanges", "IntegerParameterRanges", "CategoricalParameterRanges")
_MOST = 30
# Auto takes the logarithm where a range spans as much as two orders of magnitude.
_AUTO_LOGARITHMIC_RATIO = 100


@dataclass(frozen=True)
class Range:
    """One hyperparameter to tune: the distribution sampled, and its value as a job's text."""

    name: str
    distribution: BaseDistribution
    text: Callable[[Any], str]


def read(given: dict[str, Any]) -> list[Range]:
    """Every range; raises ValidationException for what cannot be searched."""
    if given.get("AutoParameters"):
        raise ValidationException(
            "ParameterRanges.AutoParameters is not implemented by the local SageMaker: give each "
            "hyperparameter a range"
        )
    ranges = [_READERS[kind](item) for kind in _LISTS for item in given.get(kind, [])]
    names = [item.name for item in ranges]
    if not names or len(names) > _MOST:
        raise ValidationException(
            f"ParameterRanges: 1 to {_MOST} hyperparameters can be tuned, got {len(names)}"
        )
    if len(set(names)) < len(names):
        raise ValidationException(
            f"ParameterRanges: the names of hyperparameters must be unique, got {sorted(names)}"
        )
    return ranges


def choices(ranges: list[Range]) -> dict[str, list[str]]:
    """The values of each categorical range; ranges of other types are left out."""
    return {
        item.name: [str(choice) for choice in item.distribution.choices]
        for item in ranges
        if isinstance(item.distribution, CategoricalDistribution)
    }


def _continuous(item: dict[str, Any]) -> Range:
    name, scale = item["Name"], item.get("ScalingType", "Auto")
    low, high = _bounds(item, float, "a number")
    if scale == "ReverseLogarithmic":
        if not 0 <= low < high < 1:
            raise ValidationException(
                f"hyperparameter {name!r}: ReverseLogarithmic scaling works only for ranges "
                f"within 0 <= x < 1, got [{low}, {high}]"
            )
        distribution = FloatDistribution(1 - high, 1 - low, log=True)
        return Range(name, distribution, lambda value: repr(min(max(1 - value, low), high)))
    logarithmic = _is_logarithmic(name, scale, low, high)
    return Range(name, FloatDistribution(low, high, log=logarithmic), lambda v: repr(float(v)))


def _integer(item: dict[str, Any]) -> Range:
    name, scale = item["Name"], item.get("ScalingType", "Auto")
    low, high = _bounds(item, int, "a whole number")
    if scale == "ReverseLogarithmic":
        raise ValidationException(
            f"hyperparameter {name!r}: ReverseLogarithmic scaling is for continuous ranges only: "
            "use Auto, Linear or Logarithmic"
        )
    logarithmic = _is_logarithmic(name, scale, low, high)
    return Range(name, IntDistribution(int(low), int(high), log=logarithmic), lambda v: str(int(v)))


def _categorical(item: dict[str, Any]) -> Range:
    values = item["Values"]
    if len(set(values)) < len(values):
        raise ValidationException(
            f"hyperparameter {item['Name']!r}: categorical values must be unique, got {values}"
        )
    return Range(item["Name"], CategoricalDistribution(values), str)


def _bounds(item: dict[str, Any], number: Callable[[str], float], what: str) -> tuple[Json, Json]:
    bounds = []
    for member in ("MinValue", "MaxValue"):
        try:
            value = number(item[member])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValidationException(
                f"hyperparameter {item['Name']!r}: {member} {item[member]!r} must be {what}"
            )
        bounds.append(value)
    if bounds[0] >= bounds[1]:
        raise ValidationException(
            f"hyperparameter {item['Name']!r}: MinValue {item['MinValue']} must be less than "
            f"MaxValue {item['MaxValue']}"
        )
    return bounds[0], bounds[1]


def _is_logarithmic(name: str, scale: str, low: float, high: float) -> bool:
    if scale == "Logarithmic" and low <= 0:
        raise ValidationException(
            f"hyperparameter {name!r}: Logarithmic scaling works only for ranges with values "
            f"greater than 0, got MinValue {low}"
        )
    if scale == "Auto":
        return low > 0 and high / low >= _AUTO_LOGARITHMIC_RATIO
    return scale == "Logarithmic"


_READERS: dict[str, Callable[[dict[str, Any]], Range]] = {
    "ContinuousParameterRanges": _continuous,
    "IntegerParameterRanges": _integer,
    "CategoricalParameterRanges": _categorical,
}
