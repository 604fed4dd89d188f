"""How a tuning job stands: its training jobs' summaries, their counts, the best of them."""

from __future__ import annotations

from typing import Any

from local.sagemaker.store import Record, Store

FINAL = ("Completed", "Failed", "Stopped")
_COPIED = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "TrainingJobStatus",
    "TunedHyperParameters",
    "FailureReason",
)


def objective_of(tuning: Record) -> dict[str, str]:
    objective: dict[str, str] = tuning["HyperParameterTuningJobConfig"][
        "HyperParameterTuningJobObjective"
    ]
    return objective


def final_value(job: Record, metric: str) -> float | None:
    """The last value that the job printed of the metric; a failed job's do not count."""
    if job["TrainingJobStatus"] not in ("Completed", "Stopped"):
        return None
    found = [item for item in job.get("FinalMetricDataList", []) if item["MetricName"] == metric]
    return float(found[-1]["Value"]) if found else None


def summaries(store: Store, tuning: Record) -> list[Record]:
    """Every training job of the tuning job, in the order they were created."""
    objective = objective_of(tuning)
    jobs = [
        job
        for job in store.all("TrainingJob")
        if job.get("TuningJobArn") == tuning["HyperParameterTuningJobArn"]
    ]
    return [_summary(job, objective) for job in sorted(jobs, key=lambda j: str(j[_COPIED[0]]))]


def standing(tuning: Record, found: list[Record]) -> Record:
    """The counters, and BestTrainingJob once a job has given a value."""
    statuses = [item["TrainingJobStatus"] for item in found]
    objectives = [item["ObjectiveStatus"] for item in found]
    members: Record = {
        "TrainingJobStatusCounters": {
            "Completed": statuses.count("Completed"),
            "InProgress": sum(status not in FINAL for status in statuses),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        },
        "ObjectiveStatusCounters": {
            name: objectives.count(name) for name in ("Succeeded", "Pending", "Failed")
        },
    }
    leader = best(tuning, found)
    if leader is not None:
        members["BestTrainingJob"] = leader
    return members


def best(tuning: Record, found: list[Record]) -> Record | None:
    """The best of the completed jobs, of the stopped ones where none completed."""
    maximize = objective_of(tuning)["Type"] == "Maximize"
    for status in ("Completed", "Stopped"):
        candidates = [
            item
            for item in found
            if item["TrainingJobStatus"] == status and item["ObjectiveStatus"] == "Succeeded"
        ]
        if candidates:
            return (max if maximize else min)(candidates, key=value_of)
    return None


def value_of(summary: Record) -> float:
    value: float = summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    return value


def _summary(job: Record, objective: dict[str, str]) -> Record:
    summary: dict[str, Any] = {name: job[name] for name in _COPIED if name in job}
    value = final_value(job, objective["MetricName"])
    if value is not None:
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": value}
        summary["ObjectiveStatus"] = "Succeeded"
    else:
        ended = job["TrainingJobStatus"] in FINAL
        summary["ObjectiveStatus"] = "Failed" if ended else "Pending"
    return summary
