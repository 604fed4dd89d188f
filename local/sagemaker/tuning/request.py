"""What a tuning request asks for: checked, and as the training request of one job."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import ValidationException
from local.sagemaker.store import Record
from local.sagemaker.tuning.ranges import Range, choices, read

OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"
_EPOCH_NAMES = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
_MOST_RESOURCE = 20_000
_MOST_COMBINATIONS = 750
_REFUSED = {
    "TrainingJobDefinitions": "give one TrainingJobDefinition",
    "WarmStartConfig": "leave it out: every tuning job starts anew",
    "Autotune": "leave it out, and give ranges and limits",
}
_REFUSED_IN_CONFIG = {
    "TuningJobCompletionCriteria": "limit the job by ResourceLimits",
}
_REFUSED_IN_DEFINITION = {
    "HyperParameterRanges": "give HyperParameterTuningJobConfig.ParameterRanges",
    "TuningObjective": "give HyperParameterTuningJobConfig.HyperParameterTuningJobObjective",
    "HyperParameterTuningResourceConfig": "give ResourceConfig",
}


@dataclass(frozen=True)
class Resources:
    """Hyperband's bounds, in values of the objective that a job prints: its epochs."""

    least: int
    most: int


@dataclass(frozen=True)
class Plan:
    """A tuning request, read."""

    name: str
    strategy: str
    ranges: list[Range]
    metric: str
    maximize: bool
    jobs: int
    parallel: int
    seconds: float | None
    seed: int
    stops_early: bool
    resources: Resources | None


def plan(request: Record) -> Plan:
    """The request in this module's words; raises ValidationException for what is not allowed."""
    _refuse(request, _REFUSED, "")
    config, definition = request["HyperParameterTuningJobConfig"], _definition(request)
    _refuse(config, _REFUSED_IN_CONFIG, "HyperParameterTuningJobConfig.")
    _refuse(definition, _REFUSED_IN_DEFINITION, "TrainingJobDefinition.")
    strategy = config["Strategy"]
    ranges = read(config.get("ParameterRanges", {}))
    _check_static(ranges, definition)
    objective = _objective(config, definition)
    jobs, parallel = _limits(config["ResourceLimits"], strategy, ranges)
    stops_early = config.get("TrainingJobEarlyStoppingType", "Off") == "Auto"
    if strategy == "Hyperband" and stops_early:
        raise ValidationException(
            "TrainingJobEarlyStoppingType must be Off with the strategy Hyperband: it stops "
            "training jobs by itself"
        )
    name = request["HyperParameterTuningJobName"]
    return Plan(
        name=name,
        strategy=strategy,
        ranges=ranges,
        metric=objective["MetricName"],
        maximize=objective["Type"] == "Maximize",
        jobs=jobs,
        parallel=parallel,
        seconds=config["ResourceLimits"].get("MaxRuntimeInSeconds"),
        seed=config.get("RandomSeed", zlib.crc32(name.encode())) % 2**32,
        stops_early=stops_early,
        resources=_resources(config, definition, strategy),
    )


def training_request(record: Record, job_name: str, values: dict[str, str]) -> Record:
    """CreateTrainingJob's request for one set of values."""
    definition: Record = record["TrainingJobDefinition"]
    request = {
        **{k: v for k, v in definition.items() if k not in ("StaticHyperParameters",)},
        "TrainingJobName": job_name,
        "HyperParameters": {
            **definition.get("StaticHyperParameters", {}),
            OBJECTIVE_HYPERPARAMETER: record["HyperParameterTuningJobConfig"][
                "HyperParameterTuningJobObjective"
            ]["MetricName"],
            **values,
        },
    }
    request.pop("DefinitionName", None)
    if record.get("Tags"):
        request["Tags"] = record["Tags"]
    return request


def _refuse(given: Record, refused: dict[str, str], prefix: str) -> None:
    for name, instead in refused.items():
        if given.get(name):
            raise ValidationException(
                f"{prefix}{name} is not implemented by the local SageMaker: {instead}"
            )


def _definition(request: Record) -> Record:
    definition: Record | None = request.get("TrainingJobDefinition")
    if definition is None:
        raise ValidationException("TrainingJobDefinition is missing: give it")
    if "ResourceConfig" not in definition:
        raise ValidationException("TrainingJobDefinition.ResourceConfig is missing: give it")
    return definition


def _check_static(ranges: list[Range], definition: Record) -> None:
    static = {*definition.get("StaticHyperParameters", {}), OBJECTIVE_HYPERPARAMETER}
    both = sorted(static & {item.name for item in ranges})
    if both:
        raise ValidationException(
            f"hyperparameters {both} are static and tuned: a hyperparameter is either in "
            "StaticHyperParameters or in ParameterRanges"
        )


def _objective(config: Record, definition: Record) -> dict[str, str]:
    objective: dict[str, str] | None = config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise ValidationException("HyperParameterTuningJobObjective is missing: give it")
    definitions = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    known = [item["Name"] for item in definitions]
    if objective["MetricName"] not in known:
        raise ValidationException(
            f"The objective metric [{objective['MetricName']}] for the hyperparameter tuning job "
            f"isn't valid: MetricDefinitions of the training job definition have {known}"
        )
    return objective


def _limits(limits: dict[str, int], strategy: str, ranges: list[Range]) -> tuple[int, int]:
    given, parallel = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    if strategy == "Grid":
        others = sorted({item.name for item in ranges} - set(choices(ranges)))
        if others:
            raise ValidationException(
                f"the strategy Grid takes categorical ranges only: {others} are of another type"
            )
        jobs = math.prod(map(len, choices(ranges).values()))
        if jobs > _MOST_COMBINATIONS:
            raise ValidationException(
                f"ParameterRanges: a grid of {jobs} combinations is too large: the most is "
                f"{_MOST_COMBINATIONS}"
            )
        if given not in (None, jobs):
            raise ValidationException(
                f"MaxNumberOfTrainingJobs {given}: with the strategy Grid it must be the number "
                f"of combinations, {jobs}, or be left out"
            )
    elif given is None:
        raise ValidationException(
            f"ResourceLimits.MaxNumberOfTrainingJobs is missing: the strategy {strategy} needs it"
        )
    else:
        jobs = given
    if parallel > jobs:
        raise ValidationException(
            f"MaxParallelTrainingJobs {parallel} must be less than or equal to "
            f"MaxNumberOfTrainingJobs {jobs}"
        )
    return jobs, parallel


def _resources(config: Record, definition: Record, strategy: str) -> Resources | None:
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    if strategy != "Hyperband":
        if given is not None:
            raise ValidationException(
                f"StrategyConfig.HyperbandStrategyConfig is for the strategy Hyperband only, got "
                f"{strategy}"
            )
        return None
    given = given or {}
    most = given.get("MaxResource") or _epochs(definition.get("StaticHyperParameters", {}))
    least = given.get("MinResource", 1)
    if most is None:
        raise ValidationException(
            "HyperbandStrategyConfig.MaxResource is missing and no static hyperparameter tells "
            f"it: give it, or one of {', '.join(_EPOCH_NAMES)}"
        )
    if not 1 <= least < most <= _MOST_RESOURCE:
        raise ValidationException(
            f"HyperbandStrategyConfig: MinResource {least} must be less than MaxResource {most}, "
            f"which may be {_MOST_RESOURCE} at most"
        )
    return Resources(least, most)


def _epochs(static: dict[str, Any]) -> int | None:
    for name in _EPOCH_NAMES:
        try:
            return round(float(str(static[name]).strip('"')))
        except (KeyError, ValueError, OverflowError):
            continue
    return None
