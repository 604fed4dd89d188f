"""Follows a tuning job: each training job that ends with its figures, and the best so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lectern.deployment import Client
from lectern.output import Output

OVER = ("Completed", "Failed", "Stopped")


@dataclass
class TuningWatch:
    """What was told of the tuning jobs of one run."""

    sagemaker: Client
    _told: set[str] = field(default_factory=set)
    _best: dict[str, float] = field(default_factory=dict)

    def tell(self, name: str, output: Output, working: Callable[[str], None]) -> None:
        """Keep a line for each job that ended since the last look; how many run only shows."""
        described = describe(self.sagemaker, name)
        summaries = self._summaries(name)
        total = described["HyperParameterTuningJobConfig"]["ResourceLimits"].get(
            "MaxNumberOfTrainingJobs", len(summaries)
        )
        ended = [one for one in summaries if one["TrainingJobStatus"] in OVER]
        for summary in sorted(
            ended, key=lambda one: one.get("TrainingEndTime") or one["CreationTime"]
        ):
            if summary["TrainingJobName"] not in self._told:
                self._told.add(summary["TrainingJobName"])
                is_best = self._is_best(name, summary, described)
                place = f"{len(self._told)} of {total}"
                output.say(f"           {place:<8} {_shown(summary, is_best=is_best)}")
        working(_counts(described, total))

    def _summaries(self, name: str) -> list[dict[str, Any]]:
        pages = self.sagemaker.get_paginator(
            "list_training_jobs_for_hyper_parameter_tuning_job"
        ).paginate(HyperParameterTuningJobName=name, SortBy="CreationTime", SortOrder="Ascending")
        return [summary for page in pages for summary in page["TrainingJobSummaries"]]

    def _is_best(self, name: str, summary: dict[str, Any], described: dict[str, Any]) -> bool:
        """Whether the job beats all that were told before it."""
        objective = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
        # SageMaker names a stopped job only where none completes: it may have written no model.
        if objective is None or summary["TrainingJobStatus"] != "Completed":
            return False
        wanted = described["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
        sign = -1 if (wanted or objective).get("Type") == "Minimize" else 1
        value = sign * float(objective["Value"])
        if name in self._best and value <= self._best[name]:
            return False
        self._best[name] = value
        return True


def describe(sagemaker: Client, name: str) -> dict[str, Any]:
    """The tuning job as SageMaker describes it."""
    described: dict[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )
    return described


def best(sagemaker: Client, name: str) -> dict[str, Any] | None:
    """The best job of a tuning: its name, tuned hyperparameters and objective; None without one."""
    found = describe(sagemaker, name).get("BestTrainingJob")
    if not found:
        return None
    objective = found.get("FinalHyperParameterTuningJobObjectiveMetric")
    return {
        "job": found["TrainingJobName"],
        "hyperparameters": {
            name: _plain(value) for name, value in found["TunedHyperParameters"].items()
        },
        "objective": objective
        and {"name": objective["MetricName"], "value": float(objective["Value"])},
    }


def summary(best: dict[str, Any]) -> str:
    """One line on the best job."""
    objective = best["objective"]
    figure = f" with {objective['name']} {objective['value']:.4g}" if objective else ""
    return f"best job: {best['job']}{figure}: {_tuned(best['hyperparameters'])}"


def _shown(summary: dict[str, Any], *, is_best: bool) -> str:
    objective = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    status = summary["TrainingJobStatus"]
    parts = [] if status == "Completed" else [status.lower()]
    parts.append(_tuned(summary.get("TunedHyperParameters", {})))
    if objective is not None:
        parts.append(f"{objective['MetricName']} {float(objective['Value']):.4g}")
    if is_best:
        parts.append("best so far")
    line = "  ".join(part for part in parts if part)
    reason = summary.get("FailureReason") if status == "Failed" else None
    return f"{line}: {' '.join(str(reason).split())[:200]}" if reason else line


def _counts(described: dict[str, Any], total: int) -> str:
    counters = described.get("TrainingJobStatusCounters", {})
    ended = sum(counters.get(name, 0) for name in ("Completed", "NonRetryableError", "Stopped"))
    line = f"Tune  {ended} of {total} jobs over, {counters.get('InProgress', 0)} running"
    objective = (described.get("BestTrainingJob") or {}).get(
        "FinalHyperParameterTuningJobObjectiveMetric"
    )
    if objective is None:
        return line
    return f"{line}, best {objective['MetricName']} {float(objective['Value']):.4g}"


def _tuned(hyperparameters: dict[str, str]) -> str:
    return "  ".join(f"{name} {_short(value)}" for name, value in sorted(hyperparameters.items()))


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return _plain(value)


def _plain(value: str) -> str:
    """A categorical value without the quotes in which the SDK passes it."""
    quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
    return value[1:-1] if quoted else value
